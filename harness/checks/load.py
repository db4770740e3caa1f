"""What load an engine bears: latencies with intervals, goodput, where it saturates. Slow is never a fault; a request that failed is.

The raw times of each request are in the recording (see `suites/workloads/serving/load.py`); everything here is derived from them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.checks.evidence import Evidence
from harness.recording import Recording
from harness.serving.figures import Requests, figures, saturation
from harness.verdict import Finding, Outcome

_SHOWN = (("ttft", "time to first token"), ("tpot", "time a further token"))
_REFUSED = "refused"


@dataclass(frozen=True)
class Load:
    """Every request ends as it must, but for those that a server refuses when more arrive than it can serve; the figures inform."""

    name: str = "load"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return findings on failed requests, on this client, on saturation, and of each phase on p95 of two latencies and on rates."""
        phases, theirs = described(evidence.candidate), described(evidence.reference)
        if not phases:
            return [Finding(self.name, "requests", Outcome.MISTRUSTED, message="no request was recorded")]
        beside: Sequence[Mapping[str, Any] | None] = theirs if len(theirs) == len(phases) else [None] * len(phases)
        found = [self._failed(evidence.candidate, phases), *self._late(phases), *self._saturation(phases, theirs)]
        return found + [f for ours, other in zip(phases, beside, strict=True) for f in self._phase(ours, other)]

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return what a report draws: every phase's figures, of either side, and what counts as good."""
        sides = {name: described(side) for name, side in (("candidate", evidence.candidate), ("reference", evidence.reference))}
        limits = {name: evidence.candidate.details.get(name) for name in ("ttft", "tpot")}
        return {"load": {**sides, **limits, "failures": evidence.candidate.details.get("failures", [])}}

    def _failed(self, ours: Recording, phases: Sequence[Mapping[str, Any]]) -> Finding:
        broken, total = sum(p["failed"] for p in phases), sum(p["requests"] for p in phases)
        early = sum(p["refused"] for p in phases if p["loop"] == "closed")
        refused = sum(p["refused"] for p in phases) - early
        words = f"{total} requests, each sent once" + (f"; {refused} arrived when there was no room, and were refused" if refused else "")
        figures_ = (float(broken + early), 0.0, "requests")
        if not broken + early:
            return Finding(self.name, "failed", Outcome.PASS, *figures_, message=words)
        kinds = Counter(int(code) for code in ours.tensors["load_failure"] if code)
        said = ours.details["failures"]
        parts = [f"{n} {said[code - 1]['kind']} ({said[code - 1]['message']})" for code, n in kinds.most_common()]
        return Finding(self.name, "failed", Outcome.FAIL, *figures_, message=f"{broken + early} of {words} failed: {'; '.join(parts)}")

    def _late(self, phases: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
        """Say where this client itself sent requests later than they were due, by more than a tenth of what was to be measured."""
        late = [p for p in phases if p["loop"] == "open" and p["late"] > p["late_allowed"] > 0 and not p["grows"]]
        if late:
            worst = max(late, key=lambda p: float(p["late"]))
            text = (
                "cannot tell: this client sent requests later than they were due, which is in all latencies; run it on a machine of its own"
            )
            yield Finding(
                self.name, "client", Outcome.INCONCLUSIVE, worst["late"], worst["late_allowed"], "s", where=worst["name"], message=text
            )

    def _saturation(self, phases: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
        if not any(p["loop"] == "open" for p in phases):
            return
        (borne, over), own = saturation(phases), saturation(theirs)[1] if theirs else None
        if borne and over:
            text = f"the queue begins to grow between {borne:.3g} and {over:.3g} requests a second"
        elif over:
            text = f"the queue grows already at {over:.3g} requests a second, the lowest rate tried"
        else:
            text = (
                f"the queue grows at none of the rates tried, up to {borne:.3g} requests a second"
                if borne
                else "cannot tell: too few requests a phase"
            )
        yield Finding(self.name, "saturation", Outcome.PASS, over, None, "requests/s", own, borne, over, message=text)

    def _phase(self, ours: Mapping[str, Any], other: Mapping[str, Any] | None) -> Iterator[Finding]:
        where = str(ours["name"])
        steady = "no steady state: the latencies never settled" if ours["cut"] is None else f"steady after {ours['cut']} requests"
        text = f"{steady}, {ours['steady']} count" + ("; the queue grows" if ours["grows"] else "")
        for key, what in _SHOWN:
            (value, low, high), theirs = ours[key][1], other[key][1][0] if other else None
            told = text if value is not None else f"too few requests for a 95 % percentile with an interval; {text}"
            yield Finding(self.name, f"{where}: {what} p95", Outcome.PASS, value, None, "s", theirs, low, high, message=told)
        for key, what, unit in (("tokens", "rate", "tokens/s"), ("goodput", "goodput", "requests/s")):
            yield Finding(self.name, f"{where}: {what}", Outcome.PASS, ours[key], None, unit, other[key] if other else None, message=text)


def described(recording: Recording) -> list[dict[str, Any]]:
    """Return the figures of each phase, in their order; none where a recording has no requests (an engine in process)."""
    phases, limits = recording.details.get("phases", ()), recording.details
    if not phases or "load_phase" not in recording.tensors:
        return []
    found = []
    for number, phase in enumerate(phases):
        requests = _requests(recording, number)
        found.append({**phase, "name": _name(phase), **figures(requests, float(limits["ttft"]), float(limits["tpot"]))})
    return found


def _requests(recording: Recording, phase: int) -> Requests:
    tensors = recording.tensors
    refused = [number for number, failure in enumerate(recording.details["failures"], 1) if failure["kind"] == _REFUSED]
    names = ("scheduled", "sent", "ended", "token_at", "count")
    parts = [tensors[f"load_{name}"] for name in names] + [tensors["load_failure"] > 0, np.isin(tensors["load_failure"], refused)]
    return Requests(*parts).of(tensors["load_phase"] == phase)


def _name(phase: Mapping[str, Any]) -> str:
    if phase["loop"] == "closed":
        return f"{phase['users']} users" if phase["users"] > 1 else "1 user"
    return f"arrivals at {phase['share']}" if phase.get("share") else f"arrivals at {phase['offered']:.3g}/s"
