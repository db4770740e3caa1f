"""How long a context fits into the memory of a device? A figure, measured as far as was asked and predicted beyond. Knows no model."""

from dataclasses import dataclass

from harness.checks.evidence import Evidence
from harness.recording import Recording
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class Reach:
    """The details `read` (the longest context that was read, in tokens) and `fits` (how many are predicted to fit; None: not known)."""

    name: str = "reach"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings without a bound; `incomparable` where nothing was read."""
        ours, theirs = (_figures(side) for side in (evidence.candidate, evidence.reference))
        if ours[0] is None:
            return [Finding(self.name, "read", Outcome.INCOMPARABLE, message="no context was read")]
        told = str(evidence.candidate.details.get("stopped", ""))
        findings = [Finding(self.name, "read", Outcome.PASS, ours[0], None, "tokens", theirs[0], message=told)]
        if ours[1] is not None:
            text = "predicted by a straight line through the peaks that were measured"
            findings.append(Finding(self.name, "fits", Outcome.PASS, ours[1], None, "tokens", theirs[1], message=text))
        return findings


def _figures(recording: Recording) -> tuple[float | None, float | None]:
    read, fits = (recording.details.get(name) for name in ("read", "fits"))
    return (None if read is None else float(read)), (None if fits is None else float(fits))
