"""Runs as tidy pandas frames: one row a verdict, one row a finding. Knows no section and no HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import AssayError
from harness.run import Run
from harness.verdict import FAILING, Finding, Verdict
from reports import localised
from reports.localised import Localised

AREAS = ("operators", "post_training", "inference", "accuracy", "performance")
OUTCOMES = ("pass", "fail", "error", "incomparable", "mistrusted", "fixed", "waived", "unsupported")

_VERDICT = ("case", "area", "dtype", "outcome", "message", "reproduce", "evidence")
_NUMBERS = ("measured", "bound", "reference", "low", "high")
_TEXTS = ("unit", "where", "message", "cause", "answer", "reference_answer")
_FINDING = ("case", "area", "dtype", "check", "subject", "outcome", *_NUMBERS, *_TEXTS)


@dataclass(frozen=True)
class Frames:
    """One Run, ready to be reported: `verdicts` has a row a case, `findings` a row a finding, `comparison` what was compared.

    `waivers` are the known differences that somebody signed, each with its `state` and, where it is inactive, `why`, all as text.
    `localised` has what was found of a case's operators, by case. `mutation` is the score that the suite was last measured to have.
    `published` has `figures` that others published, and `peaks`, the peak rates of devices.
    """

    name: str
    created: str
    comparison: dict[str, Any]
    environments: dict[str, Any]
    verdicts: pd.DataFrame
    findings: pd.DataFrame
    waivers: Sequence[Mapping[str, str]] = ()
    localised: Mapping[str, Localised] = field(default_factory=dict)
    mutation: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)

    def area(self, *areas: str) -> pd.DataFrame:
        """Return the verdicts of some areas."""
        return self.verdicts[self.verdicts["area"].isin(areas)]

    def found(self, *areas: str, check: str | None = None) -> pd.DataFrame:
        """Return the findings of some areas, or of one check in them."""
        rows = self.findings[self.findings["area"].isin(areas)]
        return rows if check is None else rows[rows["check"] == check]

    @property
    def failing(self) -> pd.DataFrame:
        """The verdicts that fail the run."""
        return self.verdicts[self.verdicts["outcome"].isin([str(o) for o in FAILING])]

    @property
    def emulated(self) -> bool:
        """Whether a side was emulated: its times are then no performance."""
        return bool(self.comparison.get("emulated"))

    def side(self, name: str) -> dict[str, Any]:
        """Return the description of the candidate's or the reference's device."""
        return dict(self.comparison.get(name) or {"name": "unknown"})


def load(folder: Path) -> Frames:
    """Read a Run's verdicts. Raises AssayError: no Run, broken, other format, or without a single verdict."""
    run = Run.open(folder)
    verdicts = list(run.verdicts())
    if not verdicts:
        raise AssayError(f"{folder}: holds no verdict; run pytest suites/ --run {folder} first")
    table = pd.DataFrame([_finding(v, f) for v in verdicts for f in v.findings], columns=list(_FINDING))
    frame = pd.DataFrame([_row(v) for v in verdicts], columns=list(_VERDICT))
    manifest = run.manifest
    if (manifest["comparison"] or {}).get("emulated"):
        table = table[table["check"] != "throughput"]  # a time on a stand-in is nobody's performance
    about = (folder.resolve().name, manifest["created"], manifest["comparison"], manifest["environments"])
    waivers = [{name: _text(str(value)) for name, value in waiver.items()} for waiver in manifest.get("waivers", ())]
    return Frames(
        *about,
        frame,
        table.astype(dict.fromkeys(_NUMBERS, float)),
        waivers,
        localised.load(folder),
        manifest.get("mutation", {}),
        manifest.get("published", {}),
    )


def _row(v: Verdict) -> tuple[object, ...]:
    texts = (_text(t) for t in (v.case, v.area, v.dtype, str(v.outcome), v.message, v.reproduce))
    return *texts, {side: _evidence(e) for side, e in v.evidence.items()}


def _text(text: str) -> str:
    """Replace halves of surrogate pairs, which a device's undecodable message can hold, and no file in UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _evidence(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence with its numbers as numbers: those that are not finite are stored as text."""
    seconds = [float(s) for s in evidence.get("seconds", ())]
    series = {name: [float(v) for v in values] for name, values in evidence.get("series", {}).items()}
    texts = {key: _text(value) for key, value in evidence.items() if isinstance(value, str)}
    return {**evidence, **texts, "seconds": seconds, "series": series}


def _finding(v: Verdict, f: Finding) -> tuple[object, ...]:
    numbers = (f.measured, f.bound, f.reference, f.low, f.high)
    head = (_text(t) for t in (v.case, v.area, v.dtype, f.check, f.subject, str(f.outcome)))
    return *head, *numbers, *(_text(t) for t in (f.unit, f.where, f.message, f.cause or "", f.answer, f.reference_answer))


def load_all(folders: Sequence[Path]) -> list[Frames]:
    """Read several Runs in the order given."""
    return [load(folder) for folder in folders]


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows as named tuples; their fields are what the columns hold, which no type checker can know."""
    yield from frame.itertuples()
