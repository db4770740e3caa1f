"""What of a recording travels with its verdict, so that a reader of verdicts needs no recording. Knows no judgement, and not torch."""

from typing import Any

import numpy as np

from harness.errors import AssayError
from harness.recording import Recording, Status

_SERIES = 4096  # longest output that travels with the verdict as a curve


def evidence_of(recording: Recording) -> dict[str, Any]:
    """Return what a report shows of a recording beside its verdict, JSON-able and small."""
    return {
        "device": recording.device, "status": str(recording.status), "message": recording.message, "environment": recording.environment,
        "seconds": list(recording.seconds), "setup_seconds": recording.setup_seconds, "work": recording.work, "unit": recording.unit,
        "memory": dict(recording.memory), "series": _curves(recording), "inputs": recording.inputs_digest(),
        "costs": dict(recording.details.get("costs", {})), "timing": dict(recording.details.get("timing", {})),
    }  # fmt: skip


def _curves(recording: Recording) -> dict[str, list[float]]:
    if recording.status is not Status.OK or not recording.series:
        return {}
    try:
        arrays = recording.tensors
    except AssayError:  # altered: the verdict says so
        return {}
    short = {name: arrays[name] for name in recording.series if arrays[name].ndim == 1 and arrays[name].size <= _SERIES}
    return {name: array.astype(np.float64).tolist() for name, array in short.items()}
