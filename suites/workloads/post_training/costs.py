"""What a training step costs by definition, told beside what was measured of it. Knows no device, no time and no memory."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.case import Step
from harness.errors import AssayError
from reference import flops, traffic


def costed(step: Step, config: Any, batch: int, length: int) -> Step:
    """Return a training step of all weights on `batch` rows of `length` tokens, with its floating-point operations among its details.

    Of a family whose costs are not described nothing is told: a user may bring any model.
    """
    told = costs(config, batch, length)
    return replace(step, details=lambda: {**(step.details() if step.details else {}), "costs": told}) if told else step


def costs(config: Any, batch: int, length: int) -> Mapping[str, object]:
    """Return `flops` of a step: `needed`, by `parts` (forward, backward), and `executed` by eager code; and the least `bytes` of AdamW's
    traffic.

    Empty where the family is not described.
    """
    try:
        needed, executed = flops.needed(config, batch, length), flops.executed(config, batch, length)
    except AssayError:
        return {}
    counts = flops.parameters(config)
    return {
        "flops": {"needed": flops.total(needed), "executed": flops.total(executed), "parts": {k: list(v) for k, v in needed.items()}},
        "bytes": {"needed": traffic.training(config, length)},
        "parameters": {"total": counts.total, "active": counts.active, "embedding": counts.embedding},
    }
