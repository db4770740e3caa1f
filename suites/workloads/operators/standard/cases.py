"""The standard's cases of each operator and dtype, with their repeats and re-check seeds. Knows no device.

`count` cases from number `first`, of at most `cells` elements. `repeats` runs of each must give the same bits. `seeds` further draws of
each are recorded beside it: a failing case is re-checked with them, also against a reference that was recorded elsewhere.
`pytest suites/ --standard full` asks for the official counts.
"""

import numpy as np
import torch
from torch import Tensor

from harness.case import Case, Scalar, Step
from harness.checks.cann_random import CannRandom
from harness.checks.cann_standard import CannStandard
from harness.inputs import Inputs
from harness.standards.cann.exact import Kind
from harness.standards.cann.repetition import FEWEST_SEEDS, differing
from harness.standards.cann.shapes import Spec, spec
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import DTYPES
from suites.workloads.operators.standard.operands import drawn, poison
from suites.workloads.operators.standard.table import BY_NAME, OPERATORS, Attributes, Function, Operator, Shape

QUICK: dict[str, Scalar] = {"first": 0, "count": 4, "repeats": 3, "cells": 128}
RANDOM_TESTS = 100  # 5.3.5


def standard(inputs: Inputs, /, *, operator: str, level: str, first: int, count: int, seeds: int, repeats: int, cells: int) -> Step:
    """Run cases [first, first + count) of `operator` at `level`.

    Returns `case<i>.out` and `case<i>.grad_<operand>`, each [1 + seeds, ...]: the case itself, then its other seeds; and `differing`
    (bool [count]): whether one of `repeats` runs gave other bits.
    """
    chosen = BY_NAME[operator]
    function = chosen.golden.function if inputs.golden else chosen.run
    specs = [_spec(chosen, level, i, cells) for i in range(first, first + count)]
    operands = {s: drawn(inputs, chosen, s.name, s.shape, s.distribution, 1 + seeds) for s in specs}
    cotangents: dict[Spec, Tensor] = {}
    if chosen.gradients:
        for s in specs:
            shape = function(*(t[0] for t in operands[s].values()), **chosen.attributes[s.attributes]).shape
            cotangents[s] = inputs.normal(f"{s.name}.cotangent", (1 + seeds, *shape))

    def call() -> dict[str, Tensor]:
        poison(inputs, cells)
        found: dict[str, Tensor] = {}
        unsteady = torch.zeros(count, dtype=torch.bool, device=inputs.device)
        for i, s in enumerate(specs):

            def one(row: int, s: Spec = s) -> dict[str, Tensor]:
                return _run(function, chosen.attributes[s.attributes], operands[s], cotangents.get(s), row)

            rows = [one(k) for k in range(1 + seeds)]
            found.update({f"{s.name}.{name}": torch.stack([row[name] for row in rows]) for name in rows[0]})
            if not inputs.golden and _differs(rows[0], [one(0) for _ in range(1, repeats)]):
                unsteady[i] = True
        return {**found, "differing": unsteady}

    return Step(call, work=float(count), unit="cases", details=lambda: {"golden from": chosen.golden.what})


def _spec(operator: Operator, level: str, index: int, cells: int) -> Spec:
    """Return case `index`; where it is to come from a model, one of the model's shapes."""
    found = spec(level, index, operator.ranks, len(operator.attributes), cells)
    if not (found.model and operator.model):
        return found
    shape: Shape = operator.model[index // 3 % len(operator.model)]
    return Spec(index, shape, "normal", found.attributes, model=True)


def _run(function: Function, attributes: Attributes, operands: dict[str, Tensor], cotangent: Tensor | None, row: int) -> dict[str, Tensor]:
    mine = {name: tensor[row] for name, tensor in operands.items()}
    if cotangent is None:
        return {"out": function(*mine.values(), **attributes)}
    return differentiate(lambda **leaves: function(*leaves.values(), **attributes), mine, cotangent[row])()


def _differs(first: dict[str, Tensor], runs: list[dict[str, Tensor]]) -> bool:
    return any(differing([_bits(first[name]), *(_bits(run[name]) for run in runs)]) for name in first)


def _bits(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def random_numbers(inputs: Inputs, /, *, tests: int, cells: int) -> Step:
    """Draw `tests` tensors of normal numbers of different shapes from the device's own generator; returns `draw<i>`."""
    shapes = [spec("L1", i, cells=cells).shape for i in range(tests)]

    def call() -> dict[str, Tensor]:
        return {f"draw{i:03d}": torch.randn(shape, dtype=inputs.dtype, device=inputs.device) for i, shape in enumerate(shapes)}

    return Step(call, work=float(tests), unit="tensors")


def check_of(operator: Operator) -> CannStandard:
    """Return the rule of the operator's class, deciding."""
    floats = "bitwise" if operator.kind is Kind.MOVED else "floating"
    integers = "step" if operator.kind is Kind.QUANTISED else "equal"
    return CannStandard(operator.level, decides=True, seeds=operator.kind is Kind.FLOATING, integers=integers, floats=floats)


def dtypes_of(operator: Operator) -> tuple[str, ...]:
    """Return the dtypes of an operator's cases; an integer one has none but int32, for which a case says float32."""
    return DTYPES[:1] if operator.kind is Kind.INTEGER else DTYPES


def seeds_of(operator: Operator) -> int:
    """Return how many further seeds are recorded; none where the rule knows no ratio, so that there is nothing to re-check."""
    return FEWEST_SEEDS if operator.kind is Kind.FLOATING else 0


def _cases() -> list[Case]:
    cases = []
    for operator in OPERATORS:
        params: dict[str, Scalar] = {"operator": operator.name, "level": operator.level, **QUICK, "seeds": seeds_of(operator)}
        for dtype in dtypes_of(operator):
            cases.append(
                Case(f"operators/standard/{operator.name}[{dtype}]", "operators", standard, dtype, (check_of(operator),), params, wide=True)
            )
    random: dict[str, Scalar] = {"tests": RANDOM_TESTS, "cells": 1024}
    cases.append(Case("operators/standard/randn[float32]", "operators", random_numbers, "float32", (CannRandom(),), random, golden=False))
    return cases


CASES = tuple(_cases())
