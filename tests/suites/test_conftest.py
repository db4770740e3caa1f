"""The command line: wrong requests are one line and exit status 4, before anything runs."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.verdict import Outcome, Verdict
from suites import conftest

ROOT = Path(__file__).parents[2]
CASE = "operators/softmax[float32]"


def assay(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "suites/", "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=300)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "tpu:0"], "tpu"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "cpu", "--reference", "no/such/run"], "no/such/run: no such folder"),
        (["--device", "cpu", "--case", "operators/softmix[float32]"], "the nearest is"),
        (["--device", "cpu", "--model", "no/such/model"], "no/such/model"),
    ],
)
def test_a_wrong_request_is_one_line(arguments: list[str], words: str) -> None:
    done = assay(*arguments)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert len(errors) == 1
    assert words in errors[0]


def test_a_run_a_reference_and_a_tampered_one(tmp_path: Path) -> None:
    first, second, third = (str(tmp_path / name) for name in ("first", "second", "third"))
    assert assay("--device", "cpu", "--case", CASE, "--run", first).returncode == 0

    again = assay("--device", "cpu", "--case", CASE, "--run", second, "--reference", first)
    assert again.returncode == 0, again.stdout
    assert "NOT A COMPARISON BETWEEN DEVICES" in again.stdout

    refused = assay("--device", "cpu", "--case", CASE, "--run", first)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--resume" in refused.stderr + refused.stdout

    resumed = assay("--device", "cpu", "--case", CASE, "--run", first, "--resume")
    assert resumed.returncode == 0

    tensors = next(Path(first, "recordings").glob("*/tensors.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-8] + bytes(8))
    tampered = assay("--device", "cpu", "--case", CASE, "--run", third, "--reference", first)
    assert tampered.returncode == pytest.ExitCode.TESTS_FAILED
    assert "incomparable" in tampered.stdout
    assert "altered or truncated" in tampered.stdout


def test_markers_select_areas() -> None:
    listed = assay("--device", "cpu", "--collect-only", "-m", "inference").stdout
    assert "inference/" in listed
    assert "operators/" not in listed


def test_long_cases_wait_to_be_asked_for() -> None:
    long = "post_training/real-sft[float32]"
    listed = {
        words: assay("--device", "cpu", "--collect-only", *words).stdout
        for words in (("-m", "post_training"), ("-m", "long"), ("--case", long))
    }
    assert [long in stdout for stdout in listed.values()] == [False, True, True]
    assert "post_training/sft[float32]" not in listed["-m", "long"]


def test_what_cannot_be_told_is_no_pass_and_is_said_aloud(tmp_path: Path) -> None:
    untold = Verdict("accuracy/piqa[float32]", "accuracy", "float32", Outcome.INCONCLUSIVE, "score of difference: cannot tell")
    config = SimpleNamespace(stash={conftest._OUTCOMES: Counter()}, option=SimpleNamespace())
    with pytest.raises(pytest.skip.Exception, match="cannot tell: score of difference"):
        conftest.settle.__wrapped__(config)(untold)
    run = SimpleNamespace(manifest={"comparison": None}, folder=tmp_path, verdicts=lambda: [untold])
    config.stash[conftest._SESSION] = SimpleNamespace(run=run)
    lines: list[str] = []
    conftest.pytest_terminal_summary(SimpleNamespace(write_line=lines.append, section=lines.append), config)
    assert "verdicts: 1 inconclusive" in lines
    assert "cannot tell: accuracy/piqa[float32]: score of difference: cannot tell" in lines
