"""What a submission says of itself, submission.json: its Runs, how they ended, what was left out, its files by SHA-256. Knows no archive.

Everything but the files is derived from the Runs, so that whoever checks can derive it again. Format history:
1  first version
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from harness.recording import FORMAT as RECORDED
from harness.run import Run

FORMAT = 1
NAME = "submission.json"


@dataclass(frozen=True)
class Told:
    """One Run in few words.

    `known` counts the cases that the version had that made it, 0 where the Run does not say; `not_run` names those of them without a
    verdict. `waivers` are those that the verdicts went by, `environments` the candidate's and `reference_environments` the reference's.
    """

    folder: str
    created: str
    device: str
    candidate: Mapping[str, Any]
    reference: Mapping[str, Any]
    emulated: bool
    self_comparison: bool
    outcomes: Mapping[str, int]
    known: int
    not_run: tuple[str, ...]
    waivers: tuple[Mapping[str, Any], ...]
    environments: Mapping[str, Any]
    reference_environments: Mapping[str, Any]

    @classmethod
    def of(cls, run: Run, folder: str) -> "Told":
        """Describe a Run that lies in `folder` of the submission. Raises AssayError: broken, or nothing was judged in it."""
        outcomes = Counter(str(v["outcome"]) for v in run.verdict_documents())
        if not outcomes:
            raise AssayError(f"{run.folder}: holds no verdict; run pytest suites/ --run {run.folder} first")
        judged, known, about = {str(v["case"]) for v in run.verdict_documents()}, run.catalogue(), run.manifest["comparison"]
        return cls(
            folder, run.manifest["created"], run.manifest["device"], about.get("candidate", {}), about.get("reference", {}),
            bool(about.get("emulated")), bool(about.get("self_comparison")), dict(sorted(outcomes.items())),
            len(known), tuple(sorted(set(known) - judged)), tuple(run.manifest.get("waivers", ())),
            run.manifest["environments"], about.get("reference_environments", {}),
        )  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """All of a submission. `tensors` tells whether the recordings' tensors are there; `files` maps names to size and SHA-256."""

    made_with: str
    recordings_format: int
    tensors: bool
    runs: tuple[Mapping[str, Any], ...]
    files: Mapping[str, tuple[int, str]]

    def to_json(self) -> bytes:
        """Return canonical JSON with the SHA-256 of the rest."""
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps({**document, "sha256": _seal(document)}, indent=1, sort_keys=True).encode()


def made(runs: Mapping[str, Run], files: Mapping[str, tuple[int, str]], tensors: bool) -> Statement:
    """Return the statement on Runs by their folder in the submission."""
    told = tuple(plain(Told.of(run, folder)) for folder, run in runs.items())
    return Statement(made_with(), RECORDED, tensors, told, files)


def made_with() -> str:
    """Return the version of Assay that is running."""
    try:
        return f"ascend-assay {version('ascend-assay')}"
    except PackageNotFoundError:
        return "ascend-assay, not installed"


def plain(told: Told) -> dict[str, Any]:
    """Return it as it looks when it was read from JSON."""
    return dict(json.loads(json.dumps(asdict(told))))


def read(path: Path) -> Statement:
    """Read a statement. Raises AssayError: none, altered, of another format."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise AssayError(f"{NAME}: format {document['format']!r}, this version reads {FORMAT}; use the version that made it")
        if document["sha256"] != _seal(document):
            raise AssayError(f"{NAME}: altered (its SHA-256 does not match its content); ask for it again")
        files = {name: (int(size), str(digest)) for name, (size, digest) in document["files"].items()}
        known = {f.name: document[f.name] for f in fields(Statement)}
        return Statement(**{**known, "runs": tuple(document["runs"]), "files": files})
    except FileNotFoundError:
        raise AssayError(f"no {NAME} in it: this is no submission made by python -m reports pack") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssayError(f"{NAME}: cannot be read ({error!r}); ask for it again") from None


def _seal(document: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def digest_of(content: Path | bytes) -> tuple[int, str]:
    """Return size and SHA-256 of a file or of content."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return content.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
