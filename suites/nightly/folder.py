"""Where a night works, and which unfinished one to go on with. Knows no case, no store and no device.

<work>/.lock              held by the one night of this machine
<work>/<time>-<device>/   night.json (what was asked, around what, how far it came), run/ (the Run), pytest.log, report.html
"""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import AssayError
from harness.recording import FORMAT, read_json, write_json


class BusyError(AssayError):
    """Another night is under way on this machine."""


@dataclass(frozen=True)
class Folder:
    """One night's folder. `state` is `measuring`, `measured` (all but storing is done) or `done`."""

    path: Path
    created: datetime.datetime
    asked: tuple[str, ...]
    around: str
    state: str

    @property
    def run(self) -> Path:
        """The Run."""
        return self.path / "run"

    def at(self, state: str) -> "Folder":
        """Note how far the night has come, on disk."""
        document = {"format": FORMAT, "created": self.created.isoformat(), "asked": list(self.asked), "around": self.around, "state": state}
        write_json(self.path / "night.json", document)
        return Folder(self.path, self.created, self.asked, self.around, state)


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Be the only night of this machine meanwhile. Raises BusyError: another one is under way; a lock of a dead process holds nobody up."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / ".lock", timeout=0):
            yield
    except Timeout:
        raise BusyError(f"{work}: another night is under way here; wait for it, or give --work another folder") from None
    except OSError as error:
        raise AssayError(f"{work}: cannot be written ({error.strerror}); give --work another folder") from error


def begin(work: Path, device: str, asked: Sequence[str], around: Mapping[str, Any]) -> Folder:
    """Return a new night's folder."""
    now = datetime.datetime.now(datetime.UTC)
    path = work / f"{now:%Y%m%d-%H%M%S-%f}-{device.replace(':', '')}"
    return Folder(path, now, tuple(asked), json.dumps(around, sort_keys=True), "measuring").at("measuring")


def resumable(work: Path, asked: Sequence[str], around: Mapping[str, Any], hours: float) -> Folder | None:
    """Return the newest unfinished night that was asked the same, on the same device with the same software, and is younger than `hours`.

    Eturn the newest unfinished night that was asked the same, on the same device with the same software, and is younger than `hours`.
    """
    now, surroundings = datetime.datetime.now(datetime.UTC), json.dumps(around, sort_keys=True)
    for night in unfinished(work):
        if now - night.created < datetime.timedelta(hours=hours) and night.asked == tuple(asked) and night.around == surroundings:
            return night
    return None


def unfinished(work: Path) -> list[Folder]:
    """Return the nights that were not stored, newest first; a folder that tells nothing of itself is none."""
    found = []
    for path in sorted(work.glob("*/night.json"), reverse=True):
        try:
            told = read_json(path)
            created = datetime.datetime.fromisoformat(told["created"])
            night = Folder(path.parent, created, tuple(told["asked"]), told["around"], told["state"])
        except (AssayError, KeyError, ValueError):
            continue
        if night.state != "done":
            found.append(night)
    return found
