"""What other rules would have said, beside our verdicts."""

from pathlib import Path

from harness.verdict import WOULD_SAY, Finding, Outcome
from reports.blocks import Block, Figure, Fold, Table
from reports.frame import load
from reports.sections import failures, parity, rules
from tests.reports.runs import closeness, make, verdict


def said(rule: str, message: str) -> Finding:
    return Finding("other_rules", f"{WOULD_SAY}{rule}", Outcome.PASS, message=message)


def blocks(tmp_path: Path) -> list[Block]:
    made = [
        verdict(
            "operators/sound[float32]",
            findings=[closeness(), said("msprobe", "pass"), said("close", "fail: out: 3 of 4 elements mismatch")],
        ),
        verdict(
            "operators/nan[float32]", Outcome.FAIL, [closeness(), said("msprobe", "pass"), said("close", "fail: out: 8 of 9")], "8 NaN"
        ),
        verdict("operators/odd[float32]", findings=[closeness(), said("msprobe", "investigate: out: all differ")]),
        verdict("operators/refused[float32]", Outcome.UNSUPPORTED),
    ]
    return list(rules.render(load(make(tmp_path / "r", made))))


def test_each_rule_has_its_counts(tmp_path: Path) -> None:
    table = next(b for b in blocks(tmp_path) if isinstance(b, Table))
    assert table.head == ["rule", "pass", "fail", "investigate", "passes what we fail", "fails what we pass"]
    assert sorted(table.rows) == [["close", "0", "2", "0", "0", "1"], ["msprobe", "2", "0", "1", "1", "1"]]


def test_disagreements_are_folded_and_say_why(tmp_path: Path) -> None:
    folds = {fold.summary: fold.blocks[0] for fold in blocks(tmp_path) if isinstance(fold, Fold)}
    assert set(folds) == {"msprobe: 2 disagreements", "close: 1 disagreements"}
    table = folds["close: 1 disagreements"]
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["operators/sound[float32]"]
    assert table.rows[0][3] == "out: 3 of 4 elements mismatch"


def test_a_run_without_such_findings_has_no_such_section(tmp_path: Path) -> None:
    assert rules.render(load(make(tmp_path / "r", [verdict("operators/x[float32]", findings=[closeness()])]))) == []


def test_their_findings_change_no_other_section(tmp_path: Path) -> None:
    theirs = [said("close", "fail: out: 1 of 1")]
    frames = [
        load(make(tmp_path / name, [verdict("operators/x[float32]", findings=[closeness(), *more])]))
        for name, more in (("a", theirs), ("b", []))
    ]
    for section in (failures, parity):
        with_them, without = ([b for b in section.render(f) if not isinstance(b, Figure)] for f in frames)
        assert with_them == without
