"""Runs as tidy pandas frames: one row a verdict, one row a finding. Knows no section and no HTML."""

import gc
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import AssayError
from harness.run import Run
from harness.verdict import FAILING
from reports import localised
from reports.localised import Localised

AREAS = ("operators", "post_training", "inference", "accuracy", "performance")
OUTCOMES = ("pass", "fail", "error", "incomparable", "mistrusted", "fixed", "inconclusive", "waived", "unsupported")

_BATCH = 30  # verdicts that are taken apart together: what was parsed is still in the cache then, which saves a third of the time
_VERDICT = ("case", "area", "dtype", "outcome", "message", "reproduce", "evidence")
_NUMBERS = ("measured", "bound", "reference", "low", "high")
_TEXTS = ("unit", "where", "message", "cause", "answer", "reference_answer")
_ABOUT = ("case", "area", "dtype")
_FINDING = ("check", "subject", "outcome", *_NUMBERS, *_TEXTS)


@dataclass(frozen=True)
class Frames:
    """One Run, ready to be reported: `verdicts` has a row a case, `findings` a row a finding, `comparison` what was compared.

    The `evidence` of a verdict is by side; of an operator that passes it is only the memory. Texts of findings are categories.

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
    if verdicts.empty:
        raise AssayError(f"{folder}: holds no verdict; run pytest suites/ --run {folder} first")
    manifest = run.manifest
    if (manifest["comparison"] or {}).get("emulated"):
        findings = findings[findings["check"] != "throughput"]  # a time on a stand-in is nobody's performance
    about = (folder.resolve().name, manifest["created"], manifest["comparison"], manifest["environments"])
    waivers = [{name: _listed(value) for name, value in waiver.items()} for waiver in manifest.get("waivers", ())]
    return Frames(
        *about,
        verdicts,
        findings,
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


class _Texts:
    """A growing column of text as numbers of words: few words make up millions of cells, and rows are picked time and again.

    None becomes an empty text, halves of surrogate pairs are replaced; words are in order, so that sorting by them is as with text.
    """

    def __init__(self) -> None:
        self._numbers: defaultdict[str | None, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        self._codes = [np.empty(0, dtype=np.int32)]

    def add(self, cells: Sequence[str | None]) -> None:
        self._codes.append(np.fromiter(map(self._numbers.__getitem__, cells), dtype=np.int32, count=len(cells)))

    def column(self) -> "pd.Categorical[str]":
        clean = [_text("" if word is None else str(word)) for word in self._numbers]
        known = {word: n for n, word in enumerate(sorted(set(clean)))}
        places = np.array([known[word] for word in clean], dtype=np.int32)
        return pd.Categorical.from_codes(places[np.concatenate(self._codes)], pd.Index(list(known), dtype=str))


class _Numbers:
    """A growing column of numbers; those that are not finite are stored as text, and None, where there is none, is NaN."""

    def __init__(self) -> None:
        self._parts = [np.empty(0)]

    def add(self, cells: Sequence[float | str | None]) -> None:
        self._parts.append(np.array(cells, dtype=np.float64))

    def column(self) -> np.ndarray:
        return np.concatenate(self._parts)


def _columns(folder: Path, run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return verdicts and findings, made column by column: a hundred thousand rows would take minutes."""
    texts = {name: _Texts() for name in _VERDICT[:-1]}
    findings = {name: _Numbers() if name in _NUMBERS else _Texts() for name in _FINDING}
    evidence: list[Mapping[str, Any]] = []
    counts: list[int] = []
    documents = run.verdict_documents()
    while batch := list(islice(documents, _BATCH)):
        try:
            _add(batch, texts, findings)
            evidence += map(_sides, batch)
            counts += [len(document["findings"]) for document in batch]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            cases = f"{batch[0].get('case')} to {batch[-1].get('case')}"
            raise AssayError(f"{folder}: a verdict among {cases} is incomplete ({error!r}); record that case again") from error
    columns = {name: column.column() for name, column in texts.items()}
    about = {name: columns[name].repeat(counts) for name in _ABOUT}
    plain = {name: column.astype(object) for name, column in columns.items()}
    return pd.DataFrame({**plain, "evidence": evidence}), pd.DataFrame({**about, **{n: c.column() for n, c in findings.items()}})


def _add(batch: Sequence[Mapping[str, Any]], verdicts: Mapping[str, _Texts], findings: Mapping[str, _Texts | _Numbers]) -> None:
    """Add some verdicts, as they are stored, to the columns."""
    found = [finding for document in batch for finding in document["findings"]]
    for rows, columns in ((batch, verdicts), (found, findings)):
        for column, cells in zip(columns.values(), zip(*map(itemgetter(*columns), rows), strict=True), strict=bool(rows)):
            column.add(cells)


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
