"""The fingerprint on the first page: both sides beside each other, differences and broken promises marked."""

from pathlib import Path

from reports.blocks import Fold, Noted, Table, Text
from reports.frame import load
from reports.sections import all_sections
from reports.sections.fingerprint import TITLE, render
from reports.stakeholder.normal import sentence
from tests.reports.runs import fingerprint, good, make


def table_of(tmp_path: Path, **options: bool) -> Table:
    blocks = render(load(make(tmp_path / "r", fingerprint(), **options)))
    return next(block for block in blocks if isinstance(block, Table))


def test_engineers_read_it_first() -> None:
    assert all_sections()[0].TITLE == TITLE


def test_a_run_without_a_fingerprint_has_no_such_section(tmp_path: Path) -> None:
    assert not render(load(make(tmp_path / "r", good())))


def test_facts_stand_in_order_with_the_dtypes_in_one_row(tmp_path: Path) -> None:
    rows = table_of(tmp_path).rows
    assert [row[0] for row in rows] == ["Product: operands", "Product: sums", "Batches: a row of a batch", "Support: float64"]
    assert rows[0][1:] == [Noted("float32: 12 of 24 bits, as HF32; bfloat16: all bits", "fail"), "all bits"]


def test_a_difference_stands_out_and_an_agreement_does_not(tmp_path: Path) -> None:
    rows = table_of(tmp_path).rows
    assert rows[1][1:] == ["24 bits", "24 bits"]
    assert rows[2][1:] == [Noted("matmul changes", "unlike"), "the same bits"]


def test_the_sentence_counts_and_names(tmp_path: Path) -> None:
    text = render(load(make(tmp_path / "r", fingerprint())))[0]
    assert isinstance(text, Text)
    assert text.text == (
        "The two sides answer alike in 1 of 4 facts and differ in 3 (≠). 1 breaks what is promised (●): Product: operands."
    )  # fmt: skip


def test_an_emulated_device_has_a_banner(tmp_path: Path) -> None:
    first = render(load(make(tmp_path / "r", fingerprint(), emulated=True)))[0]
    assert isinstance(first, Text)
    assert first.kind == "banner"
    assert first.text.startswith("EMULATED")


def test_the_summary_does_not_call_an_exact_probe_an_error_bound(tmp_path: Path) -> None:
    verdicts = [v for v in fingerprint() if v.outcome == "pass"]
    text = str(sentence(load(make(tmp_path / "r", verdicts))))
    assert text == "All 3 cases that could be judged passed: 3 with no promise of arithmetic broken."


def test_what_is_long_is_folded_away(tmp_path: Path) -> None:
    folds = [block for block in render(load(make(tmp_path / "r", fingerprint()))) if isinstance(block, Fold)]
    assert len(folds) == 1
    assert "poisson" in str(folds[0].blocks[0])
