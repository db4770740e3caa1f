"""Are NaN and infinity exactly where they belong? Knows no operator; it always runs before closeness.

Truth table of the CANN operator precision standard (cann/opbase): an element is right when the device equals the golden
where the golden is NaN or infinite, or when the device equals the reference device. Everything else that is not finite
on one side only is a failure, never masked.
"""

from dataclasses import dataclass

import numpy as np

from harness.checks.evidence import MANY, Evidence, plain_name
from harness.checks.rounding import representable
from harness.verdict import Cause, Finding, Outcome


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Elementwise: both NaN, or the same infinity, or both finite."""
    return np.where(np.isfinite(a) & np.isfinite(b), True, (np.isnan(a) & np.isnan(b)) | (a == b))


@dataclass(frozen=True)
class SpecialValues:
    """No NaN or infinity but where the golden or the reference has the same, and none missing."""

    only: tuple[str, ...] = ("*",)
    name: str = "special_values"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding an output; where there are many and all are right, one for all."""
        findings = [self._one(evidence, output) for output in evidence.floating(self.only)]
        if len(findings) <= MANY:
            return findings
        wrong = [finding for finding in findings if finding.outcome is not Outcome.PASS]
        text = f"NaN and infinity as expected in {len(findings)} outputs"
        return wrong[:MANY] or [Finding(self.name, "all", Outcome.PASS, 0.0, 0.0, "elements", message=text)]

    def _one(self, evidence: Evidence, output: str) -> Finding:
        device = evidence.candidate.tensors[output]
        reference = evidence.reference.tensors.get(plain_name(output))
        golden = evidence.golden.tensors.get(plain_name(output)) if evidence.golden else None
        if golden is not None and golden.dtype != device.dtype:
            golden = representable(golden, evidence.candidate.dtypes[output])  # float64 holds what overflows the device's dtype
        expected = [array for array in (reference, golden) if array is not None and array.shape == device.shape]
        if not expected:
            text = f"neither the reference nor the golden has this output in this shape, {device.shape}"
            return Finding(self.name, output, Outcome.FAIL, message=text, cause=Cause.FORM)
        if np.isfinite(device).all() and all(np.isfinite(array).all() for array in expected):
            return Finding(self.name, output, Outcome.PASS, 0.0, 0.0, "elements")
        right = np.zeros(device.shape, dtype=bool)
        for array in expected:
            right |= _same(device, array)
        wrong = int(right.size - np.count_nonzero(right))
        if wrong == 0:
            return Finding(self.name, output, Outcome.PASS, 0.0, 0.0, "elements", message="NaN and infinity as expected")
        at = [int(i) for i in np.argwhere(~right)[0]]
        value, wanted = device[tuple(at)], expected[-1][tuple(at)]
        kind = "finite" if np.isfinite(value) else "not finite"
        cause = Cause.LAYOUT if "@" in output else Cause.SPECIAL
        text = f"{wrong} of {right.size} elements are wrongly finite or not; the first is {kind}: {value:.6g}, expected {wanted:.6g}"
        return Finding(self.name, output, Outcome.FAIL, float(wrong), 0.0, "elements", where=f"index {at}", message=text, cause=cause)
