"""The files for cron, systemd and GitHub Actions say what they mean, and name only what there is."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from suites.nightly.__main__ import _parser

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "deploy").glob("assay-*"))
PLACES = [ROOT / "deploy" / "crontab", ROOT / "docs" / "nightly.md", ROOT / ".github" / "workflows" / "nightly.yml", *UNITS]


def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8")))


def test_the_workflow_has_a_night_on_hardware_and_an_emulated_one() -> None:
    jobs = workflow()["jobs"]
    assert jobs["ascend"]["runs-on"] == ["self-hosted", "linux", "ascend"]
    assert jobs["emulated"]["runs-on"] == "ubuntu-latest"
    assert workflow()[True]["schedule"], "YAML reads `on` as true"
    for job in jobs.values():
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
        assert any("tox -e nightly" in step.get("run", "") for step in job["steps"])


def test_a_pipe_in_the_workflow_does_not_swallow_the_exit_status() -> None:
    piped = [step for job in workflow()["jobs"].values() for step in job["steps"] if "|" in step.get("run", "")]
    assert piped
    assert all(step["shell"] == "bash" for step in piped), "GitHub's `shell: bash` sets pipefail, its default does not"


def test_no_secret_is_written_down() -> None:
    for path in PLACES:
        for value in re.findall(r"(?i)(?:secret|password|access_key\w*)\s*[:=]\s*(\S+)", path.read_text(encoding="utf-8")):
            assert value.startswith(("$", "...")), f"{path.name}: {value}"


@pytest.mark.parametrize("path", PLACES, ids=lambda p: p.name)
def test_every_option_that_a_file_gives_exists(path: Path) -> None:
    known = {option for action in _parser()._actions for option in action.option_strings} | {"-m", "--case"}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "suites.nightly" in line or "tox -e nightly --" in line]
    assert lines or path.suffix == ".timer"
    for line in lines:
        given = re.split(r"suites\.nightly|nightly --(?= )", line, maxsplit=1)[-1].partition("|")[0]
        assert set(re.findall(r"(?<=\s)--?[a-z]+", given)) <= known, line


def test_cron_runs_at_a_time_that_exists() -> None:
    lines = [
        line for line in (ROOT / "deploy" / "crontab").read_text(encoding="utf-8").splitlines() if line and not re.match(r"#|\w+=", line)
    ]
    fields = [line.split(maxsplit=5)[:5] for line in lines if not line.startswith("@")]
    assert fields
    assert all(0 <= int(minute) < 60 and 0 <= int(hour) < 24 and rest == ["*", "*", "*"] for minute, hour, *rest in fields)
    assert all(shlex.split(line) for line in lines)


def test_every_unit_that_a_unit_names_is_there() -> None:
    names = {path.name for path in UNITS}
    assert names == {"assay-nightly.service", "assay-nightly.timer", "assay-unfinished.service"}
    assert {name for path in UNITS for name in re.findall(r"^Unit=(\S+)", path.read_text(), re.MULTILINE)} <= names


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for path in UNITS:  # the checkout and its Python are elsewhere on a real machine
        text = path.read_text().replace("/opt/assay/venv/bin/python", sys.executable).replace("/opt/assay", str(ROOT))
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "assay" in line]
