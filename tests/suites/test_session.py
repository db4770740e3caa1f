"""One comparison: what is stored, what is called by its name."""

from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.run import Run
from harness.verdict import Outcome
from suites.session import Session, _same_device, parse
from tests.harness.odd_workloads import BY_NAME

GOOD = BY_NAME["operators/well_behaved[float32]"]


def test_a_session_records_judges_and_stores(tmp_path: Path) -> None:
    session = Session(parse("cpu", "cpu", str(tmp_path / "r"), False, "default"), BY_NAME)
    try:
        assert session.verdict(GOOD).outcome is Outcome.PASS
        assert session.verdict(BY_NAME["operators/segfault[float32]"]).outcome is Outcome.ERROR
        assert session.verdict(BY_NAME["operators/unsupported[float32]"]).outcome is Outcome.UNSUPPORTED
    finally:
        session.close()
    run = Run.open(tmp_path / "r")
    assert {v.outcome for v in run.verdicts()} == {Outcome.PASS, Outcome.ERROR, Outcome.UNSUPPORTED}
    assert run.manifest["comparison"]["self_comparison"] is True
    assert run.verdict(GOOD.id).reproduce == f"pytest suites/ --case '{GOOD.id}' --device cpu --reference cpu"


def test_a_recorded_reference_brings_its_goldens(tmp_path: Path) -> None:
    first = Session(parse("cpu", "cpu", str(tmp_path / "a"), False, "default"), BY_NAME)
    first.verdict(GOOD)
    first.close()
    second = Session(parse("cpu", str(tmp_path / "a"), str(tmp_path / "b"), False, "default"), BY_NAME)
    assert second.verdict(GOOD).outcome is Outcome.PASS
    second.close()
    assert Run.open(tmp_path / "b" / "golden").recording(GOOD.id) is None
    assert Run.open(tmp_path / "b").manifest["comparison"]["reference_kind"] == "recorded"


def test_a_case_that_the_reference_lacks_is_incomparable(tmp_path: Path) -> None:
    Run.create(tmp_path / "empty", "cpu")
    session = Session(parse("cpu", str(tmp_path / "empty"), str(tmp_path / "b"), False, "default"), BY_NAME)
    verdict = session.verdict(GOOD)
    session.close()
    assert verdict.outcome is Outcome.INCOMPARABLE
    assert "has no recording of" in verdict.message


def test_run_and_reference_may_not_be_one_folder(tmp_path: Path) -> None:
    Run.create(tmp_path / "r", "cpu")
    with pytest.raises(AssayError, match="both --run and --reference"):
        parse("cpu", str(tmp_path / "r"), str(tmp_path / "r"), True, "default")


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ({"kind": "cpu", "hardware": "A"}, {"kind": "cpu", "hardware": "B"}, True),
        ({"kind": "npu", "hardware": "910B"}, {"kind": "npu", "hardware": "910B"}, True),
        ({"kind": "npu", "hardware": "910B"}, {"kind": "npu", "hardware": "910C"}, False),
        ({"kind": "npu", "hardware": "910B"}, {"kind": "cpu", "hardware": "A"}, False),
    ],
)
def test_a_comparison_of_a_device_with_itself_is_told(ours: dict[str, str], theirs: dict[str, str], same: bool) -> None:
    assert bool(_same_device(ours, theirs)) is same
