"""The command line of a store."""

from pathlib import Path

import pytest

from harness.history.__main__ import main
from harness.run import Run
from tests.harness.history.runs import make_run


def test_a_run_goes_in_is_listed_and_comes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "run", labels={"compiler": "1a2b"})
    store = str(tmp_path / "store")
    assert main([store, "publish", str(tmp_path / "run")]) == 0
    name = capsys.readouterr().out.strip()
    assert main([store, "list"]) == 0
    assert capsys.readouterr().out == f"{name} Ascend910B2: 3 pass compiler=1a2b\n"
    assert main([store, "changes"]) == 0
    assert "1 Runs, no steps" in capsys.readouterr().out
    assert main([store, "tidy"]) == 0
    assert main([store, "fetch", name, str(tmp_path / "back"), "--all"]) == 0
    assert len(list(Run.open(tmp_path / "back").recordings())) == 1


def test_what_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "store"), "list"]) == 0
    assert main([str(tmp_path / "store"), "fetch", "nothing", str(tmp_path / "back")]) == 2
    assert "`list` shows what there is" in capsys.readouterr().err
    assert main([str(tmp_path / "store"), "publish", str(tmp_path / "nowhere")]) == 2
