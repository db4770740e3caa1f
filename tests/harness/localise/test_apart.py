"""In a process of its own: a result on disk, or one sentence that says at which operator the process ended."""

import math
from pathlib import Path

import pytest

from harness.localise import apart
from harness.localise.apart import localise_apart
from harness.localise.result import stem_of
from tests.harness.localise.workloads import BY_NAME


def test_a_healthy_case_has_no_offender_a_growth_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    case = BY_NAME["trained"]
    document = localise_apart(case, "cpu", "cpu", tmp_path, 60.0)
    assert document["first"] is None
    assert document["conclusion"].startswith("no single operator is off by itself (")
    assert [row["path"] for row in document["growth"]][:2] == ["0", "1.norm"]
    assert all(row["between"] == 0.0 and row["reference"] < 10 for row in document["growth"])
    assert [path.name for path in stem_of(tmp_path, case.id).parent.iterdir()] == [f"{stem_of(tmp_path, case.id).name}.json"]


def test_a_crash_is_told_with_the_operator_it_happened_at(tmp_path: Path) -> None:
    document = localise_apart(BY_NAME["crashing"], "cpu", "cpu", tmp_path, 60.0)
    assert document["first"] is None
    assert document["conclusion"].startswith("not localised: the process died (SIGSEGV) at operator 1: aten::exp (forward, outside of any")


def test_a_hang_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def show(text: str) -> None:
        if text.startswith("operator 1"):
            monkeypatch.setattr(apart.time, "monotonic", lambda: math.inf)

    document = localise_apart(BY_NAME["hanging"], "cpu", "cpu", tmp_path, 200.0, show)
    assert document["conclusion"].startswith("not localised: the process hung and was ended at operator 1: aten::exp")


def test_a_device_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    document = localise_apart(BY_NAME["trained"], "cuda:99", "cpu", tmp_path, 60.0)
    assert document["conclusion"].startswith("not localised: device cuda:99")
