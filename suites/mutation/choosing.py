"""Which cases a mutant is put to: those that reach its operators, spread evenly. Knows no mutant by name and no verdict."""

import re
from collections.abc import Mapping, Sequence

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

    Operator by dtype they are taken in turn. Among the cases of one operator and dtype the probes of the fingerprint come first, then those
    that bear the operator's name; then one that reaches few others alternates with one from an order that is spread over the catalogue.
    The rule looks at no more than the names of the mutant's operators.
    """
    queues: dict[tuple[str, str], list[str]] = {}
    for case, operators in trace.items():
        for operator in operators:
            if mutant.strikes(operator):
                queues.setdefault((operator, dtypes[case]), []).append(case)
    ordered = [
        sorted(_alternating(sorted(cases, key=lambda case: len(trace[case])), _spread(cases)), key=lambda case: _aside(case, operator))
        for (operator, _), cases in sorted(queues.items())
    ]
    taken: dict[str, None] = {}
    for turn in range(max(map(len, ordered), default=0)):
        for queue in ordered:
            if turn < len(queue) and len(taken) < most:
                taken.setdefault(queue[turn])
    return list(taken)


def _aside(case: str, operator: str) -> int:
    """Return how far a case is from being about the operator, by its id alone."""
    if case.startswith("operators/fingerprint/"):
        return 0
    named = operator.split("::")[-1].split(".")[0].strip("_")
    return 1 if re.search(rf"[/.]{re.escape(named)}\W", case) else 2


def _alternating(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Return all cases, taken from the two orders in turn, each once."""
    return list(dict.fromkeys(case for pair in zip(first, second, strict=True) for case in pair))


def _spread(cases: Sequence[str]) -> list[str]:
    """Return the cases so that the first few of them lie far apart: van der Corput's order of their places."""
    bits = max(len(cases) - 1, 1).bit_length()
    order = sorted(range(1 << bits), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
    return [cases[i] for i in order if i < len(cases)]
