"""What is checked of a Run in a submission: seals, verdicts against findings and recordings, what was left out, who signed. No archive.

Nothing is run again here and no device is opened: a verdict is held against what was recorded. Whether the recordings are true, only a run
of one's own can tell.
"""

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from harness.recording import Recording, Status, jsonable, read_recording, slug
from harness.run import Run
from harness.shown import evidence_of
from harness.verdict import FAILING, Outcome, Verdict, sum_up
from reports.submission import recomputed


class Level(StrEnum):
    """How a point is to be taken: the submission is not sound, a reader must know it, or it informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Point:
    """One thing that a check has to say."""

    level: Level
    text: str


def sealed(run: Run) -> Iterator[Point]:
    """Read every recording of a Run and of the Runs inside it, tensors too where they are there."""
    read = 0
    for manifest in sorted(run.folder.rglob("run.json")):
        inner = Run.open(manifest.parent)
        for folder in sorted(path.parent for path in (inner.folder / "recordings").glob("*/recording.json")):
            try:
                yield from _recording(inner, folder)
                read += 1
            except AssayError as error:
                yield Point(Level.ERROR, str(error))
    yield Point(Level.NOTE, f"{read} recordings bear the seal with which they were written")


def _recording(run: Run, folder: Path) -> Iterator[Point]:
    recording = read_recording(folder)
    if slug(recording.case) != folder.name:
        yield Point(Level.ERROR, f"{folder}: holds a recording of {recording.case}, which belongs elsewhere")
    if _key(recording.definition) != recording.key:
        yield Point(Level.ERROR, f"{folder}: the recording's key is not that of its case definition")
    if (folder / "tensors.safetensors").exists():
        recording.tensors  # noqa: B018  # reading them holds them against their SHA-256


def _key(definition: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(definition), sort_keys=True).encode()).hexdigest()


def complete(run: Run) -> Iterator[Point]:
    """Hold what was recorded, what was judged and what there is against each other: a failing case may have been left out."""
    judged = {v["case"]: v for v in run.verdict_documents()}
    recorded = {recording.case for recording in run.recordings()}
    files = sorted(path.stem for path in (run.folder / "verdicts").glob("*.json"))
    if files != sorted(map(slug, judged)):
        yield Point(Level.ERROR, "a verdict's file bears another case's name, or a case has two verdicts")
    if unjudged := sorted(recorded - set(judged)):
        yield Point(Level.ERROR, f"{_named(unjudged)}: recorded, and the verdict is missing")
    if unrecorded := sorted(set(judged) - recorded):
        yield Point(Level.ERROR, f"{_named(unrecorded)}: judged, and the candidate's recording is missing")
    known = run.catalogue()
    if not known:
        yield Point(Level.WARNING, "the run does not say which cases there are: whether one was left out cannot be told")
        return
    if foreign := sorted(case for case, v in judged.items() if _key(v["definition"]) != known.get(case) and not _adapted(v)):
        yield Point(Level.WARNING, f"{_named(foreign)}: no case of this version's catalogue, or defined otherwise there")
    if missing := sorted(set(known) - set(judged)):
        yield Point(Level.WARNING, f"{len(missing)} of {len(known)} cases were not run, among them {_named(missing)}")


def _adapted(document: Mapping[str, Any]) -> bool:
    """Tell whether a case was run with another model or another part of the standard than the catalogue has, which its command tells."""
    return any(option in str(document.get("reproduce")) for option in ("--model", "--standard"))


def agreed(run: Run, golden: Mapping[str, Path]) -> Iterator[Point]:
    """Hold each verdict against its findings, and against the recordings that it was reached from."""
    figures = followed = 0
    for verdict in run.verdicts():
        for fault in _disagreement(run, verdict):
            yield Point(Level.ERROR, f"{verdict.case}: {fault}")
        for finding, again in recomputed.figures(run, verdict, golden):
            figures += 1
            if recomputed.same(finding, again):
                followed += 1
            else:
                text = f"{finding.check} of {finding.subject} says {finding.measured:.4g} {finding.unit}, and its tensors give {again:.4g}"
                yield Point(Level.ERROR, f"{verdict.case}: {text}")
    yield Point(Level.NOTE, f"{followed} of {figures} errors that can be computed again from the tensors are what the verdicts say")


def _disagreement(run: Run, verdict: Verdict) -> Iterator[str]:
    outcome, _ = sum_up(verdict.findings)
    signed = any(finding.check == "waiver" for finding in verdict.findings)
    acquitted = any(finding.check == "appeal" for finding in verdict.findings)
    if outcome is not verdict.outcome and not signed and not acquitted:
        yield f"is called {verdict.outcome}, and its findings amount to {outcome}"
    if verdict.outcome is Outcome.WAIVED and not any(f.check == "waiver" and f.outcome is Outcome.WAIVED for f in verdict.findings):
        yield "is called waived, and no waiver is among its findings"
    if verdict.outcome is Outcome.PASS and signed and any(f.outcome in FAILING for f in verdict.findings):
        yield "is called pass, and a waiver is never a pass"
    recording = run.recording(verdict.case)
    if recording is None:
        return
    if recording.status is not Status.OK and verdict.outcome is Outcome.PASS:
        yield f"is called pass, and its recording ended as {recording.status}"
    sides = {"candidate": recording, **{side: _inner(run, side, verdict.case) for side in ("reference", "golden")}}
    for side, own in sides.items():
        if own and (side == "candidate" or side in verdict.evidence) and (names := _unlike(verdict.evidence.get(side, {}), own)):
            yield f"its evidence of the {side} is not that of the recording ({', '.join(names)})"


def _inner(run: Run, side: str, case: str) -> Recording | None:
    """Return the recording of a case in the Run of a live reference or of float64 inside this one; None where there is none."""
    return Run.open(run.folder / side).recording(case) if (run.folder / side / "run.json").exists() else None


def _unlike(evidence: Mapping[str, Any], recording: Recording) -> list[str]:
    """Name what the verdict shows otherwise than the recording has it; series need tensors, which may have been left out."""
    if not evidence:
        return ["all of it"]
    there = recording.folder is not None and (recording.folder / "tensors.safetensors").exists()
    shown, given = _stored(evidence_of(recording if there else replace(recording, series=()))), _stored(evidence)
    return sorted(name for name, value in shown.items() if given.get(name, value) != value and (there or name != "series"))


def _stored(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return it as it looks when it was written and read again."""
    return dict(json.loads(json.dumps(jsonable(dict(document)))))


def signed(run: Run, today: datetime.date) -> Iterator[Point]:
    """Look at the waivers that excused something: who signed, and whether the last day is over."""
    waivers = {str(w["source"]): w for w in run.manifest.get("waivers", ())}
    used: dict[str, int] = {}
    for verdict in run.verdicts():
        for finding in verdict.findings:
            if finding.check == "waiver" and finding.outcome is Outcome.WAIVED:
                used[finding.subject] = used.get(finding.subject, 0) + 1
    for source, count in sorted(used.items()):
        waiver = waivers.get(source)
        if waiver is None:
            yield Point(Level.ERROR, f"{count} cases are excused by {source}, which is not among the run's waivers")
        elif datetime.date.fromisoformat(str(waiver["expires"])) < today:
            yield Point(
                Level.ERROR, f"{count} cases are excused by {source}, whose last day was {waiver['expires']}: it excuses nothing any more"
            )
        else:
            yield Point(
                Level.WARNING, f"{count} cases fail and are excused by {source}: {waiver['owner']} signed until {waiver['expires']}"
            )


def _named(cases: list[str]) -> str:
    return ", ".join(cases[:3]) + (f" and {len(cases) - 3} more" if len(cases) > 3 else "")
