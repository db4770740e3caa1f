"""A Run: a folder of recordings and verdicts that another machine can judge against. Knows no device, no suite, and not torch.

run.json                    format, when, by what; label; environments by digest; comparison; waivers; mutation score; published figures
recordings/<slug>/          one folder a case (see recording.py)
verdicts/<slug>.json        one file a judged case
catalogue.json              the cases that this version has, by id with the SHA-256 of their definitions, whether they were run or not
reference/  golden/         nested Runs: the live reference device and the float64 evaluation, where they were made
"""

import datetime
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from harness.errors import AssayError
from harness.recording import FORMAT, Recording, read_json, read_recording, slug, write_json, write_recording
from harness.verdict import Cause, Finding, Outcome, Verdict


class Run:
    """An open Run folder."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest

    @classmethod
    def create(cls, folder: Path, device: str, resume: bool = False) -> "Run":
        """Make or, with `resume`, reopen a Run. Raises AssayError when the folder already holds a Run and `resume` is off."""
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        run = cls(folder, {"format": FORMAT, "created": created, "device": device, "environments": {}, "comparison": {}})
        folder.mkdir(parents=True, exist_ok=True)
        with run._alone():
            if not (folder / "run.json").exists():
                write_json(folder / "run.json", run.manifest)
                return run
        if not resume:
            raise AssayError(f"{folder}: already holds a run; add --resume to go on with it, or name another folder")
        run = cls.open(folder)
        if run.manifest["device"] != device:
            raise AssayError(f"{folder}: was made on {run.manifest['device']}, not {device}; name another folder")
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open an existing Run. Raises AssayError when it is none, broken, or of another format version."""
        if not folder.is_dir():
            raise AssayError(f"{folder}: no such folder; give a Run folder made with --run")
        return cls(folder, read_json(folder / "run.json"))

    def _alone(self) -> FileLock:
        """Return what keeps other processes from changing the manifest meanwhile: several may fill one Run."""
        return FileLock(self.folder / ".lock")

    def _describe(self, part: str, value: Any) -> None:
        """Replace a part of the manifest, and keep what other processes have written to the rest."""
        if self.manifest.get(part) == value:
            return
        with self._alone():
            self.manifest = {**read_json(self.folder / "run.json"), part: value}
            write_json(self.folder / "run.json", self.manifest)

    def nested(self, name: str, device: str) -> "Run":
        """Make or reopen the Run `name` (`reference` or `golden`) inside this one."""
        return Run.create(self.folder / name, device, resume=True)

    def add_environment(self, environment: Mapping[str, Any]) -> str:
        """Store an environment once, and return its digest."""
        digest = hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()[:16]
        if digest not in self.manifest["environments"]:
            with self._alone():
                self.manifest = read_json(self.folder / "run.json")
                self.manifest["environments"][digest] = dict(environment)
                write_json(self.folder / "run.json", self.manifest)
        return digest

    def describe_comparison(self, comparison: Mapping[str, Any]) -> None:
        """Store what was compared with what: reports read this."""
        self._describe("comparison", dict(comparison))

    def describe_labels(self, labels: Mapping[str, str]) -> None:
        """Store what the user calls that which is tested (the commit of a compiler, a driver's build): the history shows it."""
        if labels or self.manifest.get("labels"):
            self._describe("labels", dict(labels))

    def describe_waivers(self, waivers: Sequence[Mapping[str, Any]]) -> None:
        """Store the signed known differences that the verdicts went by: reports read this."""
        if waivers or self.manifest.get("waivers"):
            self._describe("waivers", [dict(waiver) for waiver in waivers])

    def describe_mutation(self, score: Mapping[str, Any]) -> None:
        """Store what the suite was last measured to catch of seeded faults: reports read this."""
        if score or self.manifest.get("mutation"):
            self._describe("mutation", dict(score))

    def describe_published(self, registry: Mapping[str, Any]) -> None:
        """Store what others published of such work, and the rates of devices: reports read this."""
        if registry or self.manifest.get("published"):
            self._describe("published", dict(registry))

    def describe_catalogue(self, keys: Mapping[str, str]) -> None:
        """Store which cases there are, by id with the SHA-256 of their definitions, so that nobody can leave one out unseen."""
        path = self.folder / "catalogue.json"
        if not path.exists() or read_json(path)["cases"] != dict(keys):
            write_json(path, {"format": FORMAT, "cases": dict(keys)})

    def catalogue(self) -> dict[str, str]:
        """Return what `describe_catalogue` stored; nothing in a Run of an older version."""
        path = self.folder / "catalogue.json"
        return dict(read_json(path).get("cases", {})) if path.exists() else {}

    def recording(self, case: str) -> Recording | None:
        """Return the recording of a case, or None. Raises AssayError when it is broken or altered."""
        folder = self.folder / "recordings" / slug(case)
        return read_recording(folder) if folder.is_dir() else None

    def recordings(self) -> Iterator[Recording]:
        """Yield all recordings, by folder name."""
        for path in sorted((self.folder / "recordings").glob("*/recording.json")):
            yield read_recording(path.parent)

    def write(self, recording: Recording, tensors: Mapping[str, np.ndarray]) -> Recording:
        """Add a recording. Raises OSError when the disk is full; finished recordings stay."""
        return write_recording(self.folder / "recordings", recording, tensors)

    def write_verdict(self, verdict: Verdict) -> None:
        """Add or replace a verdict."""
        write_json(self.folder / "verdicts" / f"{slug(verdict.case)}.json", {"format": FORMAT, **verdict.to_json()})

    def verdict(self, case: str) -> Verdict | None:
        """Return the verdict on a case, or None."""
        path = self.folder / "verdicts" / f"{slug(case)}.json"
        return _verdict(read_json(path)) if path.exists() else None

    def verdicts(self) -> Iterator[Verdict]:
        """Yield all verdicts, by file name."""
        yield from map(_verdict, self.verdict_documents())

    def verdict_documents(self) -> Iterator[dict[str, Any]]:
        """Yield all verdicts as they are stored, by file name: a reader of a hundred thousand has no time for objects."""
        folder = self.folder / "verdicts"
        for name in sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else ():
            if name.endswith(".json") and not name.startswith("."):
                yield read_json(f"{folder}/{name}")


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value  # non-finite numbers are stored as strings


def _verdict(document: dict[str, Any]) -> Verdict:
    numbers = ("measured", "bound", "reference", "low", "high")
    findings = tuple(
        Finding(**{
            **f, "outcome": Outcome(f["outcome"]), "cause": Cause(f["cause"]) if f.get("cause") else None,
            **{k: _number(f[k]) for k in numbers},
        })
        for f in document["findings"]
    )  # fmt: skip
    values = {k: v for k, v in document.items() if k != "format"}
    return Verdict(**{**values, "outcome": Outcome(document["outcome"]), "findings": findings})
