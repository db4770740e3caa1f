"""A store of Runs under any fsspec URL: append-only, and safe with several writers without a lock. Knows no suite and no report.

<url>/runs/<created>-<machine>-<digest>/
    run.tar.gz verdicts.tar.gz recordings.tar.gz ...    what lies at the top of the Run folder, each packed into one object
    figures.json.gz                                     what is followed from night to night (see figures.py)
    seal.json                                           written last: all objects with size and SHA-256, and the summary

Only a sealed Run exists for readers. The name holds a digest of the content, so that two writers never share a folder unless they store the
very same bytes, and storing a Run again goes on with an interrupted upload or finds that it is there. Nothing sealed is ever written to.
"""

import datetime
import gzip
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from harness.history import seal
from harness.history.address import place, told
from harness.history.figures import Figures, figures_of
from harness.history.seal import Entry, Part
from harness.run import Run

_FIGURES = "figures.json.gz"
_SEAL = "seal.json"
_PACKED = ".tar.gz"
#: The parts without which a Run cannot be opened and reported; each is small.
SMALL = ("run", "verdicts", "localised")
_LEFT_OUT = ("logs",)  # of this machine's processes: they may name people and paths


@dataclass(frozen=True)
class Listing:
    """The stored Runs, oldest first, and one line for each that cannot be read."""

    entries: tuple[Entry, ...]
    broken: tuple[str, ...] = field(default=())


