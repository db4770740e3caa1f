"""package_file: where it looks, what it verifies, and what it says when it cannot."""

import hashlib
import importlib.metadata
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import AssayError
from suites.assets import packages
from suites.assets.packages import package_file

CONTENT = {"thing/a.txt": b"first", "thing/b.txt": b"second"}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """A cache of our own, and a pip that brings one small wheel; returns the list of its calls."""
    calls = []

    def run(command, **_):
        calls.append(command)
        with zipfile.ZipFile(Path(command[command.index("-d") + 1]) / "thing-1.0-py3-none-any.whl", "w") as wheel:
            for name, data in CONTENT.items():
                wheel.writestr(name, data)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(packages, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(packages.subprocess, "run", run)
    return calls


def test_an_installed_package_is_read_where_it_lies(pip):
    version = importlib.metadata.version("numpy")
    path = Path(str(importlib.metadata.distribution("numpy").locate_file("numpy/version.py")))
    assert package_file(f"numpy=={version}", "numpy/version.py", sha(path.read_bytes())) == path
    assert not pip


def test_a_package_is_downloaded_once_for_all_its_files(pip):
    for name, data in [*CONTENT.items(), *CONTENT.items()]:
        assert package_file("thing==1.0", name, sha(data)).read_bytes() == data
    assert len(pip) == 1


def test_an_altered_file_in_the_cache_is_replaced(pip):
    path = package_file("thing==1.0", "thing/a.txt", sha(b"first"))
    path.write_bytes(b"altered")
    assert package_file("thing==1.0", "thing/a.txt", sha(b"first")).read_bytes() == b"first"


@pytest.mark.parametrize(("name", "digest"), [("thing/a.txt", sha(b"other")), ("thing/none.txt", sha(b"first"))])
def test_other_content_is_refused_and_not_kept(pip, tmp_path, name, digest):
    with pytest.raises(AssayError, match=r"thing==1.0: thing/.* is not the expected one") as caught:
        package_file("thing==1.0", name, digest)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_threads_that_race_all_get_the_file(pip):
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(package_file, "thing==1.0", "thing/a.txt", sha(b"first")) for _ in range(8)]
    assert {future.result().read_bytes() for future in found} == {b"first"}


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ("/usr/bin/python: No module named pip\n", "ensurepip"),
        ("ERROR: Could not install: [Errno 28] No space left on device\n", "free some space"),
        ("noise\nERROR: No matching distribution found for thing==1.0\n\n", "No matching distribution"),
        ("WARNING: Retrying (Retry(total=1)) after connection broken\nERROR: No matching distribution", "index cannot be reached"),
        ("", "no message"),
    ],
)
def test_a_failed_download_is_one_line_with_a_remedy(pip, monkeypatch, output, wanted):
    monkeypatch.setattr(packages.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", output))
    with pytest.raises(AssayError, match=wanted) as caught:
        package_file("thing==1.0", "thing/a.txt", sha(b"first"))
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_named(pip, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(packages, "cache_folder", lambda: blocked)
    with pytest.raises(AssayError, match=r"cannot be written.*ASSAY_CACHE"):
        package_file("thing==1.0", "thing/a.txt", sha(b"first"))
