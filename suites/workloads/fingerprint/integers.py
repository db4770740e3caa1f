"""Probes of integer arithmetic: exact beyond what floats hold, round the limits, and where there is no answer. Knows no device."""

from collections.abc import Callable

import torch
from torch import Tensor

from harness.case import Step
from harness.checks.fingerprint.integers import large, limits, root
from harness.inputs import Inputs
from suites.workloads.fingerprint.probing import Probe, cases, probing

Operands = Callable[..., Tensor]  # of a name and integers: a short vector in the case's dtype
_DTYPES = ("int64", "int32", "int16", "int8", "uint8")


def integers(inputs: Inputs, /) -> Step:
    """Compute each answer of `harness.checks.fingerprint.integers.exact` and what lies beyond the limits."""
    name = str(inputs.dtype).removeprefix("torch.")

    def of(key: str, *values: int) -> Tensor:
        return inputs.given(key, torch.tensor(values, dtype=inputs.dtype))

    a, low, high = large(name), *limits(name)
    floats = inputs.given("unheld", torch.tensor([float("nan"), float("inf"), float("-inf"), 1e30]))
    rounded = inputs.given("rounded", torch.tensor([2.7, -2.7] if low < 0 else [2.7]))
    beyond = of("beyond_a", high, low, high), of("beyond_b", 1, 1, 2)
    one, zero = of("one", 1), of("zero", 0)
    probes: dict[str, Probe] = {
        **_sums(of, a, root(name)), **_orders(of, a), **_divisions(of, a, root(name), low < 0),
        **_bits(of, a, torch.iinfo(inputs.dtype).bits),
        "wrapped": lambda: torch.cat([beyond[0][:1] + beyond[1][:1], beyond[0][1:2] - beyond[1][1:2], beyond[0][2:] * beyond[1][2:]]),
        "divide_by_zero": lambda: torch.div(one, zero, rounding_mode="floor"), "remainder_by_zero": lambda: torch.remainder(one, zero),
        "from_float": lambda: floats.to(inputs.dtype), "rounded": lambda: rounded.to(inputs.dtype),
    }  # fmt: skip
    return probing(probes, may_raise=("divide_by_zero", "remainder_by_zero"))


def _sums(of: Operands, a: int, r: int) -> dict[str, Probe]:
    terms, factors = (of("terms_a", a, a, a), of("terms_b", 0, 2, a - 4)), (of("factors_a", a, r), of("factors_b", 1, r))
    three, two = of("three", a, 1, 2), of("two", a, 1)
    left, right = of("left", *[a] + [0] * 255).reshape(16, 16), of("right", *[1] + [0] * 255).reshape(16, 16)
    return {
        "add": lambda: terms[0] + terms[1], "sub": lambda: terms[0][:2] - terms[1][:2], "mul": lambda: factors[0] * factors[1],
        "sum": lambda: three.sum(dim=0, keepdim=True), "cumsum": lambda: two.cumsum(0)[1:], "matmul": lambda: (left @ right)[0, :1],
    }  # fmt: skip


def _orders(of: Operands, a: int) -> dict[str, Probe]:
    two, three, pair = of("ordered", a - 1, a), of("peak", a - 1, a, a - 2), of("pair", a, a - 1)
    yes = torch.ones(1, dtype=torch.bool, device=two.device)
    return {
        "amax": lambda: two.amax(dim=0, keepdim=True), "argmax": lambda: three.argmax(dim=0, keepdim=True),
        "sort": lambda: pair.sort().values[:1], "less": lambda: torch.cat([two[:1] < two[1:], two[:1] == two[1:]]),
        "where": lambda: torch.where(yes, two[1:], torch.zeros_like(two[1:])),
    }  # fmt: skip


def _divisions(of: Operands, a: int, r: int, signed: bool) -> dict[str, Probe]:
    odd, two, three = (-7 if signed else 7), of("twos", 1, r, 2), of("threes", 4, 3)
    floors, cuts, rests = of("floors", a, r * r, odd), of("cuts", a, odd), of("rests", a, odd)
    return {
        "floor_divide": lambda: torch.div(floors, two, rounding_mode="floor"),
        "trunc_divide": lambda: torch.div(cuts, two[::2], rounding_mode="trunc"),
        "remainder": lambda: torch.remainder(rests, three),
    }


def _bits(of: Operands, a: int, bits: int) -> dict[str, Probe]:
    words, ones = of("words", a, a - 1, a), of("ones", 1, 1, 1)
    shifted, by = of("shifted", a - 1, 1), of("by", 1, bits - 2)
    return {
        "bits": lambda: torch.cat([words[:1] & ones[:1], words[1:2] | ones[1:2], words[2:] ^ ones[2:]]),
        "shift": lambda: torch.cat([shifted[:1] >> by[:1], shifted[1:] << by[1:]]),
    }


CASES = cases(integers, "integers", "integers", _DTYPES)
