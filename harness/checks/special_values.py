"""Are NaN and infinity exactly where they belong? Knows no operator; it always runs before closeness.

Truth table of the CANN operator precision standard (cann/opbase): an element is right when the device equals the golden
where the golden is NaN or infinite, or when the device equals the reference device. Everything else that is not finite
on one side only is a failure, never masked.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Elementwise: both NaN, or the same infinity, or both finite."""
    return np.where(np.isfinite(a) & np.isfinite(b), True, (np.isnan(a) & np.isnan(b)) | (a == b))


@dataclass(frozen=True)
class SpecialValues:
    """No NaN or infinity but where the golden or the reference has the same, and none missing."""

    only: tuple[str, ...] = ("*",)
    name: str = "special_values"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding an output."""
        return [self._one(evidence, output) for output in evidence.floating(self.only)]

    def _one(self, evidence: Evidence, output: str) -> Finding:
        device = evidence.candidate.tensors[output]
        reference = evidence.reference.tensors.get(output)
        golden = evidence.golden.tensors.get(output) if evidence.golden else None
        expected = [array for array in (reference, golden) if array is not None and array.shape == device.shape]
        if not expected:
            return Finding(
                self.name, output, Outcome.INCOMPARABLE, message="neither the reference nor the golden has this output in this shape"
            )
        if np.isfinite(device).all() and all(np.isfinite(array).all() for array in expected):
            return Finding(self.name, output, Outcome.PASS, 0.0, 0.0, "elements")
        if golden is not None and golden.dtype != device.dtype:
            # float64 can hold what overflows the device's dtype: round it as a sound device would
            with np.errstate(over="ignore"):
                expected[-1] = _rounded(golden, evidence.candidate.dtypes[output])
        right = np.zeros(device.shape, dtype=bool)
        for array in expected:
            right |= _same(device, array)
        wrong = int(right.size - np.count_nonzero(right))
        if wrong == 0:
            return Finding(self.name, output, Outcome.PASS, 0.0, 0.0, "elements", message="NaN and infinity as expected")
        at = [int(i) for i in np.argwhere(~right)[0]]
        value, wanted = device[tuple(at)], expected[-1][tuple(at)]
        kind = "finite" if np.isfinite(value) else "not finite"
        text = f"{wrong} of {right.size} elements are wrongly finite or not; the first is {kind}: {value:.6g}, expected {wanted:.6g}"
        return Finding(self.name, output, Outcome.FAIL, float(wrong), 0.0, "elements", where=f"index {at}", message=text)


def _rounded(golden: np.ndarray, dtype: str) -> np.ndarray:
    """Turn into infinities what round-to-nearest makes infinite in `dtype` (from the midpoint past the largest number on)."""
    overflow = {"float16": 65520.0, "bfloat16": 2.0**128 - 2.0**119, "float32": 2.0**128 - 2.0**103}.get(dtype, np.inf)
    return np.where(np.abs(golden) >= overflow, np.copysign(np.inf, golden), golden)
