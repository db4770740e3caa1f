"""What the probes of a candidate found: the same bits again, operands untouched, no memory of other values. Knows no operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.checks.evidence import Evidence
from harness.verdict import Cause, Finding, Outcome

_ALIKE = 0.02  # relative; an output that is stale by accident, because other operands give the same, is like the reference's


@dataclass(frozen=True)
class Probed:
    """A second call gives the same bits, operands stay as they were, and what was computed before does not show (`harness.probes`)."""

    name: str = "probed"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return three findings, or one that nothing was asked (a recording made without probes)."""
        found = evidence.candidate.details.get("probes")
        if not isinstance(found, Mapping):
            return [Finding(self.name, "probes", Outcome.PASS, message="not asked of this recording")]
        return [self._unsteady(evidence, found), self._altered(evidence), self._stale(evidence, found)]

    def _unsteady(self, evidence: Evidence, found: Mapping[str, Any]) -> Finding:
        unsteady: Mapping[str, int] = found["unsteady"]
        if not unsteady:
            return Finding(self.name, "repeat", Outcome.PASS, 0.0, 0.0, "outputs")
        name = max(unsteady, key=lambda output: unsteady[output])
        text = f"{len(unsteady)} outputs are not the same bits when called again; of {name}, {unsteady[name]} elements differ"
        return Finding(
            self.name, "repeat", Outcome.FAIL, float(len(unsteady)), 0.0, "outputs", where=name, message=text, cause=Cause.UNSTEADY
        )

    def _altered(self, evidence: Evidence) -> Finding:
        ours, theirs = (set(side.details.get("altered", ())) for side in (evidence.candidate, evidence.reference))
        more = sorted(ours - theirs)
        if not more:
            return Finding(self.name, "operands", Outcome.PASS, 0.0, 0.0, "operands")
        text = f"{len(more)} operands were written to, which the reference leaves alone"
        where = f"operand {more[0]}"
        return Finding(
            self.name, "operands", Outcome.FAIL, float(len(more)), 0.0, "operands", where=where, message=text, cause=Cause.IMPURE
        )

    def _stale(self, evidence: Evidence, found: Mapping[str, Any]) -> Finding:
        """An output that is what it was for other operands, and not what the reference or float64 has now."""
        stale = [name for name in found["stale"] if _unlike(evidence, name) and not _unmoved(evidence, name)]
        if not stale:
            return Finding(self.name, "memory", Outcome.PASS, 0.0, 0.0, "outputs")
        text = f"{len(stale)} outputs are those of an earlier call with other values at the same addresses"
        return Finding(
            self.name, "memory", Outcome.FAIL, float(len(stale)), 0.0, "outputs", where=stale[0], message=text, cause=Cause.IMPURE
        )


def _unlike(evidence: Evidence, name: str) -> bool:
    """Tell whether an output is none of what reference and float64 give: a histogram of half the values may be the same."""
    sides = [side.tensors[name] for side in (evidence.reference, evidence.golden) if side and name in side.tensors]
    return bool(sides) and not any(_alike(evidence.candidate.tensors[name], side) for side in sides)


def _unmoved(evidence: Evidence, name: str) -> bool:
    """Tell whether nothing can be stale here: no number but zero in it, or one that does not depend on the operands' values."""
    ours, sides = evidence.candidate.tensors[name], [side.tensors.get(name) for side in (evidence.golden, *evidence.moved) if side]
    known = [side for side in sides if side is not None]
    still = bool(evidence.moved) and len(known) == len(sides) and all(np.array_equal(side, known[0], equal_nan=True) for side in known)
    return still or not np.any(ours[np.isfinite(ours)])


def _alike(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.shape != theirs.shape or ours.tobytes() == theirs.tobytes():
        return ours.shape == theirs.shape
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = b[np.isfinite(b)]
    scale = float(np.sqrt(np.mean(finite * finite))) if finite.size else 0.0
    return np.allclose(a, b, rtol=_ALIKE, atol=_ALIKE * scale, equal_nan=True)
