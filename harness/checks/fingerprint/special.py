"""Are infinity, NaN and subnormal numbers what IEEE 754 says? Knows no operator by more than its name.

`ARITHMETIC` and `COMPARISONS` are what IEEE 754 says, so that another answer fails whatever the reference does: a device in saturation
mode gives its largest number for infinity and 0 for NaN (CANN, INF_NAN_MODE_ENABLE). `SELECTIONS` are what PyTorch does on its own
devices; a device that answers as the reference does is excused. Flushed subnormals are told and never judged: PyTorch allows them
(torch.set_flush_denormal).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from harness.checks.fingerprint.fact import Fact, Reading, cast_to, dtype_of
from harness.recording import Recording
from harness.verdict import Cause

Promise = tuple[tuple[str, float], ...]
_INF, _NAN = float("inf"), float("nan")

#: Output by output: what was computed, and the answer. Workloads give the answers in this order.
ARITHMETIC: Mapping[str, Promise] = {
    "exp": (("exp(1000)", _INF), ("exp(inf)", _INF), ("exp(-inf)", 0.0), ("exp(nan)", _NAN)),
    "mul": (("max·2", _INF), ("-max·2", -_INF), ("0·inf", _NAN), ("-1·inf", -_INF)),
    "add": (("max+max", _INF), ("-max-max", -_INF), ("inf-inf", _NAN), ("inf+1", _INF)),
    "div": (("1/0", _INF), ("-1/0", -_INF), ("0/0", _NAN), ("inf/inf", _NAN)),
    "sqrt": (("sqrt(inf)", _INF), ("sqrt(-1)", _NAN)),
    "log": (("log(0)", -_INF), ("log(-1)", _NAN)),
    "cast": (("cast(3e38)", _INF), ("cast(-3e38)", -_INF), ("cast(inf)", _INF), ("cast(nan)", _NAN)),
    "sum": (("sum(max, max)", _INF), ("sum(-max, -max)", -_INF), ("sum(inf, -inf)", _NAN)),
    "matmul": (("matmul(max, 2)", _INF), ("matmul(-max, 2)", -_INF), ("matmul(0, inf)", _NAN), ("matmul(inf, -inf)", _NAN)),
}
SELECTIONS: Mapping[str, Promise] = {
    "maximum": (("maximum(nan, 1)", _NAN), ("maximum(1, nan)", _NAN)),
    "minimum": (("minimum(nan, 1)", _NAN), ("minimum(1, nan)", _NAN)),
    "amax": (("amax(1, nan, 2)", _NAN),),
    "relu": (("relu(nan)", _NAN),),
    "clamp": (("clamp(nan)", _NAN),),
    "softmax": (("softmax(nan, 1)", _NAN), ("softmax(nan, 1)[1]", _NAN)),
    "argmax": (("argmax(1, nan, 2)", 1.0),),
}
COMPARISONS: Mapping[str, Promise] = {
    "compare": (
        *(("nan == nan", 0.0), ("nan != nan", 1.0), ("nan < 1", 0.0), ("nan > 1", 0.0)),
        *(("isnan(nan)", 1.0), ("isinf(-inf)", 1.0), ("isfinite(max)", 1.0), ("isfinite(nan)", 0.0)),
    ),
}
TO_INTEGER = ("nan", "inf", "-inf", "3e9")
SUBNORMAL = ("mul", "add", "matmul", "cast")


def deviations(recording: Recording, promises: Mapping[str, Promise], of: str = "") -> list[str]:
    """Return what was answered otherwise, as 'exp(1000) = 3.4e+38'; `of` confines it to answers that are to be infinite or NaN."""
    found = []
    for output, promise in promises.items():
        for value, (text, wanted) in zip(recording.tensors.get(output, np.empty(0)).ravel(), promise, strict=False):
            kind = "nan" if np.isnan(wanted) else "inf" if np.isinf(wanted) else "finite"
            if (not of or kind in of.split()) and not (value == wanted or (np.isnan(value) and np.isnan(wanted))):
                found.append(f"{text} = {float(value):.4g}")
    return found


def _judged(subject: str, wrong: Sequence[str], well: str, promise: str, shared: bool = False) -> Fact:
    words = well if not wrong else wrong[0] + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
    broken = promise if wrong else ""
    return Fact(subject, words, float(len(wrong)), 0.0, "answers", broken, Cause.SPECIAL if wrong else None, shared)


def _arithmetic(recording: Recording) -> Sequence[Fact]:
    if not recording.tensors.keys() & ARITHMETIC.keys():
        return []
    overflow, invalid = deviations(recording, ARITHMETIC, "inf finite"), deviations(recording, ARITHMETIC, "nan")
    return [
        _judged("overflow", overflow, "infinity", "IEEE 754: overflow gives infinity, which stays what it is"),
        _judged("invalid operation", invalid, "NaN", "IEEE 754: an operation without an answer gives NaN, and NaN stays NaN"),
    ]


def _selections(recording: Recording) -> Sequence[Fact]:
    if not recording.tensors.keys() & SELECTIONS.keys():
        return []
    wrong = deviations(recording, SELECTIONS)
    return [_judged("NaN among candidates", wrong, "is chosen", "PyTorch hands NaN on in maxima, relu, clamp and softmax", shared=True)]


def _comparisons(recording: Recording) -> Sequence[Fact]:
    return [_judged("comparison with NaN", deviations(recording, COMPARISONS), "unordered", "IEEE 754: NaN is equal to nothing")]


def _to_integer(recording: Recording) -> Sequence[Fact]:
    values = recording.tensors["to_integer"].ravel().tolist()
    return [Fact("cast to int32", cast_to(TO_INTEGER, values, {2**31 - 1: "max", -(2**31): "min"}))]


def _subnormal(recording: Recording) -> Sequence[Fact]:
    """Operators give a subnormal result of normal operands (`_out`), and a normal one of subnormal operands (`_in`)."""
    told: dict[str, list[str]] = {}
    for operator in SUBNORMAL:
        found = [_kept(recording, f"{operator}_{side}") for side in ("in", "out")]
        if None in found:
            continue
        what = {(True, True): "kept", (False, True): "operands flushed", (True, False): "results flushed"}
        told.setdefault(what.get((bool(found[0]), bool(found[1])), "flushed"), []).append(operator)
    if len(told) == 1:
        return [Fact("subnormal numbers", next(iter(told)))]
    return [Fact("subnormal numbers", "; ".join(f"{what}: {', '.join(names)}" for what, names in told.items()))]


def _kept(recording: Recording, output: str) -> bool | None:
    values = recording.tensors.get(output)
    return None if values is None else bool(np.array_equal(values.astype(np.float64), subnormal_answers(dtype_of(recording), output)))


def subnormal_answers(dtype: str, output: str) -> np.ndarray:
    """Return the four answers of a probe: of `_out` halves and quarters of the smallest normal number, of `_in` normal ones."""
    smallest = {"float16": 2.0**-14}.get(dtype, 2.0**-126)
    answers = smallest * np.array([0.5, -0.5, 0.25, -0.25])
    if output == "cast_in":  # from the dtype, where float32 holds as a normal number what is subnormal in float16
        return answers
    return answers * (1 if output.endswith("_out") else 4)


READINGS = (
    Reading((), _arithmetic),
    Reading((), _selections),
    Reading(("compare",), _comparisons),
    Reading(("to_integer",), _to_integer),
    Reading(("mul_in", "mul_out"), _subnormal),
)
