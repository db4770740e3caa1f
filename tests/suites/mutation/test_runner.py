"""From the trace to the stored score, with two faults and two benign variants on two cases, in processes as a user has them."""

import json
import re
from pathlib import Path

import pytest

from harness.case import Case
from suites.catalogue import all_cases
from suites.mutation import invariants, runner
from suites.mutation.__main__ import main
from suites.mutation.bench import Bench
from suites.mutation.choosing import traced
from suites.mutation.registry import mutants
from suites.mutation.runner import Plan, read_trace, told, tried

CASES = ("operators/softmax-strided[float32]", "operators/matmul-odd[float32]")
PLAN = Plan("cpu", 2, 2, ("softmax-tail", "product-one-term-lost", "softmax-online-blocks-of-16", "product-split-in-3"))


@pytest.fixture(scope="module")
def few() -> dict[str, Case]:
    cases = all_cases()
    return {name: cases[name] for name in CASES}


def test_from_the_trace_to_the_score(few: dict[str, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "all_cases", lambda: few)
    for part in (0, 1):
        runner.trace(PLAN, part, 2, tmp_path)
    assert {case: "aten::_softmax" in operators for case, operators in read_trace(tmp_path).items()} == {CASES[0]: True, CASES[1]: False}
    for part in (0, 1):
        runner.judge(PLAN, part, 2, tmp_path)
    lines = [json.loads(line) for part in (0, 1) for line in (tmp_path / f"rows-{part}.jsonl").read_text().splitlines()]
    found = {row["name"]: (row["cases"], row["failed"], bool(row["struck"])) for row in lines}
    assert found == {
        "softmax-tail": (1, 1, True), "product-one-term-lost": (1, 1, True),
        "softmax-online-blocks-of-16": (1, 0, True), "product-split-in-3": (1, 0, True),
    }  # fmt: skip
    assert not any(row["stumbled"] for row in lines)
    before = (tmp_path / "rows-0.jsonl").read_text()
    runner.judge(PLAN, 0, 2, tmp_path)  # goes on where it was
    assert (tmp_path / "rows-0.jsonl").read_text() == before


def test_a_case_that_fails_anyway_is_passed_over(few: dict[str, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("cpu", tmp_path / "run", few)
    monkeypatch.setattr(bench, "sound", lambda case: case.id != CASES[0])
    row = tried(bench, mutants()["softmax-tail"], few.values())
    bench.close()
    assert (row.cases, row.failed) == (1, 0)
    assert told(row).startswith("MISSED  softmax-tail: 0 of 1 cases")


def test_one_dtype_is_traced_for_others_of_its_kind() -> None:
    cases = [Case(f"operators/x[{dtype}]", "operators", runner.trace, dtype, ()) for dtype in ("bfloat16", "float32", "int32", "bool")]
    assert traced(cases) == {
        "operators/x[float32]": ["operators/x[bfloat16]", "operators/x[float32]"],
        "operators/x[int32]": ["operators/x[int32]", "operators/x[bool]"],
    }  # fmt: skip


def test_a_process_that_dies_at_a_mutant_is_that_mutants_doing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "now-0.txt").write_text("softmax-tail")
    runner._write_death(PLAN, 0, tmp_path, -11)
    row = json.loads((tmp_path / "rows-0.jsonl").read_text())
    assert (row["name"], row["failed"], row["named"]) == ("softmax-tail", 1, "")
    assert "died by signal 11" in row["shown"][0]["message"]
    assert capsys.readouterr().out.startswith("caught  softmax-tail")


def test_a_wrong_name_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mutant", "softmax-tial"]) == 2
    assert main(["--device", "abacus"]) == 2
    assert re.fullmatch(r"(mutation: .+\n){2}", capsys.readouterr().err)


def test_the_list_tells_every_mutant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(mutants()) + len(invariants.SEEDS)
