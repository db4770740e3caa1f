"""Which cause a verdict names, what counts, and the last line."""

import re

import pytest

from harness.verdict import Cause, Finding, Outcome, Verdict
from suites.mutation.score import Row, Score, named_cause, row


def verdict(*found: tuple[str, Cause | None], outcome: Outcome = Outcome.FAIL) -> Verdict:
    findings = tuple(Finding("closeness", subject, outcome, cause=cause) for subject, cause in found)
    return Verdict("operators/x[float32]", "operators", "float32", outcome if found else Outcome.PASS, "", findings)


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        ([("out rms", Cause.TAIL), ("out worst", Cause.TAIL), ("other rms", Cause.VALUES)], Cause.TAIL),
        ([("out rms", Cause.TAIL), ("grad_x rms", Cause.VALUES), ("000.grad0 rms", Cause.VALUES)], Cause.TAIL),
        ([("grad_x rms", Cause.VALUES)], Cause.VALUES),
        ([("out rms", Cause.VALUES), ("out@sliced rms", Cause.LAYOUT), ("out@offset rms", Cause.LAYOUT)], Cause.VALUES),
        ([("out@sliced rms", Cause.LAYOUT)], Cause.LAYOUT),
        ([("repeat", Cause.UNSTEADY), ("operands", Cause.IMPURE), ("out rms", Cause.VALUES)], Cause.IMPURE),
        ([("samples", Cause.ARGUMENTS), ("out rms", Cause.VALUES)], Cause.VALUES),
        ([("samples", Cause.ARGUMENTS)], Cause.ARGUMENTS),
        ([("0.0 rms", Cause.TAIL), ("0.0 worst", Cause.TAIL), ("0.1", Cause.CHOICE)], Cause.CHOICE),
        ([("out rms", None)], None),
    ],
)
def test_the_cause_that_a_verdict_names(found: list[tuple[str, Cause | None]], cause: Cause | None) -> None:
    assert named_cause(verdict(*found)) is cause


def rows(caught: int, missed: int, wrong: int, silent: int, alarms: int, unreached: int = 0) -> Score:
    bad, good = verdict(("out rms", Cause.TAIL)), verdict()
    made: list[Row] = []
    for count, causes, verdicts, struck in (
        (caught, (Cause.TAIL,), [bad, good], 3), (missed, (Cause.TAIL,), [good], 3), (wrong, (Cause.VALUES,), [bad], 3),
        (silent, (), [good], 3), (alarms, (), [bad], 3), (unreached, (), [], 0),
    ):  # fmt: skip
        made += [row(f"r{len(made)}-{i}", "dispatch", "", ("aten::x",), causes, len(verdicts), struck, verdicts) for i in range(count)]
    return Score(tuple(made))


def test_the_last_line() -> None:
    line = rows(caught=40, missed=1, wrong=2, silent=82, alarms=1, unreached=3).line()
    assert line == "mutation: caught 42/43, alarms 1/83, cause right 40/42"
    assert re.fullmatch(r"mutation: caught \d+/\d+, alarms \d+/\d+, cause right \d+/\d+", line)


def test_what_is_good_enough() -> None:
    assert rows(caught=57, missed=3, wrong=0, silent=80, alarms=0).shortfalls() == []
    assert len(rows(caught=56, missed=4, wrong=0, silent=80, alarms=0).shortfalls()) == 1
    assert len(rows(caught=60, missed=0, wrong=0, silent=80, alarms=1).shortfalls()) == 1
    assert len(rows(caught=53, missed=0, wrong=7, silent=80, alarms=0).shortfalls()) == 1
    assert len(rows(caught=39, missed=0, wrong=0, silent=79, alarms=0).shortfalls()) == 1


def test_a_mistrusted_or_broken_case_counts_as_failing_and_a_pass_does_not() -> None:
    found = row("m", "dispatch", "", ("aten::x",), (Cause.TAIL,), 2, 1, [verdict(("out", None), outcome=Outcome.ERROR), verdict()])
    assert (found.failed, found.caught, found.cause_right, found.named) == (1, True, False, "")
    assert found.shown[0]["case"] == "operators/x[float32]"


@pytest.mark.parametrize(("ordinary", "named"), [(0, "special values"), (1, "special values"), (2, "tail")])
def test_special_values_name_the_cause_only_where_ordinary_numbers_are_right(ordinary: int, named: str) -> None:
    votes = [verdict(("out", Cause.SPECIAL))] * 6 + [verdict(("out", Cause.TAIL))] * ordinary
    assert row("m", "dispatch", "", ("aten::x",), (Cause.TAIL,), len(votes), 1, votes).named == named
