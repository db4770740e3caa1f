"""The section that shows the mutation score: only where a Run has one, with what was missed and how old it is."""

from pathlib import Path

from harness.run import Run
from harness.verdict import Cause, Finding, Outcome, Verdict
from reports.blocks import Fold, Table, Text, Tiles
from reports.frame import load
from reports.sections import mutation
from suites.mutation.score import Score, row
from tests.reports.runs import good


def failing(cause: Cause) -> Verdict:
    return Verdict(
        "operators/x[float32]", "operators", "float32", Outcome.FAIL, "", (Finding("closeness", "out", Outcome.FAIL, cause=cause),)
    )


def score() -> dict[str, object]:
    rows = (
        row("caught-one", "dispatch", "somebody 12", ("aten::mm",), (Cause.TAIL,), 3, 5, [failing(Cause.TAIL)]),
        row("wrong-cause", "dispatch", "somebody 13", ("aten::mm",), (Cause.TAIL,), 3, 5, [failing(Cause.VALUES)]),
        row("missed-one", "dispatch", "somebody 14", ("aten::bmm",), (Cause.TAIL,), 7, 9, []),
        row("never-met", "dispatch", "somebody 15", ("aten::dot",), (Cause.TAIL,), 0, 0, []),
        row("silent-one", "dispatch", "legal", ("aten::mm",), (), 4, 4, []),
    )  # fmt: skip
    about = {
        "created": "2020-01-01T00:00:00+00:00", "seconds": 400, "device": "cpu", "hardware": "Xeon", "emulated": False,
        "packages": {"torch": "2.13.0"}, "benign_cases": 24, "fault_cases": 80, "emulator": "not switched on",
        "not_counted": {"gone": "it is gone"},
    }  # fmt: skip
    return {**Score(rows).to_json(), **about}


def run_with(folder: Path, facts: dict[str, object]) -> Path:
    run = Run.create(folder, "npu:0")
    run.describe_mutation(facts)
    for verdict in good():
        run.write_verdict(verdict)
    return folder


def test_a_run_without_a_score_has_no_such_section(tmp_path: Path) -> None:
    assert mutation.render(load(run_with(tmp_path / "r", {}))) == []


def test_the_score_what_was_missed_and_how_old_it_is(tmp_path: Path) -> None:
    blocks = mutation.render(load(run_with(tmp_path / "r", score())))
    tiles = next(b for b in blocks if isinstance(b, Tiles)).tiles
    assert [(t.value, t.outcome) for t in tiles] == [("2 of 4", "fail"), ("0 of 1", "pass"), ("1 of 2", "fail")]
    texts = " ".join(b.text for b in blocks if isinstance(b, Text))
    assert "days before this run" in texts
    assert "same authors" in texts
    assert "Not counted: gone, because it is gone." in texts
    missed = next(b for b in blocks if isinstance(b, Table))
    assert [list(r)[0::2] for r in missed.rows] == [["missed-one", "7 cases pass"], ["never-met", "no case reaches it"]]


def test_every_mutant_is_listed_and_a_wrong_cause_is_told(tmp_path: Path) -> None:
    folds = [b for b in mutation.render(load(run_with(tmp_path / "r", score()))) if isinstance(b, Fold)]
    faults, benign = (fold.blocks[0] for fold in folds)
    assert isinstance(faults, Table)
    assert isinstance(benign, Table)
    assert [list(r)[1:3] for r in faults.rows] == [["caught", "tail"], ["caught", "values, not tail"], ["missed", ""], ["missed", ""]]
    assert [list(r)[:2] for r in benign.rows] == [["silent-one", "silent"]]
