"""The standard's special cases of each operator and dtype, and the arguments that it must refuse. Knows no device."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harness.case import Case, Scalar, Step
from harness.checks.cann_standard import CannStandard
from harness.inputs import Inputs
from harness.standards.cann.corners import Corner, corners
from harness.standards.cann.exact import Kind
from suites.workloads.operators.standard.cases import check_of, dtypes_of, seeds_of
from suites.workloads.operators.standard.operands import drawn, filled
from suites.workloads.operators.standard.table import BY_NAME, OPERATORS, Function, Operator

MEMORY = 64  # MiB; a dimension of 2^31 + 1 takes 4 to 8 GiB an operand on the device, and 16 as a golden
_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)


def corner_cases(inputs: Inputs, /, *, operator: str, seeds: int, memory: int) -> Step:
    """Run the special cases whose operands each fit `memory` MiB; the details say what was left out.

    Returns one output a corner, [1 + seeds, ...]: itself, then its other seeds; [1, ...] where its values are fixed.
    """
    chosen = BY_NAME[operator]
    function = chosen.golden.function if inputs.golden else chosen.run
    wanted = [c for c in corners(chosen.ranks) if not (c.fill and chosen.kind in (Kind.INTEGER, Kind.QUANTISED))]
    left_out = [c.name for c in wanted if c.bytes(8) > memory << 20]
    operands = {c: _operands(inputs, chosen, c, 1 + seeds) for c in wanted if c.name not in left_out}

    def call() -> dict[str, Tensor]:
        found = {}
        for i, (corner, tensors) in enumerate(operands.items()):
            attributes = chosen.attributes[i % len(chosen.attributes)]
            found[corner.name] = torch.stack([function(*row, **attributes) for row in zip(*tensors.values(), strict=True)])
        return found

    return Step(call, work=float(len(operands)), unit="cases", details=lambda: {"left out for want of memory": left_out})


def _operands(inputs: Inputs, operator: Operator, corner: Corner, seeds: int) -> dict[str, Tensor]:
    if corner.fill:
        return filled(inputs, operator, corner.name, corner.shape, corner.filled())
    return drawn(inputs, operator, corner.name, corner.shape, "uniform", seeds)


def refusals(inputs: Inputs, /, *, operator: str) -> Step:
    """Call the operator with what it cannot do; returns `refused` (bool, in the order of the table): whether it said so."""
    calls = BY_NAME[operator].refused

    def make(*shape: int) -> Tensor:
        return torch.ones(math.prod(shape), dtype=inputs.dtype, device=inputs.device).reshape(shape)

    def call() -> dict[str, Tensor]:
        refused = torch.zeros(len(calls), dtype=torch.bool, device=inputs.device)
        for i, wrong in enumerate(calls.values()):
            if inputs.golden or _refuses(wrong, make):
                refused[i] = True
        return {"refused": refused}

    inputs.given("calls", torch.tensor([len(calls)]))  # a case without inputs would be comparable with anything
    return Step(call, work=float(len(calls)), unit="calls")


def _refuses(wrong: Callable[[Function], object], make: Function) -> bool:
    try:
        result = wrong(make)
        if isinstance(result, Tensor):
            result.cpu()  # some devices only say so once the result is asked for
    except _REFUSALS:
        return True
    return False


def _cases() -> list[Case]:
    cases = []
    for operator in OPERATORS:
        for dtype in dtypes_of(operator):
            name = f"{operator.name}[{dtype}]"
            params: dict[str, Scalar] = {"operator": operator.name, "seeds": seeds_of(operator), "memory": MEMORY}
            cases.append(
                Case(f"operators/standard-corners/{name}", "operators", corner_cases, dtype, (check_of(operator),), params, wide=True)
            )
        refused: dict[str, Scalar] = {"operator": operator.name}
        check = CannStandard(operator.level, decides=True)
        cases.append(
            Case(f"operators/standard-refusals/{operator.name}[float32]", "operators", refusals, "float32", (check,), refused, wide=True)
        )
    return cases


CASES = tuple(_cases())
