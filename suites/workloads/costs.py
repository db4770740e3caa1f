"""What a step costs by definition, told beside what was measured of it: operations, and the least traffic. Knows no device and no time."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from harness.case import Step
from harness.errors import AssayError


def costed(step: Step, operations: Callable[[], int], traffic: Callable[[], int]) -> Step:
    """Return the step with its floating-point operations and the least bytes of memory traffic a call among its details.

    Of a family whose costs are not described nothing is told: a user may bring any model.
    """
    told = _told(operations, traffic)
    return replace(step, details=lambda: {**(step.details() if step.details else {}), "costs": told}) if told else step


def _told(operations: Callable[[], int], traffic: Callable[[], int]) -> Mapping[str, object]:
    try:
        return {"flops": {"needed": operations()}, "bytes": {"needed": traffic()}}
    except AssayError:
        return {}
