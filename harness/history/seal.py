"""What a stored Run says of itself: its objects with size and SHA-256, and its summary. Knows no file system.

Format history:
1  first version
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.errors import AssayError

FORMAT = 1


@dataclass(frozen=True)
class Part:
    """One object of a stored Run: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """A stored Run as a list shows it.

    `created` is ISO 8601 in UTC. `machine` is that of `figures.Figures`. `outcomes` counts verdicts. `labels` are what the user called
    what was tested. `gate` is what the gate said that night (`gate.Ruling.to_json`); empty where none did. `parts` are by name.
    """

    id: str
    created: str
    machine: str
    device: str
    hardware: str
    emulated: bool
    outcomes: Mapping[str, int]
    labels: Mapping[str, str]
    facts: Mapping[str, str]
    parts: Mapping[str, Part]
    gate: Mapping[str, Any] = field(default_factory=dict)


def _digest(document: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def write(entry: Entry) -> bytes:
    """Return the seal of a stored Run: JSON with the SHA-256 of itself."""
    document = {"format": FORMAT, **asdict(entry)}
    return json.dumps({**document, "sha256": _digest(document)}, indent=1, sort_keys=True, allow_nan=False).encode()


def read(content: bytes, name: str) -> Entry:
    """Read a seal. Raises AssayError naming it: truncated, altered, or of another format."""
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise AssayError(f"{name}: format {document['format']!r}, this version reads {FORMAT}; use the version that wrote it")
        if document["sha256"] != _digest(document):
            raise AssayError(f"{name}: altered (its SHA-256 does not match its content); this Run is left out")
        parts = {part: Part(**value) for part, value in document["parts"].items()}
        return Entry(**{f.name: document[f.name] for f in fields(Entry)} | {"parts": parts})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssayError(f"{name}: no seal ({type(error).__name__}); this Run is left out") from None
