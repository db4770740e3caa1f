"""The section that shows the mutation score: only where a Run has one, with what was missed and how old it is."""

from pathlib import Path

from harness.run import Run
from reports.blocks import Fold, Table, Text, Tiles
from reports.frame import load
from reports.sections import mutation
from tests.reports.runs import good, score


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
    assert [(t.value, t.outcome) for t in tiles] == [("2 of 3", "fail"), ("0 of 1", "pass"), ("1 of 2", "fail")]
    texts = " ".join(b.text for b in blocks if isinstance(b, Text))
    assert "days before this run" in texts
    assert "same authors" in texts
    assert "Not counted: gone, because it is gone." in texts
    missed = next(b for b in blocks if isinstance(b, Table))
    assert [list(r)[0::2] for r in missed.rows] == [["missed-one", "7 cases pass"]]


def test_every_mutant_is_listed_and_a_wrong_cause_is_told(tmp_path: Path) -> None:
    folds = [b for b in mutation.render(load(run_with(tmp_path / "r", score()))) if isinstance(b, Fold)]
    faults, benign = (fold.blocks[0] for fold in folds)
    assert isinstance(faults, Table)
    assert isinstance(benign, Table)
    assert [list(r)[1:3] for r in faults.rows] == [["caught", "tail"], ["caught", "values, not tail"], ["missed", ""], ["not reached", ""]]
    assert [list(r)[:2] for r in benign.rows] == [["silent-one", "silent"]]
