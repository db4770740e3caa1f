"""Two workers fill one Run, and nobody takes times beside another."""

from pathlib import Path

import pytest

from harness.run import Run
from tests.suites.test_conftest import assay

TWO = ("--case", "operators/softmax[float32]", "--case", "operators/swiglu[float32]", "--case", "performance/matmul[float32]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parallel") / "run"


def test_two_workers_fill_one_run_and_leave_performance_alone(folder: Path) -> None:
    done = assay("--device", "cpu", "-n", "2", "--run", str(folder), *TWO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdicts: 2 pass" in done.stdout
    assert "performance: not timed beside other workers" in done.stdout
    run = Run.open(folder)
    assert sorted(verdict.case for verdict in run.verdicts()) == ["operators/softmax[float32]", "operators/swiglu[float32]"]
    assert run.manifest["comparison"]["candidate"]["name"] == "cpu"
    assert {recording.environment for recording in run.recordings()} <= set(run.manifest["environments"])


def test_a_folder_that_holds_a_run_is_refused_before_any_worker_starts(folder: Path) -> None:
    refused = assay("--device", "cpu", "-n", "2", "--run", str(folder), *TWO)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--resume" in refused.stdout + refused.stderr
