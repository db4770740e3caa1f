"""Which cases a mutant is put to: those that reach its operators, spread evenly. Knows no mutant by name and no verdict."""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from harness.case import Case
from suites.mutation.wrapper import Mutant

_USUAL = ("float32", "int64", "bfloat16", "float16", "int32")

#: Case ids with the operators that they reach on a device, in the order of the catalogue.
Trace = Mapping[str, Sequence[str]]


def eligible(cases: Mapping[str, Case], kind: str) -> list[Case]:
    """Return the cases of single operators that a device of that kind can be a candidate for.

    Those that the CANN standard decides are left out: its score would be the standard's, not that of our verdicts.
    """
    return [
        case for case in cases.values()
        if case.area == "operators" and case.only_on in (None, kind) and not case.id.startswith("operators/standard")
    ]  # fmt: skip


def traced(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Return which cases to trace, each with the ids that it stands for: the same workload in other dtypes, real or integer, as it is."""
    groups: dict[tuple[str, bool], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.id.rpartition("[")[0], "float" in case.dtype), []).append(case)
    return {min(group, key=_usual).id: [case.id for case in group] for group in groups.values()}


def _usual(case: Case) -> int:
    return _USUAL.index(case.dtype) if case.dtype in _USUAL else len(_USUAL)


def chosen(mutant: Mutant, trace: Trace, dtypes: Mapping[str, str], most: int) -> list[str]:
    """Return up to `most` ids of cases that reach an operator of the mutant.

    Operator by dtype they are taken in turn. The cases of one operator and dtype are taken from four orders in turn: those that bear the
    name of one of the mutant's operators (short ids first, whose operands the suite draws itself), the probes of the fingerprint, those
    that reach few other operators, and all, spread over the catalogue. Each dtype begins at another of those that bear the name. The rule
    looks at no more than the names of the mutant's operators.
    """
    queues: dict[tuple[str, str], list[str]] = {}
    for case, operators in trace.items():
        for operator in operators:
            if mutant.strikes(operator):
                queues.setdefault((operator, dtypes[case]), []).append(case)
    named = _bearing(mutant.operators)
    ordered = [_in_turn(cases, turn, named, trace) for turn, (_, cases) in enumerate(sorted(queues.items(), key=_by_dtype))]
    taken: dict[str, None] = {}
    for turn in range(max(map(len, ordered), default=0)):
        for queue in ordered:
            if turn < len(queue) and len(taken) < most:
                taken.setdefault(queue[turn])
    return list(taken)


def _by_dtype(queue: tuple[tuple[str, str], list[str]]) -> tuple[str, str]:
    """Order queues so that the overloads of an operator take turns: some of them are reached only by way of others."""
    operator, dtype = queue[0]
    return dtype, operator


def _bearing(operators: Sequence[str]) -> re.Pattern[str]:
    """Return what finds the name of one of the operators in a case's id."""
    names = {operator.split("::")[-1].split(".")[0].strip("_") for operator in operators}
    return re.compile(rf"[/.]({'|'.join(map(re.escape, sorted(names)))})\W")


def _in_turn(cases: Sequence[str], turn: int, named: re.Pattern[str], trace: Trace) -> list[str]:
    """Return all cases, taken from the four orders in turn, each once."""
    bearing = [case for case in _spread(cases) if named.search(case)]
    begin = turn % max(len(bearing), 1)
    orders = (
        sorted(bearing[begin:] + bearing[:begin], key=lambda case: case.count("/") > 1),
        [case for case in cases if case.startswith("operators/fingerprint/")],
        sorted(cases, key=lambda case: len(trace[case])),
        _spread(cases),
    )
    return list(dict.fromkeys(case for taken in zip_longest(*orders) for case in taken if case))


def _spread(cases: Sequence[str]) -> list[str]:
    """Return the cases so that the first few of them lie far apart: van der Corput's order of their places."""
    bits = max(len(cases) - 1, 1).bit_length()
    order = sorted(range(1 << bits), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
    return [cases[i] for i in order if i < len(cases)]
