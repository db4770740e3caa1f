"""Runs as tidy pandas frames: one row a verdict, one row a finding. Knows no section and no HTML."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import AssayError
from harness.run import Run
from harness.verdict import FAILING
from reports import localised
from reports.localised import Localised

AREAS = ("operators", "post_training", "inference", "accuracy", "performance")
OUTCOMES = ("pass", "fail", "error", "incomparable", "mistrusted", "fixed", "inconclusive", "waived", "unsupported")

_BATCH = 1000  # verdicts that are taken apart together
_VERDICT = ("case", "area", "dtype", "outcome", "message", "reproduce", "evidence")
_NUMBERS = ("measured", "bound", "reference", "low", "high")
_TEXTS = ("unit", "where", "message", "cause", "answer", "reference_answer")
_ABOUT = ("case", "area", "dtype")
_FINDING = (*_ABOUT, "check", "subject", "outcome", *_NUMBERS, *_TEXTS)


@dataclass(frozen=True)
class Frames:
    """One Run, ready to be reported: `verdicts` has a row a case, `findings` a row a finding, `comparison` what was compared.

    The `evidence` of a verdict is by side; of an operator that passes it is only the memory.

    `waivers` are the known differences that somebody signed, each with its `state` and, where it is inactive, `why`, all as text.
    `localised` has what was found of a case's operators, by case. `mutation` is the score that the suite was last measured to have.
    `published` has `figures` that others published, and `peaks` and `bandwidths`, the rates of devices.
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
    catalogue: Mapping[str, str] = field(default_factory=dict)

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
    with _all_kept():
        verdicts, findings = _columns(folder, run)
    if not verdicts["case"]:
        raise AssayError(f"{folder}: holds no verdict; run pytest suites/ --run {folder} first")
    table = pd.DataFrame(findings, columns=list(_FINDING)).astype({name: float if name in _NUMBERS else str for name in _FINDING})
    manifest = run.manifest
    if (manifest["comparison"] or {}).get("emulated"):
        table = table[table["check"] != "throughput"]  # a time on a stand-in is nobody's performance
    about = (folder.resolve().name, manifest["created"], manifest["comparison"], manifest["environments"])
    waivers = [{name: _listed(value) for name, value in waiver.items()} for waiver in manifest.get("waivers", ())]
    return Frames(
        *about,
        pd.DataFrame(verdicts, columns=list(_VERDICT)),
        table,
        waivers,
        localised.load(folder),
        manifest.get("mutation", {}),
        manifest.get("published", {}),
        run.catalogue(),
    )


@contextmanager
def _all_kept() -> Iterator[None]:
    """Keep the collector of garbage from looking through millions of objects again and again that are all kept: it takes half the time."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _columns(folder: Path, run: Run) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Return verdicts and findings column by column, which is what a table of a hundred thousand is made from in seconds."""
    verdicts: dict[str, list[Any]] = {name: [] for name in _VERDICT}
    findings: dict[str, list[Any]] = {name: [] for name in _FINDING}
    documents = run.verdict_documents()
    while batch := list(islice(documents, _BATCH)):
        try:
            _add(batch, verdicts, findings)
        except (KeyError, TypeError, AttributeError) as error:
            cases = f"{batch[0].get('case')} to {batch[-1].get('case')}"
            raise AssayError(f"{folder}: a verdict among {cases} is incomplete ({error!r}); record that case again") from error
    return verdicts, findings


def _add(batch: Sequence[Mapping[str, Any]], verdicts: dict[str, list[Any]], findings: dict[str, list[Any]]) -> None:
    """Add some verdicts, as they are stored, to the columns."""
    found = [finding for document in batch for finding in document["findings"]]
    counts = [len(document["findings"]) for document in batch]
    for name in _VERDICT[:-1]:
        verdicts[name] += _texts([document[name] for document in batch])
    verdicts["evidence"] += map(_sides, batch)
    for name in _ABOUT:
        findings[name] += chain.from_iterable(map(repeat, verdicts[name][-len(batch) :], counts))
    for name in _FINDING[len(_ABOUT) :]:
        cells = [finding[name] for finding in found]
        findings[name] += cells if name in _NUMBERS else _texts(cells)


def _texts(cells: list[Any]) -> list[str]:
    """Return texts without halves of surrogate pairs; where all is ASCII, which one look tells, they are as they were."""
    if None in cells:
        cells = [cell or "" for cell in cells]
    return cells if "".join(cells).isascii() else [_text(cell) for cell in cells]


def _listed(value: object) -> str:
    """Return a part of a waiver as text: a list of patterns with commas between."""
    return _text(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


def _text(text: str) -> str:
    """Replace halves of surrogate pairs, which a device's undecodable message can hold, and no file in UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _sides(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the evidence of each side; of an operator that passes only its memory, because of those there can be a hundred thousand."""
    if document["area"] == "operators" and document["outcome"] == "pass":
        return {side: {"memory": e.get("memory", {})} for side, e in document["evidence"].items()}
    return {side: _evidence(e) for side, e in document["evidence"].items()}


def _evidence(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the evidence with its numbers as numbers: those that are not finite are stored as text."""
    seconds, message = evidence.get("seconds", ()), str(evidence.get("message", ""))
    if not evidence.get("series") and message.isascii() and all(type(s) is float for s in seconds):
        return evidence
    series = {name: [float(v) for v in values] for name, values in evidence.get("series", {}).items()}
    return {**evidence, "message": _text(message), "seconds": [float(s) for s in seconds], "series": series}


def load_all(folders: Sequence[Path]) -> list[Frames]:
    """Read several Runs in the order given."""
    return [load(folder) for folder in folders]


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows as named tuples; their fields are what the columns hold, which no type checker can know."""
    yield from frame.itertuples()
