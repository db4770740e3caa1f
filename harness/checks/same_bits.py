"""Are two of the candidate's own outputs the same, bit by bit? Needs neither reference nor golden. Knows no workload."""

from dataclasses import dataclass

import numpy as np

from harness.checks.evidence import Evidence
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class SameBits:
    """Each output `<left>/<name>` has the bits of `<right>/<name>`, and those of the candidate alone are looked at.

    A series (an output of the step) that differs names its first step, anything else its first element. Where there are series, they have
    to be finite, and one has to change from step to step: two runs in which nothing happens would be the same, too.
    """

    left: str
    right: str
    name: str = "same_bits"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding for each pair that differs; one over all where none does."""
        tensors = evidence.candidate.tensors
        sides = [{n.removeprefix(p + "/") for n in tensors if n.startswith(p + "/")} for p in (self.left, self.right)]
        if sides[0] != sides[1] or not sides[0]:
            text = f"not the same outputs under {self.left}/ and {self.right}/: {min(sides[0] ^ sides[1], default='none at all')}"
            return [Finding(self.name, f"{self.left}/*", Outcome.FAIL, message=text)]
        pairs = {n: (tensors[f"{self.left}/{n}"], tensors[f"{self.right}/{n}"]) for n in sorted(sides[0])}
        wrong = [self._differing(evidence, n, *pair) for n, pair in pairs.items() if not _same(*pair)]
        if wrong:
            return wrong
        series = [pairs[n][0] for n in pairs if f"{self.left}/{n}" in evidence.candidate.series]
        if any(not np.isfinite(values).all() for values in series if values.dtype.kind == "f"):
            return [Finding(self.name, f"{self.left}/*", Outcome.FAIL, message="the same, but not finite")]
        if series and not any(len(values) > 1 and (values[1:] != values[:-1]).any() for values in series):
            return [Finding(self.name, f"{self.left}/*", Outcome.MISTRUSTED, message="nothing changed from step to step")]
        return [
            Finding(self.name, f"{self.left}/*", Outcome.PASS, 0.0, 0.0, "elements", message=f"{len(pairs)} outputs have the same bits")
        ]

    def _differing(self, evidence: Evidence, name: str, ours: np.ndarray, theirs: np.ndarray) -> Finding:
        subject = f"{self.left}/{name}"
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            text = f"{ours.dtype} of shape {ours.shape}, and {theirs.dtype} of shape {theirs.shape} without"
            return Finding(self.name, subject, Outcome.FAIL, message=text)
        wrong = _bits(ours) != _bits(theirs)
        at = tuple(int(i) for i in np.argwhere(wrong.reshape(ours.shape))[0])
        where = f"first at step {at[0]} of {len(ours)}" if subject in evidence.candidate.series else f"index {list(at)}"
        text = f"{int(wrong.sum())} of {ours.size} elements differ from {self.right}/{name}; the first is {ours[at]!s}, not {theirs[at]!s}"
        return Finding(self.name, subject, Outcome.FAIL, float(wrong.sum()), 0.0, "elements", where=where, message=text)


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).reshape(-1).view(f"u{values.dtype.itemsize}")


def _same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.shape == theirs.shape and ours.dtype == theirs.dtype and bool((_bits(ours) == _bits(theirs)).all())
