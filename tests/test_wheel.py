"""The wheel, built and imported away from the checkout: the four folder names are generic, so what is in it is listed."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in ("harness", "suites", "reference", "reports", "emulator"):  # a build leaves files behind, and a later one would pack them
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    subprocess.run(command, check=True, timeout=300)
    return next(out.glob("*.whl"))


def test_it_holds_the_five_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {
        "harness", "suites", "reference", "reports", "emulator",
    }  # fmt: skip
    assert any(name.startswith("reports/templates/") for name in names)
    assert {"emulator/cann/call.c", "emulator/cann/cann.h", "reference/waivers/npu.toml"} <= set(names)


def test_it_imports_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = "import suites.catalogue, reports.__main__, reference.source, harness; print(harness.__file__)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
