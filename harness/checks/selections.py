"""Does a model select as float64 does, near-ties aside, and as its own scores say? Knows no model.

Two promises. The k that a device takes are the k largest of its own scores, exactly: that needs no reference. And they are float64's, but
for swaps between candidates whose float64 scores lie closer together than scores are accurate (`choices.py`); that scores are as accurate
as the reference's is promised too. How much of the two sets is the same is reported, never judged: near-ties lower it on any device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.checks.choices import score_noise, shortfall, taken_of
from harness.checks.closeness import bounds_of, roundoff
from harness.checks.errors import Output, size_up
from harness.checks.evidence import Evidence
from harness.verdict import Cause, Finding, Outcome

_SCORES, _CHOSEN = "scores/", "chosen/"


@dataclass(frozen=True)
class Selections:
    """Each output `chosen/<place>` (int [rows, k]) has the k largest of `scores/<place>` (float [rows, candidates])."""

    name: str = "selections"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings a place: the rows that select wrongly, of which none may, and the rms error of the scores."""
        if evidence.golden is None:
            return [Finding(self.name, "all", Outcome.INCOMPARABLE, message="no float64 golden")]
        places = [_places(side.tensors) for side in (evidence.candidate, evidence.reference, evidence.golden)]
        if not places[0] or any(other != places[0] for other in places):
            text = f"the sides select in different places: {', '.join(sorted(set(places[0]) ^ set(places[-1]))) or 'none at all'}"
            return [Finding(self.name, "all", Outcome.INCOMPARABLE, message=text)]
        return [finding for place in places[0] for finding in (self._judge(evidence, place), *self._scores(evidence, place))]

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return for reports `overlap`: for each place its name and the share of float64's selections that candidate and reference have."""
        if evidence.golden is None:
            return {}
        golden, rows = evidence.golden.tensors, []
        for place in _places(golden):
            sides = [side.tensors.get(_CHOSEN + place) for side in (evidence.candidate, evidence.reference)]
            if any(side is None or _malformed(side, golden[_SCORES + place]) for side in sides):
                continue
            shares = [overlap(side, golden[_CHOSEN + place], golden[_SCORES + place]) for side in sides if side is not None]
            rows.append([place.partition("/")[2], *(float(f"{share:.6g}") for share in shares)])
        return {"overlap": rows}

    def _judge(self, evidence: Evidence, place: str) -> Finding:
        assert evidence.golden is not None
        chosen, own = (evidence.candidate.tensors[kind + place] for kind in (_CHOSEN, _SCORES))
        golden = evidence.golden.tensors[_SCORES + place].astype(np.float64)
        theirs = evidence.reference.tensors[_SCORES + place].astype(np.float64)
        if _malformed(chosen, golden) or own.shape != golden.shape or theirs.shape != golden.shape:
            text = "an index is out of range or chosen twice, or the shapes differ"
            return Finding(self.name, place, Outcome.FAIL, message=text, cause=Cause.CHOICE)
        finite = np.isfinite(golden) & np.isfinite(theirs)
        near = 2 * score_noise(theirs[finite], golden[finite], roundoff(evidence, _SCORES + place).floor)
        gap, by_own = shortfall(chosen, golden), shortfall(chosen, own.astype(np.float64))
        wrong = (gap > near) | (by_own > 0)
        decided = margins(golden, chosen.shape[1]) > near
        same = overlap(chosen, evidence.golden.tensors[_CHOSEN + place], golden)
        message = f"{same:.2%} of float64's selections; {np.count_nonzero((gap > 0) & ~wrong)} of {len(gap)} rows swap a near-tie"
        outcome, where = Outcome.PASS, ""
        if wrong.any():
            at = int(np.argmax(np.where(by_own > 0, np.inf, gap)))
            outcome, where = Outcome.FAIL, f"row {at}: chose {chosen[at].tolist()}"
            why = "not the largest of its own scores" if by_own[at] > 0 else f"by {gap[at]:.3g}, a near-tie is up to {near:.3g}"
            message = f"{np.count_nonzero(wrong)} of {len(gap)} rows select wrongly, this one {why}; {same:.2%} of float64's selections"
        elif not decided.any():
            outcome, message = Outcome.MISTRUSTED, "every row is a near-tie at the accuracy of these scores; nothing could have failed"
        figures = (float(np.count_nonzero(wrong)), 0.0, "rows")
        return Finding(self.name, place, outcome, *figures, where=where, message=message, cause=Cause.CHOICE if wrong.any() else None)

    def _scores(self, evidence: Evidence, place: str) -> list[Finding]:
        """Judge the size of the scores' error alone: they come out of a whole model, where errors have causes in common and so lean."""
        sides = evidence.sides(_SCORES + place)
        if isinstance(sides, str) or not sides.one_shape():
            return []  # `_judge` says so
        sized = size_up([Output(sides.golden, sides.candidate, (sides.reference,))])[0]
        u = roundoff(evidence, _SCORES + place)
        rms = bounds_of(sized.error, sized.own, u, max(sized.signal.count, 10))[0]
        figures = (rms.measured / u.unit, rms.allowed / u.unit, "u", rms.accepted / u.unit)
        wrong = not rms.measured <= rms.allowed
        message = f"{figures[0]:.3g} u, allowed {figures[1]:.3g} u (the reference device: {figures[3]:.3g} u)" if wrong else ""
        outcome, cause = (Outcome.FAIL, Cause.PRECISION) if wrong else (Outcome.PASS, None)
        return [Finding(self.name, f"{place} scores rms", outcome, *figures, message=message, cause=cause)]


def overlap(chosen: np.ndarray, golden: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of the golden's selections [rows, k] that `chosen` has; those whose float64 score is masked do not count."""
    right = taken_of(golden, scores) & np.isfinite(scores)
    return float(np.count_nonzero(right & taken_of(chosen, scores))) / max(1, int(np.count_nonzero(right)))


def margins(scores: np.ndarray, k: int) -> np.ndarray:
    """Return in each row how far the k-th largest lies above the next: infinite if there is no next or it is masked, 0 for two masked."""
    if k >= scores.shape[1]:
        return np.full(len(scores), np.inf)
    ordered = -np.sort(-scores, axis=1)
    with np.errstate(invalid="ignore"):
        gap = ordered[:, k - 1] - ordered[:, k]
    return np.where(np.isnan(gap), 0.0, gap)


def _places(tensors: Mapping[str, np.ndarray]) -> list[str]:
    named = (name.removeprefix(_CHOSEN) for name in tensors if name.startswith(_CHOSEN))
    return sorted(place for place in named if _SCORES + place in tensors)


def _malformed(chosen: np.ndarray, scores: np.ndarray) -> bool:
    """Say whether indices [rows, k] cannot be a selection from scores [rows, n]."""
    if chosen.ndim != 2 or scores.ndim != 2 or len(chosen) != len(scores):
        return True
    ordered = np.sort(chosen, axis=1)
    return bool(chosen.size and (ordered[:, 0].min() < 0 or ordered[:, -1].max() >= scores.shape[1] or (np.diff(ordered) == 0).any()))
