"""Judge a candidate's recording against a reference and a float64 golden. Knows no device, no workload and no file.

Nothing is compared before it is proved to be comparable: same case definition, same inputs by SHA-256.
"""

from collections.abc import Sequence
from typing import Any

from harness.case import Case
from harness.checks.evidence import Check, Evidence, Telling
from harness.digests import differing
from harness.errors import AssayError
from harness.recording import Recording, Status
from harness.shown import evidence_of
from harness.verdict import Finding, Outcome, Verdict, sum_up


def judge(
    case: Case, candidate: Recording, reference: Recording | str, golden: Recording | None = None, reproduce: str = "",
    accepted: Sequence[Recording] = (), moved: Sequence[Recording] = (), reruns: Sequence[Recording] = (),
) -> Verdict:  # fmt: skip
    """Return the verdict. `reference` may be a sentence that says why there is no recording; for the last three see `Evidence`."""
    told: dict[str, Any] = {}
    try:
        findings = _comparable(case, candidate, reference, golden)
        if not findings:
            assert isinstance(reference, Recording)
            reruns = [rerun for rerun in reruns if not _comparable(case, rerun, reference, None)]
            given = Evidence(case, candidate, reference, golden, accepted, moved, reruns)
            findings = _apply(case, given)
            told = {name: value for check in case.checks if isinstance(check, Telling) for name, value in check.told(given).items()}
    except AssayError as error:  # a tensors file that was altered or truncated
        findings = [Finding("recording", "tensors", Outcome.INCOMPARABLE, message=str(error))]
    outcome, message = sum_up(findings)
    sides = {"candidate": candidate, "reference": reference, "golden": golden}
    evidence = {side: evidence_of(recording) for side, recording in sides.items() if isinstance(recording, Recording)}
    evidence |= {"told": told} if told else {}
    return Verdict(case.id, case.area, case.dtype, outcome, message, tuple(findings), case.definition(), evidence, reproduce)


def _apply(case: Case, evidence: Evidence) -> list[Finding]:
    findings: list[Finding] = []
    for check in case.checks:
        if not isinstance(check, Check):
            raise TypeError(f"{case.id}: {check!r} is no check")
        findings += check(evidence)
    return findings


def _comparable(case: Case, candidate: Recording, reference: Recording | str, golden: Recording | None) -> list[Finding]:
    """Return why the recordings cannot be compared; empty when they can."""
    if candidate.status is not Status.OK:
        outcome = Outcome.UNSUPPORTED if candidate.status is Status.UNSUPPORTED else Outcome.ERROR
        return [Finding("status", candidate.device, outcome, message=f"{candidate.status}: {candidate.message}")]
    if isinstance(reference, str):
        return [Finding("status", "reference", Outcome.INCOMPARABLE, message=reference)]
    for side, recording in (("reference", reference), ("golden", golden)):
        if recording is None:
            continue
        if recording.status is not Status.OK:
            text = f"{side} on {recording.device}: {recording.status}: {recording.message}"
            return [Finding("status", side, Outcome.INCOMPARABLE, message=text)]
        if difference := _difference(candidate, recording, exact=side == "reference"):
            return [Finding("inputs", side, Outcome.INCOMPARABLE, message=difference)]
    return []


def _difference(candidate: Recording, other: Recording, exact: bool) -> str:
    """Say what differs between the two requests; a golden may come from a case of another dtype if its inputs are the same."""
    if exact and candidate.key != other.key:
        ours, theirs = candidate.definition, other.definition
        keys = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
        text = ", ".join(f"{k} {ours.get(k)!r} against {theirs.get(k)!r}" for k in keys)
        return (
            f"another case definition: {text or 'its digest is not that of its definition'}; record the reference again with this version"
        )
    if names := differing(candidate.inputs, other.inputs):
        return f"other inputs (SHA-256 differs): {', '.join(names)}; use the same model, data and version on both sides"
    return ""
