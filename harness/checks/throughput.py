"""How fast it was, and beside the reference: figures with intervals. It never fails a run for being slow. Knows no model.

How rounds are taken is in `harness.rounds`, from which on they count in `harness.steady`, and when a difference counts in `harness.change`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import steady
from harness.change import FEWEST, Taken, between, middle
from harness.checks.evidence import Evidence
from harness.recording import Recording
from harness.steady import State
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class Throughput:
    """Work a second, from the raw rounds that count, and the ratio to the reference's."""

    name: str = "throughput"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return findings without a bound: `mistrusted` when nothing was timed, `inconclusive` without a steady state."""
        candidate, reference = evidence.candidate, evidence.reference
        unit = f"{candidate.unit}/s"
        if not candidate.seconds or min(candidate.seconds) <= 0:
            return [
                Finding(self.name, "rate", Outcome.MISTRUSTED, unit=unit, message="no round was timed; run without --benchmark-disable")
            ]
        found = middle(candidate.seconds)
        low, high = (candidate.work / end if end else None for end in (found.high, found.low))
        own = reference.work / middle(reference.seconds).value if reference.seconds else None
        timing = candidate.details.get("timing", {})
        outcome = Outcome.INCONCLUSIVE if timing.get("state") == State.NONE else Outcome.PASS
        text = told(timing, len(candidate.seconds), found.width)
        rate = Finding(self.name, "rate", outcome, candidate.work / found.value, None, unit, own, low, high, message=text)
        return [rate, *([self._ratio(candidate, reference)] if reference.seconds and min(reference.seconds) > 0 else [])]

    def _ratio(self, candidate: Recording, reference: Recording) -> Finding:
        sides = [Taken(side.seconds, side.details.get("timing", {})) for side in (candidate, reference)]
        found = between(*sides)
        ratio = found.ratio
        return Finding(
            self.name, "ratio to the reference", Outcome.PASS, ratio.value, None, "×", 1.0, ratio.low, ratio.high,
            message=f"{found.told}: {found.text}", answer=str(found.told),
        )  # fmt: skip


def told(timing: Mapping[str, Any], counted: int, width: float) -> str:
    """Return in a line how rounds were taken and what they are good for; `width` is half of the median's interval, as a share of it."""
    before, state = len(timing.get("before", ())), timing.get("state", "")
    if state == State.NONE and counted < steady.FEWEST:
        state = "too few to see a steady state"
    text = f"median of {counted} rounds" + (f" after {before} of {state}" if before else f", {state}" if state else "")
    if counted < FEWEST:
        return f"{text}; fewer than {FEWEST} rounds carry no 95 % interval"
    asked = timing.get("asked_width")
    if asked is not None and width > asked:
        known = f"known to ±{100 * width:.2g} %, where {100 * asked:.2g} % was asked for"
        return f"{text}; {known}: too few rounds to tell ({timing.get('ended')})"
    return text
