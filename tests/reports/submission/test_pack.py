"""What goes into a submission, and what must not."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from reports.__main__ import main
from tests.reports.submission.submitted import CASES, packed, submitted


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_it_holds_runs_sums_report_and_what_was_not_run(tmp_path: Path) -> None:
    run = submitted(tmp_path / "npu", (*CASES, "operators/left-out[float32]"))
    (run / "logs").mkdir()
    (run / "logs" / "npu0.log").write_text("a worker's words")
    (run / "report.html").write_text("an older report")
    members = contents(packed(tmp_path, run))
    assert {"report.html", "submission.json", "SHA256SUMS", "README.txt", "runs/npu/run.json", "runs/npu/catalogue.json"} <= set(members)
    assert not any("log" in name.rpartition("/")[0].split("/") or ".lock" in name or name.endswith("npu/report.html") for name in members)
    (told,) = json.loads(members["submission.json"])["runs"]
    assert told["not_run"] == ["operators/left-out[float32]"]
    assert told["outcomes"] == {"pass": 2}
    assert told["environments"]


def test_the_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    with zipfile.ZipFile(packed(tmp_path, submitted(tmp_path / "npu"))) as archive:
        archive.extractall(tmp_path / "x")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "x", check=True)


def test_the_same_run_gives_the_same_archive(tmp_path: Path) -> None:
    run = submitted(tmp_path / "npu")
    first = packed(tmp_path, run).read_bytes()
    assert packed(tmp_path, run).read_bytes() == first


def test_two_runs_of_one_name_are_both_there(tmp_path: Path) -> None:
    members = contents(packed(tmp_path, submitted(tmp_path / "a" / "npu"), submitted(tmp_path / "b" / "npu")))
    assert {"runs/npu/run.json", "runs/npu~2/run.json"} <= set(members)


def test_tensors_can_be_left_out(tmp_path: Path) -> None:
    archive = packed(tmp_path, submitted(tmp_path / "npu"), options=("--no-tensors",))
    assert not any(name.endswith(".safetensors") for name in contents(archive))
    assert main(["verify", str(archive)]) == 0


@pytest.mark.parametrize(
    "secret",
    ["hf_" + "a1" * 17, "ghp_" + "b2" * 18, "/home/somebody/model", "https://user:pass@host/x", "password=hunter22", "192.168.7.12"],
)
def test_what_is_private_is_not_packed_and_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str], secret: str) -> None:
    run = submitted(tmp_path / "npu")
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**document, "comparison": {**document["comparison"], "note": secret}}))
    assert main(["pack", str(run), "-o", str(tmp_path / "s.zip")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "runs/npu/run.json (" in error
    assert secret not in error
    assert not (tmp_path / "s.zip").exists()
    assert main(["pack", str(run), "-o", str(tmp_path / "s.zip"), "--private"]) == 0


@pytest.mark.parametrize(
    "ordinary", ["torch 10.1.2", "2.13.0+cpu", "task-classification-of-things", "torch.nn.functional.silu", "tokens/s"]
)
def test_what_is_ordinary_is_packed(tmp_path: Path, ordinary: str) -> None:
    run = submitted(tmp_path / "npu")
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**document, "comparison": {**document["comparison"], "note": ordinary}}))
    packed(tmp_path, run)


def test_a_link_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = submitted(tmp_path / "npu")
    (run / "recordings" / "elsewhere").symlink_to("/etc")
    assert main(["pack", str(run), "-o", str(tmp_path / "s.zip")]) == 2
    assert "is a link" in capsys.readouterr().err


def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(tmp_path / "nothing"), "-o", str(tmp_path / "s.zip")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
