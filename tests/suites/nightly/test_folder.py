"""A night's folder: what is gone on with, and that one night at a time works on a machine."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from harness.errors import AssayError
from suites.nightly.folder import BusyError, Folder, alone, begin, resumable, unfinished

ROOT = Path(__file__).parents[3]
AROUND = {"host": {"platform": "Linux"}, "device": {"versions": {"driver": "25.1"}}}
HOLDER = """
import sys, time
from pathlib import Path
from suites.nightly.folder import alone
with alone(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
"""


def test_an_unfinished_night_is_gone_on_with(tmp_path: Path) -> None:
    night = begin(tmp_path, "npu:0", ["-m", "performance"], AROUND)
    assert resumable(tmp_path, ["-m", "performance"], AROUND, 20) == night
    night.at("measured")
    found = resumable(tmp_path, ["-m", "performance"], AROUND, 20)
    assert found is not None
    assert found.state == "measured"


def test_a_finished_one_is_not(tmp_path: Path) -> None:
    begin(tmp_path, "npu:0", [], AROUND).at("done")
    assert unfinished(tmp_path) == []


@pytest.mark.parametrize("other", ["asked", "driver", "old"])
def test_nor_is_one_of_another_kind(tmp_path: Path, other: str) -> None:
    night = begin(tmp_path, "npu:0", [], AROUND)
    if other == "old":
        replace(night, created=night.created - timedelta(hours=21)).at("measuring")
    asked = ["-m", "accuracy"] if other == "asked" else []
    around = {**AROUND, "device": {"versions": {"driver": "25.2"}}} if other == "driver" else AROUND
    assert resumable(tmp_path, asked, around, 20) is None


def test_a_folder_that_tells_nothing_is_no_night(tmp_path: Path) -> None:
    night: Folder = begin(tmp_path, "npu:0", [], AROUND)
    (night.path / "night.json").write_text('{"format": 1, "cre')
    assert unfinished(tmp_path) == []


def test_two_nights_at_once_are_refused_and_a_dead_one_holds_nobody_up(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match="another night is under way"), alone(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with alone(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AssayError, match="give --work another folder"), alone(tmp_path / "file"):
        pass
