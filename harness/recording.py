"""What one run of a case produced, and how it lies on disk. Knows no device, no judgement, and not torch.

A recording is a folder with `recording.json` and, where there are tensors, `tensors.safetensors`. `recording.json` holds
the SHA-256 of the tensors file and of itself, so truncation and alteration are noticed. Floats narrower than float32 are
stored as float32, which is exact; `dtypes` says what they were. Format history:
1  first version
"""

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from harness.errors import AssayError

FORMAT = 1


class Status(StrEnum):
    """How the run of a case ended."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    ERROR = "error"
    OUT_OF_MEMORY = "out_of_memory"
    CRASH = "crash"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class Recording:
    """One run of one case on one device.

    `definition` is `Case.definition()`, `key` its SHA-256. `inputs` maps input names to SHA-256. `seconds` are the raw
    durations of the rounds; a round processed `work` of `unit`. `memory` maps figures to bytes (see `Device.memory`).
    `environment` is the digest of an entry in the run's `run.json`. Tensors are read from disk when first asked for.
    """

    definition: Mapping[str, Any]
    key: str
    area: str
    device: str
    environment: str
    status: Status
    message: str = ""
    golden: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    seconds: tuple[float, ...] = ()
    setup_seconds: float = 0.0
    work: float = 1.0
    unit: str = "calls"
    memory: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    series: tuple[str, ...] = ()
    tensors_sha256: str = ""
    folder: Path | None = None

    @property
    def case(self) -> str:
        """The id of the case."""
        return str(self.definition["id"])

    def inputs_digest(self) -> str:
        """One SHA-256 over all inputs."""
        return hashlib.sha256(json.dumps(dict(self.inputs), sort_keys=True).encode()).hexdigest()

    @cached_property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """Named arrays. Raises AssayError when the file is missing, truncated or altered."""
        if not self.tensors_sha256 or self.folder is None:
            return {}
        path = self.folder / "tensors.safetensors"
        try:
            if _sha256_file(path) != self.tensors_sha256:
                raise AssayError(f"{path}: altered or truncated (SHA-256 differs from recording.json); record this case again")
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise AssayError(f"{path}: cannot be read ({error}); record this case again") from error


def _sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps({k: v for k, v in document.items() if k != "sha256"}, sort_keys=True).encode()).hexdigest()


def jsonable(value: object) -> object:
    """Replace what JSON cannot say: non-finite floats become strings, so that strict readers keep working."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    return value


def write_json(path: Path, document: Mapping[str, object], sealed: bool = False, indent: int | None = None) -> None:
    """Write strict JSON to `path` at once or not at all. With `sealed`, add the SHA-256 of the rest as `sha256`."""
    clean: dict[str, Any] = jsonable(document)  # type: ignore[assignment]  # a mapping stays a mapping
    if sealed:
        clean["sha256"] = _seal(clean)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            # json.dump, or an indent, is Python code and ten times slower
            file.write(json.dumps(clean, sort_keys=True, allow_nan=False, indent=indent))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path | str, sealed: bool = False) -> dict[str, Any]:
    """Read a JSON object. Raises AssayError naming the file when it is missing, broken, altered or of another format."""
    try:
        document = _parsed(path, exact=sealed)
    except FileNotFoundError as error:
        raise AssayError(f"{path}: no such file; is this a Run folder?") from error
    except (OSError, ValueError) as error:
        raise AssayError(f"{path}: cannot be read ({error}); record it again") from error
    if not isinstance(document, dict):
        raise AssayError(f"{path}: not a JSON object; record it again")
    if document.get("format") != FORMAT:
        raise AssayError(
            f"{path}: format {document.get('format')!r}, this version reads {FORMAT}; use the version that wrote it or record again"
        )
    if sealed and document.get("sha256") != _seal(document):
        raise AssayError(f"{path}: altered (its SHA-256 does not match its content); record this case again")
    return document


def _parsed(path: Path | str, exact: bool) -> Any:
    """Return the JSON of a file; not `exact`, integers beyond 64 bits may become floats. orjson refuses halves of surrogate pairs."""
    descriptor = os.open(path, os.O_RDONLY)  # a hundred thousand times: a file object costs as much as the parsing
    try:
        text = os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    try:
        return json.loads(text) if exact else orjson.loads(text)
    except ValueError:
        return json.loads(text)


def slug(case: str) -> str:
    """Return a folder name for a case id: readable, and unique by a digest."""
    safe = "".join(c if c.isalnum() or c in "-._" else "_" for c in case)
    return f"{safe[:80]}-{hashlib.sha256(case.encode()).hexdigest()[:8]}"


def write_recording(parent: Path, recording: Recording, tensors: Mapping[str, np.ndarray]) -> Recording:
    """Write a recording below `parent` at once or not at all, replacing an older one. Raises OSError (disk full)."""
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=parent, prefix=".partial-"))
    try:
        document = {f.name: getattr(recording, f.name) for f in fields(recording) if f.name != "folder"}
        if tensors:
            # safetensors writes the buffer as it lies, so a transposed view must be laid out first
            laid_out = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
            try:
                save_file(laid_out, partial / "tensors.safetensors")
            except SafetensorError as error:  # its word for a full disk
                raise OSError(errno.ENOSPC, str(error), str(partial)) from error
            document["tensors_sha256"] = _sha256_file(partial / "tensors.safetensors")
        write_json(partial / "recording.json", {"format": FORMAT, **document}, sealed=True)
        final = parent / slug(recording.case)
        _replace(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return read_recording(final)


def _replace(partial: Path, final: Path) -> None:
    """Move a folder to where it belongs. If another process has done so meanwhile, its recording is as good."""
    shutil.rmtree(final, ignore_errors=True)
    try:
        partial.replace(final)
    except OSError:
        if not (final / "recording.json").exists():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def read_recording(folder: Path) -> Recording:
    """Read a recording's JSON; tensors come later. Raises AssayError (missing, broken, altered, other format)."""
    document = read_json(folder / "recording.json", sealed=True)
    known = {f.name for f in fields(Recording)}
    values = {k: v for k, v in document.items() if k in known}
    try:
        values.update(status=Status(values["status"]), seconds=tuple(values["seconds"]), series=tuple(values["series"]), folder=folder)
        return Recording(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise AssayError(f"{folder / 'recording.json'}: incomplete ({error}); record this case again") from error
