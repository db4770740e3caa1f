"""A zip archive that is the same for the same content, and one made elsewhere, unpacked without trust. Knows no Run.

Names are relative, plain and unique, nothing is a link, nothing is encrypted, and all of it together is no larger than was allowed: an
archive that breaks this is refused before a byte is written.
"""

import io
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from harness.errors import AssayError

_WHEN = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can hold: no archive differs by when it was made
_MODE = (stat.S_IFREG | 0o644) << 16
_ENTRIES = 5_000_000
_BLOCK = 1 << 20


def write(path: Path, members: Iterable[tuple[str, Path | bytes]]) -> None:
    """Write members (name, file or content) in order of name, beside the place and moved there. Raises AssayError: not writable."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for name, content in sorted(members, key=lambda member: member[0]):
                entry = zipfile.ZipInfo(name, _WHEN)
                entry.external_attr, entry.create_system = _MODE, 3
                entry.compress_type = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED  # tensors hardly shrink
                with _opened(content) as source, archive.open(entry, "w", force_zip64=True) as out:
                    shutil.copyfileobj(source, out, _BLOCK)
        partial.replace(path)
    except OSError as error:
        raise AssayError(f"{path}: cannot be written ({error.strerror}); name another file with -o") from error
    finally:
        partial.unlink(missing_ok=True)


def _opened(content: Path | bytes) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def unpack(path: Path, folder: Path, limit: int) -> list[str]:
    """Unpack into an empty folder and return the names.

    Raises AssayError: no archive, damaged, larger than `limit` bytes, or not to be trusted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if fault := _fault(entries, limit):
                raise AssayError(f"{path}: {fault}; do not unpack it")
            for entry in entries:
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("xb") as out:
                    _copy(source, out, entry.file_size)
            return [entry.filename for entry in entries]
    except FileNotFoundError as error:
        raise AssayError(f"{path}: no such file") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise AssayError(f"{path}: is no archive, or damaged ({error}); ask for it again") from error
    except OSError as error:
        raise AssayError(f"{path}: cannot be unpacked ({error.strerror or error})") from error


def _copy(source: IO[bytes], out: IO[bytes], size: int) -> None:
    """Copy no more than was announced; zipfile checks the CRC at the end."""
    left = size
    while block := source.read(_BLOCK):
        left -= len(block)
        if left < 0:
            raise ValueError("an entry is longer than it says")
        out.write(block)


def _fault(entries: list[zipfile.ZipInfo], limit: int) -> str:
    """Say what makes the archive unsafe to unpack; empty where nothing does."""
    if len(entries) > _ENTRIES:
        return f"has {len(entries)} entries, more than any submission"
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        return f"unpacks to {total / 2**30:.1f} GiB, more than the {limit / 2**30:.1f} GiB that --limit allows"
    seen: set[str] = set()
    for entry in entries:
        if fault := _entry_fault(entry):
            return f"{entry.filename!r} {fault}"
        if entry.filename.casefold() in seen:
            return f"{entry.filename!r} is there twice"
        seen.add(entry.filename.casefold())
    return ""


def _entry_fault(entry: zipfile.ZipInfo) -> str:
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = PurePosixPath(name).parts
    if (
        not name
        or name.startswith("/")
        or "\\" in name
        or ":" in name
        or not name.isprintable()
        or ".." in parts
        or "/".join(parts) != name
    ):
        return "is no plain relative name: it could lead outside"
    if kind not in (0, stat.S_IFREG):
        return "is no regular file (a link, a folder or a device)"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    return ""
