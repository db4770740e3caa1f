"""Every command in the documentation is run. Devices that are not here are replaced by the CPU, and a whole suite by one case."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
ONE_CASE = ["--case", "operators/softmax[float32]"]


def commands(page: Path) -> list[str]:
    """Return the lines that begin with a prompt in console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def runnable(command: str) -> list[str]:
    words = shlex.split(command)
    if words[0] == "pytest":
        words = ["cpu" if re.fullmatch(r"(cuda|npu)(:\d+)?", w) else w for w in words]
        if "--case" not in words and "--collect-only" not in words:
            words = [*words[:2], *ONE_CASE, *words[2:]]
        return [sys.executable, "-m", *words, "-q", "-p", "no:cacheprovider"]
    assert words[:2] == ["python", "-m"], f"no test knows how to run: {command}"
    return [sys.executable, *words[1:]]


def environments(command: str) -> Iterator[str]:
    """Yield the tox environments that a line of `tox` calls names."""
    for part in command.split("&&"):
        words = shlex.split(part)
        if words[0] == "tox":
            yield words[words.index("-e") + 1] if "-e" in words else "testenv"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A place of its own for runs and reports, with the sources linked in."""
    for entry in ("harness", "suites", "reference", "reports", "emulator", "tests", "pyproject.toml"):
        (tmp_path / entry).symlink_to(ROOT / entry)
    return tmp_path


@pytest.mark.docs
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda p: p.name)
def test_every_command_runs(page: Path, checkout: Path) -> None:
    made = [*ONE_CASE, "--device", "cpu", "-q", "-p", "no:cacheprovider"]
    for folder in ("runs/h100", "runs/npu"):  # what another page, or another machine, has made
        if page.name not in ("two-machines.md",) and any(folder in c for c in commands(page)):
            subprocess.run([sys.executable, "-m", "pytest", "suites/", "--run", folder, *made], cwd=checkout, check=True, timeout=300)
    for command in commands(page):
        if "tox" in shlex.split(command):
            continue  # continuous integration runs these; that they exist is tested below
        words = runnable(command)
        if page.name == "README.md" and "--run" in words and "--resume" not in words:
            words.append("--resume")  # its report command comes from the run above
        done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False, timeout=300, env=dict(os.environ))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_every_tox_environment_named_exists() -> None:
    parser = ConfigParser()
    parser.read(ROOT / "tox.ini")
    known = {section.removeprefix("testenv:") for section in parser.sections()}
    named = {environment for page in PAGES for command in commands(page) for environment in environments(command)}
    assert named
    assert named <= known


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_option_and_marker_is_documented() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    options = re.findall(r'addoption\("(--\w+)"', (ROOT / "suites" / "conftest.py").read_text(encoding="utf-8"))
    assert options
    assert all(f"`{option}" in readme for option in options)
    areas = ("operators", "post_training", "inference", "accuracy", "performance")
    assert all(f"`{area}`" in readme for area in areas)


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_example_workload_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example
    script = example[1] + (
        "\nfrom harness.devices import open_device\nfrom harness.measure import measure\n"
        "for case in CASES: assert measure(case, open_device('cpu'))[0].status == 'ok'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
