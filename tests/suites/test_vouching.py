"""A time counts only beside a right result, whichever of the two comes first, and wherever the reference comes from."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.case import Case
from harness.checks.special_values import SpecialValues
from harness.devices import open_device
from harness.measure import device_stopwatch
from harness.run import Run
from harness.verdict import FAILING, Finding, Outcome, Verdict
from suites.session import Session, parse
from suites.vouching import vouched
from tests.harness.odd_workloads import BY_NAME

GOOD = BY_NAME["operators/well_behaved[float32]"]
TIMED = Verdict("performance/x", "performance", "float32", Outcome.PASS, findings=(Finding("throughput", "rate", Outcome.PASS),))


def judged(outcome: Outcome) -> Verdict:
    return Verdict("operators/x", "operators", "float32", outcome)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_it_fails_exactly_where_the_same_work_failed(outcome: Outcome) -> None:
    """A waiver that has to go, because the work is right now, is no wrong result."""
    found = vouched(TIMED, "operators/x", judged(outcome))
    assert (found.outcome is Outcome.FAIL) == (outcome in FAILING - {Outcome.FIXED})
    answers = {Outcome.PASS: "yes", Outcome.FIXED: "yes", Outcome.WAIVED: "waived"}
    assert found.findings[-1].answer == answers.get(outcome, "no")


def test_alone_it_is_not_vouched_for_and_says_so() -> None:
    found = vouched(TIMED, "operators/x", None)
    assert (found.outcome, found.findings[-1].answer) == (Outcome.PASS, "no")
    assert "nothing says that what was timed is right" in found.findings[-1].message


def test_a_later_word_replaces_the_earlier() -> None:
    bad = vouched(TIMED, "operators/x", judged(Outcome.FAIL))
    again = vouched(bad, "operators/x", judged(Outcome.PASS))
    assert (again.outcome, again.message, len(again.findings)) == (Outcome.PASS, "", 2)
    assert vouched(again, "operators/x", judged(Outcome.MISTRUSTED)).outcome is Outcome.FAIL


#: Judged as mistrusted, which fails: it promises nothing. Neither case needs a worker.
BAD = replace(GOOD, id="operators/unchecked[float32]", checks=(), golden=False)
QUICK = replace(GOOD, id="performance/x[float32]", area="performance", checks=(SpecialValues(),), golden=False, vouched_by=BAD.id)
CASES = {case.id: case for case in (GOOD, BAD, QUICK)}


def session(folder: Path, name: str, reference: str = "cpu", resume: bool = False) -> Session:
    return Session(parse("cpu", reference, str(folder / name), resume, "default"), CASES)


def judge(one: Session, case: Case) -> Verdict:
    """Record the case on all sides in this process, and judge it."""
    device = open_device("cpu")
    for recorder in filter(None, (one.live, one.candidate)):
        recorder.record_here(case, device, device_stopwatch(device))
    recording = one.candidate.run.recording(case.id)
    assert recording is not None
    return one.judge(case, recording)


def stored(folder: Path) -> Verdict:
    found = Run.open(folder).verdict(QUICK.id)
    assert found is not None
    return found


def test_a_case_that_fails_afterwards_takes_the_time_with_it(tmp_path: Path) -> None:
    one = session(tmp_path, "r")
    assert judge(one, QUICK).outcome is Outcome.PASS
    assert judge(one, BAD).outcome is Outcome.MISTRUSTED
    assert stored(tmp_path / "r").outcome is Outcome.FAIL
    assert "a fast wrong result scores nothing" in stored(tmp_path / "r").message


def test_a_resumed_run_remembers_what_failed(tmp_path: Path) -> None:
    judge(session(tmp_path, "a"), BAD)
    assert judge(session(tmp_path, "a", resume=True), QUICK).outcome is Outcome.FAIL


def test_beside_a_recorded_reference_its_own_verdict_counts_and_not_the_references(tmp_path: Path) -> None:
    first = session(tmp_path, "a")
    judge(first, QUICK)
    judge(first, BAD)
    second = session(tmp_path, "b", reference=str(tmp_path / "a"))
    alone = judge(second, QUICK)
    assert alone.outcome is Outcome.PASS
    assert next(f for f in alone.findings if f.check == "vouched").answer == "no"
    judge(second, BAD)
    assert stored(tmp_path / "b").outcome is Outcome.FAIL
