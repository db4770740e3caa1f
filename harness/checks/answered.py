"""Does the device answer what it must, and refuse what it must? For cases of many samples. Knows no operator.

A workload says which of its samples raised in `details["raised"]`: sample -> {"unsupported": whether the device says that it has no
such operator or dtype, "message": its words}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.checks.evidence import Evidence, told_of
from harness.recording import Recording
from harness.verdict import Cause, Finding, Outcome

#: PyTorch's words for what it could compute, but not as the harness demands; another device may, so they refuse no argument.
_UNSTEADY = "does not have a deterministic implementation"

Said = Mapping[str, Mapping[str, Any]]


def raised(recording: Recording | None) -> Said:
    """Return which samples raised, and what they said."""
    found: Said = recording.details.get("raised", {}) if recording else {}
    return found


@dataclass(frozen=True)
class Answered:
    """Samples that the reference answers are answered, and those that it refuses for their arguments are refused.

    `refusing`: to be refused is what the samples are for.
    """

    refusing: bool = False
    name: str = "answered"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding for each thing that is wrong, or one that nothing is."""
        ours, theirs = raised(evidence.candidate), raised(evidence.reference)
        samples = len(evidence.candidate.details.get("samples", ()))
        if samples and len(theirs) == samples and not self.refusing:
            text = f"the reference answers none of {samples} samples; the first: {next(iter(theirs.values()))['message']}"
            return [Finding(self.name, "samples", Outcome.MISTRUSTED, message=text)]
        wrong = [
            self._told(
                evidence, [p for p in ours if p not in theirs and not ours[p]["unsupported"]], ours, "raise where the reference answers"
            ),
            self._told(
                evidence,
                [p for p in theirs if p not in ours and not theirs[p]["unsupported"] and _UNSTEADY not in theirs[p]["message"]],
                theirs,
                "are answered where the reference raises",
            ),
            self._told(
                evidence, [p for p in ours if p not in theirs and ours[p]["unsupported"]], ours, "are not supported", Outcome.UNSUPPORTED
            ),
            self._missing(evidence),
        ]
        findings = [finding for finding in wrong if finding]
        return findings or [Finding(self.name, "samples", Outcome.PASS, 0.0, 0.0, "samples", message=_without_golden(evidence))]

    def _told(self, evidence: Evidence, parts: Sequence[str], said: Said, text: str, outcome: Outcome = Outcome.FAIL) -> Finding | None:
        if not parts:
            return None
        words = evidence.candidate.details.get("samples", ())
        message = f"{len(parts)} of {len(words)} samples {text}; the first: {said[parts[0]]['message']}"
        where = f"sample {parts[0]} {words[int(parts[0])]}" if parts[0].isdigit() and int(parts[0]) < len(words) else f"sample {parts[0]}"
        cause = Cause.ARGUMENTS if outcome is Outcome.FAIL else None
        return Finding(self.name, "samples", outcome, float(len(parts)), 0.0, "samples", where=where, message=message, cause=cause)

    def _missing(self, evidence: Evidence) -> Finding | None:
        """Say which outputs of answered samples the reference has and the candidate has not."""
        ours = raised(evidence.candidate)
        names = [
            name for name in evidence.reference.tensors
            if name not in evidence.candidate.tensors and "@" not in name and not told_of(name)
            and name.partition(".")[0] not in ours and evidence.answered(name)
        ]  # fmt: skip
        if not names:
            return None
        text = f"{len(names)} outputs are missing that the reference has"
        return Finding(
            self.name, "outputs", Outcome.FAIL, float(len(names)), 0.0, "outputs", where=names[0], message=text, cause=Cause.FORM
        )


def _without_golden(evidence: Evidence) -> str:
    without = [part for part in raised(evidence.golden) if part not in raised(evidence.reference)]
    return f"{len(without)} samples have no float64 evaluation: {raised(evidence.golden)[without[0]]['message']}" if without else ""
