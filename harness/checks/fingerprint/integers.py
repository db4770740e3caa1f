"""Are integers exact, and what happens where they have no answer? Knows no operator by more than its name.

Everything in `EXACT` has one answer in the integers, so that another fails: a device that takes integers through float32 loses all beyond
2^24 (torch_npu's API notes). Overflow wraps round on every device that PyTorch has of its own, but C++ does not promise it: a device that
answers as the reference does is excused. Division by zero and casts of what no integer can hold are told and never judged.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from harness.checks.fingerprint.fact import Fact, Reading, cast_to, dtype_of
from harness.recording import Recording
from harness.verdict import Cause

Sums = tuple[tuple[str, int], ...]
ROUNDED = ("2.7", "-2.7")
UNHELD = ("nan", "inf", "-inf", "1e30")


def limits(dtype: str) -> tuple[int, int]:
    """Return the least and the greatest integer."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def large(dtype: str) -> int:
    """Return an odd number that needs one binary digit more than the next narrower float holds (of 8 bits every float holds all)."""
    return {"int64": 2**53 + 1, "int32": 2**24 + 1, "int16": 2**11 + 1}.get(dtype, 61)


def root(dtype: str) -> int:
    """Return the largest odd number whose square the dtype holds."""
    found = math.isqrt(limits(dtype)[1])
    return found - (found % 2 == 0)


def exact(dtype: str) -> Mapping[str, Sums]:
    """Return, output by output, what is computed and its answer. Workloads give the answers in this order."""
    a, r = large(dtype), root(dtype)
    signed = limits(dtype)[0] < 0
    found: dict[str, Sums] = {
        "add": ((f"{a}+0", a), (f"{a}+2", a + 2), (f"{a}+{a - 4}", 2 * a - 4)),
        "sub": ((f"{a}-0", a), (f"{a}-2", a - 2)),
        "mul": ((f"{a}·1", a), (f"{r}·{r}", r * r)),
        "sum": ((f"sum({a}, 1, 2)", a + 3),),
        "cumsum": ((f"cumsum({a}, 1)[1]", a + 1),),
        "amax": ((f"max({a - 1}, {a})", a),),
        "argmax": ((f"argmax({a - 1}, {a}, {a - 2})", 1),),
        "sort": ((f"sort({a}, {a - 1})[0]", a - 1),),
        "less": ((f"{a - 1} < {a}", 1), (f"{a - 1} == {a}", 0)),
        "floor_divide": ((f"{a}//1", a), (f"{r * r}//{r}", r), *(((f"{-7}//2", -4),) if signed else (("7//2", 3),))),
        "trunc_divide": ((f"{a}/1", a), *(((f"{-7}/2 cut", -3),) if signed else (("7/2 cut", 3),))),
        "remainder": ((f"{a} mod 4", a % 4), *((("-7 mod 3", 2),) if signed else (("7 mod 3", 1),))),
        "bits": ((f"{a} and 1", 1), (f"{a - 1} or 1", a), (f"{a} xor 1", a - 1)),
        "shift": ((f"{a - 1} >> 1", (a - 1) >> 1), (f"1 << {np.iinfo(dtype).bits - 2}", 1 << (np.iinfo(dtype).bits - 2))),
        "where": ((f"where(true, {a}, 0)", a),),
        "matmul": ((f"matmul({a}, 1)", a),),
    }  # fmt: skip
    return found


def wrapped(dtype: str) -> Sums:
    """Return what is computed beyond the limits, and the answer of two's complement."""
    low, high = limits(dtype)
    return ((f"{high}+1", low), (f"{low}-1", high), (f"{high}·2", high * 2 - (high - low + 1)))


def wrong_answers(values: np.ndarray, answers: Sums) -> list[str]:
    """Return the answers that differ, as '16777217+0 = 16777216'."""
    return [f"{text} = {value}" for value, (text, wanted) in zip(values.ravel().tolist(), answers, strict=True) if int(value) != wanted]


def _exact(recording: Recording) -> Sequence[Fact]:
    answers = {name: sums for name, sums in exact(dtype_of(recording)).items() if name in recording.tensors}
    wrong = [text for name, sums in answers.items() for text in wrong_answers(recording.tensors[name], sums)]
    words = wrong[0] + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "") if wrong else "exact"
    broken = "integers are exact" if wrong else ""
    return [Fact("arithmetic", words, float(len(wrong)), 0.0, "answers", broken, Cause.INTEGERS if wrong else None)] if answers else []


def _wrapped(recording: Recording) -> Sequence[Fact]:
    wrong = wrong_answers(recording.tensors["wrapped"], wrapped(dtype_of(recording)))
    broken = "PyTorch's own devices wrap integers round" if wrong else ""
    return [
        Fact("overflow", ", ".join(wrong) or "wraps", float(len(wrong)), 0.0, "answers", broken, Cause.INTEGERS if wrong else None, True)
    ]


def _by_zero(recording: Recording) -> Sequence[Fact]:
    told = []
    for name, sign in (("divide_by_zero", "1//0"), ("remainder_by_zero", "1 mod 0")):
        raised = name in recording.details.get("refused", {})
        told.append(f"{sign} {'raises' if raised else f'= {recording.tensors[name].ravel()[0]}'}")
    return [Fact("division by zero", ", ".join(told))]


def _from_float(recording: Recording) -> Sequence[Fact]:
    low, high = limits(dtype_of(recording))
    told = cast_to(UNHELD, recording.tensors["from_float"].ravel().tolist(), {high: "max", low: "min"} if low else {high: "max"})
    cut = recording.tensors["rounded"].ravel().tolist()
    right = cut == ([2, -2] if low < 0 else [2])
    broken, cause = ("", None) if right else ("casts to integers cut off the fraction", Cause.INTEGERS)
    return [
        Fact("cast of what it cannot hold", told),
        Fact("cast from float32", "cuts" if right else cast_to(ROUNDED[: len(cut)], cut, {}), broken=broken, cause=cause),
    ]


READINGS = (
    Reading((), _exact),
    Reading(("wrapped",), _wrapped),
    Reading((), _by_zero),
    Reading(("from_float", "rounded"), _from_float),
)
