"""The case of an operator in each dtype that training and inference use. Knows no operator."""

from collections.abc import Callable, Mapping

from harness.case import Case, Promise, Scalar, Step
from harness.checks.cann_standard import CannStandard
from harness.checks.closeness import Closeness
from harness.checks.other_rules import OtherRules
from harness.checks.probed import Probed
from harness.checks.special_values import SpecialValues

DTYPES = ("float32", "bfloat16", "float16")
BESIDE_OURS: tuple[Promise, ...] = (CannStandard(), OtherRules())  # they only tell what others would say
AS_CLOSE_AS_THE_REFERENCE: tuple[Promise, ...] = (SpecialValues(), Closeness(), Probed(), *BESIDE_OURS)


def in_each_dtype(
    workload: Callable[..., Step],
    variants: Mapping[str, Mapping[str, Scalar]],
    checks: tuple[Promise, ...] = AS_CLOSE_AS_THE_REFERENCE,
) -> tuple[Case, ...]:
    """Return `operators/<variant>[<dtype>]` for every variant (its name and the workload's parameters) and dtype."""
    return tuple(
        Case(f"operators/{variant}[{dtype}]", "operators", workload, dtype, checks, params, probed=True)
        for variant, params in variants.items()
        for dtype in DTYPES
    )
