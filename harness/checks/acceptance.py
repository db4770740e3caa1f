"""How many of the tokens that a draft proposed did the model accept? It informs, and mistrusts a run in which one way was never gone.

Whether the tokens are right is for `decoding` to say. Knows no model.
"""

from dataclasses import dataclass

from harness.checks.evidence import Evidence
from harness.recording import Recording
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class Acceptance:
    """The details `proposed` and `accepted`, counts of tokens, of the candidate, beside the reference's; `spoilt` were wrong on purpose."""

    name: str = "acceptance"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding, the rate; `mistrusted` where nothing was accepted, or nothing refused."""
        ours = _rate(evidence.candidate)
        if ours is None:
            return [Finding(self.name, "rate", Outcome.MISTRUSTED, message="no token was proposed")]
        rate, text = ours
        if rate == 0 or (rate == 1 and not evidence.candidate.details.get("spoilt")):
            text = f"{text}: what follows {'a refusal' if rate else 'an acceptance'} was never run"
            return [Finding(self.name, "rate", Outcome.MISTRUSTED, rate, None, "share", message=text)]
        theirs = _rate(evidence.reference)
        return [Finding(self.name, "rate", Outcome.PASS, rate, None, "share", theirs[0] if theirs else None, message=text)]


def _rate(recording: Recording) -> tuple[float, str] | None:
    proposed, accepted = (int(recording.details.get(name, 0)) for name in ("proposed", "accepted"))
    return (accepted / proposed, f"{accepted} of {proposed} proposed tokens were accepted") if proposed else None