class Store:
    """The Runs under one URL. Every method raises AssayError, one line without a secret, when the store cannot be reached."""

    def __init__(self, url: str) -> None:
        """Open a folder or URL; nothing is made or asked yet. Raises AssayError: unknown protocol, or its package is missing."""
        self._place = place(url)
        self.files, self.shown = self._place.files, self._place.shown

    def __str__(self) -> str:
        return self.shown

    def _path(self, *names: str) -> str:
        return "/".join((self._place.root, "runs", *names))

    def publish(
        self, run: Run, gate: Mapping[str, Any] | None = None, parts: Collection[str] | None = None, figures: Figures | None = None
    ) -> Entry:
        """Store a Run and return its entry; one that is stored already is left as it is.

        `parts` are names at the top of the Run folder (default: all but logs); `gate` is kept in the seal. A Run must not be written to
        meanwhile.
        """
        figures = figures or figures_of(run)
        with tempfile.TemporaryDirectory(prefix="assay-store-") as name, told(self._place, "storing a Run"):
            packed = _pack(run.folder, Path(name), parts)
            (Path(name) / _FIGURES).write_bytes(gzip.compress(json.dumps(figures.to_json(), allow_nan=False).encode(), mtime=0))
            sums = {part.name: Part(part.stat().st_size, _sha256(part)) for part in (*packed, Path(name) / _FIGURES)}
            entry = _entry(run, figures, sums, dict(gate or {}))
            self._upload(Path(name), entry)
        return entry

    def _upload(self, folder: Path, entry: Entry) -> None:
        """Put what is missing of the objects, and then the seal. What has another size was cut off, and is put again."""
        if self.files.exists(self._path(entry.id, _SEAL)):
            return
        self.files.invalidate_cache()
        there = {path.rpartition("/")[2]: info["size"] for path, info in self.files.find(self._path(entry.id), detail=True).items()}
        for name, part in entry.parts.items():
            if there.get(name) != part.size:
                self.files.put_file(str(folder / name), self._path(entry.id, name))
        with self.files.open(self._path(entry.id, _SEAL), "wb", autocommit=False) as file:
            file.write(seal.write(entry))
        file.commit()  # at once or not at all

    def runs(self, machine: str = "", before: str = "", where: Callable[[Entry], bool] | None = None) -> Listing:
        """Return the sealed Runs, oldest first: of one machine, made before an ISO 8601 time, for which `where` holds."""
        with told(self._place, "listing the Runs"):
            names = [name for name in self._folders() if machine in ("", _machine(name)) and (not before or name < _stamp(before))]
            paths = [self._path(name, _SEAL) for name in names]
            found = self.files.cat(paths, on_error="return") if paths else {}
        entries, broken = [], []
        for path in paths:
            content = found.get(path) if len(paths) > 1 or isinstance(found, dict) else found
            if isinstance(content, FileNotFoundError | None):
                continue  # not sealed: an upload under way, or one that was cut off
            try:
                if not isinstance(content, bytes):
                    raise AssayError(f"{self.shown}: {path}: cannot be read ({type(content).__name__})")
                entries.append(seal.read(content, f"{self.shown}: {path}"))
            except AssayError as error:
                broken.append(str(error))
        return Listing(tuple(e for e in entries if where is None or where(e)), tuple(broken))

    def _folders(self) -> list[str]:
        self.files.invalidate_cache()
        if not self.files.exists(self._path()):
            return []
        return sorted(
            info["name"].rstrip("/").rpartition("/")[2] for info in self.files.ls(self._path(), detail=True) if info["type"] == "directory"
        )

    def figures(self, entry: Entry) -> Figures:
        """Return what is followed of a stored Run. Raises AssayError when the object is missing or altered."""
        with told(self._place, f"reading {entry.id}"):
            content = self.files.cat_file(self._path(entry.id, _FIGURES))
        self._check(entry, _FIGURES, len(content), hashlib.sha256(content).hexdigest())
        return Figures.from_json(json.loads(gzip.decompress(content)))

    def fetch(self, entry: Entry, folder: Path, parts: Collection[str] | None = SMALL) -> Run:
        """Bring a stored Run, or some of its parts (None: all), to a folder, and open it. Parts that it does not have are passed over.

        Raises AssayError: the folder exists, a part is missing or altered.
        """
        if folder.exists():
            raise AssayError(f"{folder}: exists already; name another folder for {entry.id}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as name:
            for part in entry.parts:
                if part.endswith(_PACKED) and (parts is None or part.removesuffix(_PACKED) in parts):
                    self._unpack(entry, part, Path(name))
            (Path(name) / "run").replace(folder)
        return Run.open(folder)

    def _unpack(self, entry: Entry, part: str, into: Path) -> None:
        with told(self._place, f"reading {entry.id}"):
            self.files.get_file(self._path(entry.id, part), str(into / part))
        self._check(entry, part, (into / part).stat().st_size, _sha256(into / part))
        with tarfile.open(into / part) as archive:
            archive.extractall(into / "run", filter="data")

    def _check(self, entry: Entry, part: str, size: int, digest: str) -> None:
        if entry.parts[part] != Part(size, digest):
            raise AssayError(
                f"{self.shown}: {self._path(entry.id, part)}: altered or cut off (SHA-256 differs from the seal); store it again elsewhere"
            )

    def tidy(self, days: float = 7.0) -> list[str]:
        """Remove uploads that were never sealed and have not grown for so many days; return their ids."""
        limit = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
        with told(self._place, "tidying"):
            stale = [name for name in self._folders() if not self.files.exists(self._path(name, _SEAL)) and self._touched(name) <= limit]
            for name in stale:
                self.files.rm(self._path(name), recursive=True)
        return stale

    def _touched(self, name: str) -> datetime.datetime:
        files = self.files.find(self._path(name))
        times = [self.files.modified(path) for path in files]
        return max(
            (t if t.tzinfo else t.replace(tzinfo=datetime.UTC) for t in times), default=datetime.datetime.min.replace(tzinfo=datetime.UTC)
        )


def _entry(run: Run, figures: Figures, parts: Mapping[str, Part], gate: dict[str, Any]) -> Entry:
    content = json.dumps([{name: part.sha256 for name, part in parts.items()}, gate], sort_keys=True)
    name = f"{_stamp(figures.created)}-{figures.machine}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    counts: dict[str, int] = {}
    for outcome in figures.outcomes.values():
        counts[outcome] = counts.get(outcome, 0) + 1
    return Entry(
        name, figures.created, figures.machine, str(run.manifest["device"]), figures.hardware, figures.emulated, counts, figures.labels,
        figures.facts, dict(parts), gate,
    )  # fmt: skip


def _stamp(created: str) -> str:
    """Return a time as it begins a Run's id: sorted by name is sorted by time."""
    return datetime.datetime.fromisoformat(created).astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%S")


def _machine(name: str) -> str:
    return name.split("-")[1] if name.count("-") == 2 else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(run: Path, into: Path, parts: Collection[str] | None) -> Iterator[Path] | list[Path]:
    """Pack what lies at the top of a Run folder, the same bytes each time: files into `run`, each folder into one of its name."""
    folders = sorted(p for p in run.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in _LEFT_OUT)
    made = [_archive(run, into / f"run{_PACKED}", sorted(p for p in run.iterdir() if p.is_file() and p.suffix == ".json"))]
    return made + [_archive(run, into / f"{p.name}{_PACKED}", [p]) for p in folders if parts is None or p.name in parts]


def _archive(run: Path, archive: Path, contents: list[Path]) -> Path:
    def anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if Path(info.name).name.startswith(".") or Path(info.name).name in _LEFT_OUT or not (info.isfile() or info.isdir()):
            return None  # locks, partial files, and links, which could lead out of the Run
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if info.isdir() else 0o644
        return info

    with archive.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, 0) as squeezed, tarfile.open(fileobj=squeezed, mode="w") as tar:
        for path in contents:  # tarfile goes through a folder in order of name
            tar.add(path, path.relative_to(run).as_posix(), filter=anonymous)
    return archive
