"""The cases of a fused operator, for an NPU as the candidate. Knows no operator."""

from collections.abc import Callable, Mapping, Sequence

from harness.case import Case, Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.probed import Probed
from harness.checks.special_values import SpecialValues
from suites.workloads.operators.dtypes import DTYPES

HALVES = ("bfloat16", "float16")
CHECKS: tuple[Promise, ...] = (SpecialValues(), Closeness(), Exact(), Probed())


def copies(*names: str) -> tuple[Promise, ...]:
    """Return the checks of an operator whose floating outputs `names` (patterns) are copied or moved, never computed."""
    return (*CHECKS, Exact(only=names, name="copies"))


def on_npu(
    workload: Callable[..., Step],
    variants: Mapping[str, Mapping[str, Scalar]],
    dtypes: Sequence[str] = DTYPES,
    checks: tuple[Promise, ...] = CHECKS,
    probed: bool = True,
) -> tuple[Case, ...]:
    """Return `operators/<variant>[<dtype>]` for every variant (operator, dash, what is particular; and the workload's parameters).

    `probed` is false where an operand's floats are addresses, which must not be exchanged.
    """
    return tuple(
        Case(f"operators/{variant}[{dtype}]", "operators", workload, dtype, checks, params, only_on="npu", probed=probed, wide=True)
        for variant, params in variants.items()
        for dtype in dtypes
    )
