"""Probes of infinity, NaN and subnormal numbers. Knows no device; what the answers are to be is in the check."""

from collections.abc import Callable

import torch
from torch import Tensor

from harness.case import Step
from harness.checks.fingerprint.fact import DIGITS
from harness.checks.fingerprint.special import subnormal_answers
from harness.inputs import Inputs
from suites.workloads.fingerprint.probing import Probe, cases, probing

Operands = Callable[..., Tensor]  # of a name and values: a short vector in the case's dtype
_INF, _NAN = float("inf"), float("nan")


def special(inputs: Inputs, /) -> Step:
    """Overflow, invalid operations, NaN among candidates, comparisons and casts, each a short vector of answers."""
    most = torch.finfo(inputs.dtype).max

    def of(name: str, *values: float) -> Tensor:
        return inputs.given(name, torch.tensor(values, dtype=torch.float64).to(inputs.dtype))

    probes = {**_arithmetic(of, most), **_selections(of), **_comparisons(of, most), **_subnormal(inputs)}
    if inputs.dtype != torch.float32:
        wide = inputs.given("wide", torch.tensor([3.4e38, -3.4e38, _INF, _NAN]))
        probes["cast"] = lambda: wide.to(inputs.dtype)
    return probing(probes)


def _arithmetic(of: Operands, most: float) -> dict[str, Probe]:
    exp, sqrt, log = of("exp", 1000.0, _INF, -_INF, _NAN), of("sqrt", _INF, -1.0), of("log", 0.0, -1.0)
    factors = of("factors_a", most, -most, 0.0, -1.0), of("factors_b", 2.0, 2.0, _INF, _INF)
    terms = of("terms_a", most, -most, _INF, _INF), of("terms_b", most, -most, -_INF, 1.0)
    parts = of("parts_a", 1.0, -1.0, 0.0, _INF), of("parts_b", 0.0, 0.0, 0.0, _INF)
    sums = of("sums", most, most, -most, -most, _INF, -_INF).reshape(3, 2)
    pairs = of("rows", most, 0.0, -most, 0.0, 0.0, 0.0, _INF, -_INF), of("columns", 2.0, 0.0, 2.0, 0.0, _INF, 0.0, 1.0, 1.0)
    left, right = (_in_matrix(pair.reshape(4, 2)) for pair in pairs)
    return {
        "exp": lambda: torch.exp(exp), "sqrt": lambda: torch.sqrt(sqrt), "log": lambda: torch.log(log),
        "mul": lambda: factors[0] * factors[1], "add": lambda: terms[0] + terms[1], "div": lambda: parts[0] / parts[1],
        "sum": lambda: sums.sum(dim=1), "matmul": lambda: torch.cat([(left[i] @ right[i].T)[:1, 0] for i in range(4)]),
    }  # fmt: skip


def _in_matrix(pairs: Tensor) -> list[Tensor]:
    """Return a 16x16 matrix of zeros for each pair, with the pair at the beginning of its first row."""
    return [torch.nn.functional.pad(pair.reshape(1, 2), (0, 14, 0, 15)) for pair in pairs]


def _selections(of: Operands) -> dict[str, Probe]:
    nan, one = of("candidates_a", _NAN, 1.0), of("candidates_b", 1.0, _NAN)
    three = of("three", 1.0, _NAN, 2.0)
    return {
        "maximum": lambda: torch.maximum(nan, one), "minimum": lambda: torch.minimum(nan, one),
        "amax": lambda: three.amax(dim=0, keepdim=True), "argmax": lambda: three.argmax(dim=0, keepdim=True),
        "relu": lambda: torch.relu(three[1:2]), "clamp": lambda: three[1:2].clamp(-1.0, 1.0), "softmax": lambda: torch.softmax(nan, 0),
    }  # fmt: skip


def _comparisons(of: Operands, most: float) -> dict[str, Probe]:
    nan, values, numbers = of("nan", _NAN), of("values", _NAN, -_INF, most), of("numbers", _NAN, _INF, -_INF, 3e9)

    def compare() -> Tensor:
        unordered = [nan == nan, nan != nan, nan < 1, nan > 1]
        return torch.cat([*unordered, values.isnan()[:1], values.isinf()[1:2], values.isfinite()[2:], values.isfinite()[:1]])

    return {"compare": compare, "to_integer": lambda: numbers.to(torch.int32)}


def _subnormal(inputs: Inputs) -> dict[str, Probe]:
    """Normal operands with a subnormal result (`_out`), and subnormal ones with a normal result (`_in`)."""
    name = str(inputs.dtype).removeprefix("torch.")

    def given(key: str, values: Tensor, dtype: torch.dtype) -> Tensor:
        return inputs.given(key, values.to(dtype))

    answers = torch.from_numpy(subnormal_answers(name, "mul_out"))
    small = given("subnormal", answers, inputs.dtype)
    tiny = answers.sign() * torch.finfo(inputs.dtype).tiny
    least = given("least", tiny.abs(), inputs.dtype)
    ratio = given("ratio", answers / torch.finfo(inputs.dtype).tiny, inputs.dtype)
    above, below = (given(key, values, inputs.dtype) for key, values in (("above", answers + tiny), ("below", tiny)))
    thrice, four = given("thrice", answers * 3, inputs.dtype), given("four", torch.eye(16) * 4.0, inputs.dtype)
    eye_least = given("eye_least", torch.eye(16).double() * torch.finfo(inputs.dtype).tiny, inputs.dtype)
    probes: dict[str, Probe] = {
        "mul_out": lambda: least * ratio, "mul_in": lambda: small * 4.0,
        "add_out": lambda: above - below, "add_in": lambda: small + thrice,
        "matmul_out": lambda: (_row(ratio) @ eye_least)[0, :4], "matmul_in": lambda: (_row(small) @ four)[0, :4],
    }  # fmt: skip
    if DIGITS[name] < 24:
        wide = given("subnormal_wide", answers, torch.float32)
        probes |= {"cast_out": lambda: wide.to(inputs.dtype), "cast_in": lambda: small.float()}
    return probes


def _row(values: Tensor) -> Tensor:
    return torch.nn.functional.pad(values.reshape(1, 4), (0, 12, 0, 15))


CASES = cases(special, "special", "special values")
