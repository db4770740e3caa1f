"""Errors computed again from the tensors of a submission, by the definition and not by the code that judged. Knows no bound.

    rms = sqrt(mean((candidate - golden)^2)) / sqrt(mean(golden^2)), in units of the coarser roundoff of the case's and the output's dtype

Only figures of whole outputs that both recordings hold, finite and of one shape, are computed again; an appeal may excuse a part of an
error, and its figures are left alone.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from harness.recording import read_recording, slug
from harness.run import Run
from harness.verdict import Finding, Outcome, Verdict

_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
_APART = 0.01  # what another order of summation may change of a mean over millions


def figures(run: Run, verdict: Verdict, golden: Mapping[str, Path]) -> Iterator[tuple[Finding, float]]:
    """Yield the findings of `closeness` on an output's rms with what the tensors give. `golden` maps slugs to recordings in float64.

    Raises AssayError: a recording is altered.
    """
    folder = golden.get(slug(verdict.case))
    wanted = [
        f for f in verdict.findings if f.check == "closeness" and f.unit == "u" and f.subject.endswith(" rms") and f.measured is not None
    ]
    if folder is None or not wanted or any(f.check == "appeal" for f in verdict.findings) or verdict.outcome is Outcome.ERROR:
        return
    ours, right = run.recording(verdict.case), read_recording(folder)
    if (
        ours is None
        or ours.folder is None
        or not (ours.folder / "tensors.safetensors").exists()
        or not (folder / "tensors.safetensors").exists()
    ):
        return
    for finding in wanted:
        name = finding.subject.removesuffix(" rms")
        if name in ours.tensors and name in right.tensors and ours.dtypes.get(name) in _ROUNDOFF:
            own = _ROUNDOFF[ours.dtypes[name]]
            unit = max(own, _ROUNDOFF.get(verdict.dtype, own))
            again = _rms(np.asarray(ours.tensors[name], np.float64), np.asarray(right.tensors[name], np.float64))
            if again is not None:
                yield finding, again / unit


def _rms(ours: np.ndarray, golden: np.ndarray) -> float | None:
    """Return the relative rms error; None where it is not defined by finite numbers alone."""
    if ours.shape != golden.shape or not golden.size or not (np.isfinite(ours).all() and np.isfinite(golden).all()) or not golden.any():
        return None
    largest = np.abs(golden).max()  # the square of a large value would not be finite
    with np.errstate(over="ignore", under="ignore"):
        error = float(np.sqrt(np.mean(((ours - golden) / largest) ** 2)) / np.sqrt(np.mean((golden / largest) ** 2)))
    return error if np.isfinite(error) else None


def same(finding: Finding, again: float) -> bool:
    """Tell whether the finding says what was computed again, up to the order of summation."""
    return bool(finding.measured is not None and abs(finding.measured - again) <= _APART * max(abs(finding.measured), abs(again)))
