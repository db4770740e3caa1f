"""Goldens kept from run to run, so that a second device costs only its own time. Knows no device and no check.

A golden is found again by what it was made of: the case's definition, the SHA-256 of its inputs, the versions of the libraries that
compute it, and the source code of the workloads, the oracles and the harness. Whoever changes one of them gets a new one.
"""

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from harness.case import Case
from harness.environment import cache_folder, describe
from harness.errors import AssayError
from harness.recording import Recording, Status, read_recording, slug

LARGEST = 8 << 20  # bytes of a golden that is kept: those of language models are made again
_ROOM = 2 << 30  # bytes of all


class Goldens:
    """The cache below `folder`, for one set of libraries and source code; `sources` are folders of Python files."""

    def __init__(self, folder: Path, sources: tuple[Path, ...]) -> None:
        self.folder = folder / _digest(sources)

    @classmethod
    def of_user(cls, sources: tuple[Path, ...]) -> "Goldens":
        """Return the user's cache (ASSAY_CACHE, or the system's place for it)."""
        return cls(cache_folder() / "goldens", sources)

    def find(self, case: Case, inputs: Mapping[str, str], run: Path) -> Recording | None:
        """Return the golden of a case for just these inputs, put into the Run `run`; None where there is none, or it is broken."""
        place, final = self.folder / slug(case.id) / f"seed-{case.seed}", run / "recordings" / slug(case.id)
        with suppress(AssayError, OSError):
            found = read_recording(place)
            if found.key == case.key() and found.inputs == inputs and found.status is Status.OK:
                shutil.rmtree(final, ignore_errors=True)
                shutil.copytree(place, final)
                kept = read_recording(final)
                return kept if kept.tensors else None  # reading them checks their SHA-256
        return None

    def keep(self, case: Case, golden: Recording) -> None:
        """Keep a golden, if it is small and sound. A full disk is no error: the next run makes it again."""
        if golden.status is not Status.OK or golden.folder is None or _bytes(golden.folder) > LARGEST:
            return
        place = self.folder / slug(case.id) / f"seed-{case.seed}"
        partial = place.with_name(f".partial-{place.name}")
        with suppress(OSError):
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(golden.folder, partial)
            shutil.rmtree(place, ignore_errors=True)
            partial.replace(place)

    def tidy(self) -> None:
        """Remove what other versions left behind, when it takes too much room."""
        others = [path for path in self.folder.parent.glob("*") if path != self.folder]
        if sum(_bytes(path) for path in others) > _ROOM:
            for path in others:
                shutil.rmtree(path, ignore_errors=True)


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _digest(sources: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    host = describe()
    for fact in ("cpu", "architecture", "threads"):
        digest.update(f"{host[fact]}\n".encode())
    for name, version in sorted(host["packages"].items()):
        if name in ("torch", "numpy", "transformers"):
            digest.update(f"{name} {version}\n".encode())
    for folder in sources:
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
