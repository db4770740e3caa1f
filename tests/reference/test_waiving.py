"""What waivers make of verdicts."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict import FAILING, Finding, Outcome, Verdict, sum_up
from reference.waiver import Waiver
from reference.waiving import CHECK, apply, stated, told

CASE, TODAY = "operators/softmax[float16]", date(2026, 11, 1)
RMS, WORST = (
    Finding("closeness", "out rms", Outcome.FAIL, message="off"),
    Finding("closeness", "out worst", Outcome.FAIL, message="far off"),
)
GOOD = Finding("special_values", "out", Outcome.PASS)


def verdict(*findings: Finding) -> Verdict:
    outcome, message = sum_up(findings)
    return Verdict(CASE, "operators", "float16", outcome, message, findings)


def waiver(**changes: Any) -> Waiver:
    blank = {"case": CASE, "owner": "A. Person", "reason": "known", "link": "https://example.org/1", "expires": date(2027, 6, 30)}
    return Waiver(f"npu.toml: {changes.pop('name', 'tail')}", "npu", **(blank | changes))


def notes(judged: Verdict) -> list[tuple[str, Outcome]]:
    return [(f.subject, f.outcome) for f in judged.findings if f.check == CHECK]


def test_a_failure_that_was_signed_for_is_waived_and_its_findings_stay() -> None:
    judged = apply(verdict(RMS, WORST, GOOD), [waiver()], TODAY)
    assert judged.outcome is Outcome.WAIVED
    assert judged.outcome not in FAILING
    assert judged.findings[:3] == (RMS, WORST, GOOD)
    assert notes(judged) == [("npu.toml: tail", Outcome.WAIVED)]
    for word in ("A. Person", "known", "https://example.org/1", "2027-06-30", "closeness of out rms, closeness of out worst"):
        assert word in judged.findings[-1].message
        assert word in judged.message


def test_what_is_mistrusted_can_be_waived() -> None:
    assert apply(verdict(Finding("closeness", "out rms", Outcome.MISTRUSTED)), [waiver()], TODAY).outcome is Outcome.WAIVED


def test_what_cannot_be_told_is_neither_excused_nor_fixed() -> None:
    untold = verdict(Finding("score", "difference", Outcome.INCONCLUSIVE))
    assert untold.outcome is Outcome.INCONCLUSIVE
    assert apply(untold, [waiver()], TODAY) == untold
    assert apply(verdict(RMS, Finding("score", "difference", Outcome.INCONCLUSIVE)), [waiver()], TODAY).outcome is Outcome.WAIVED


@pytest.mark.parametrize("changes", [{"subject": "out rms"}, {"check": "special_values"}, {"case": "operators/other[float16]"}])
def test_one_finding_that_nobody_signed_for_fails(changes: dict[str, str]) -> None:
    judged = apply(verdict(RMS, WORST), [waiver(**changes)], TODAY)
    assert judged.outcome is Outcome.FAIL
    if "subject" in changes:
        assert judged.message == "closeness of out worst: far off"  # not the one that was signed for


def test_who_excuses_a_finding_excuses_the_appeal_that_confirmed_it() -> None:
    confirmed = Finding("appeal", "fresh seeds", Outcome.FAIL, 1.4, 1.0)
    assert apply(verdict(confirmed, RMS, GOOD), [waiver(check="closeness")], TODAY).outcome is Outcome.WAIVED
    assert apply(verdict(confirmed, RMS, WORST), [waiver(subject="out rms")], TODAY).outcome is Outcome.FAIL
    assert apply(verdict(confirmed), [waiver()], TODAY).outcome is Outcome.FAIL


def test_two_waivers_together_can_cover_a_case() -> None:
    both = [waiver(name="a", subject="out rms"), waiver(name="b", subject="out worst")]
    judged = apply(verdict(RMS, WORST), both, TODAY)
    assert judged.outcome is Outcome.WAIVED
    assert notes(judged) == [("npu.toml: a", Outcome.WAIVED), ("npu.toml: b", Outcome.WAIVED)]


def test_the_last_day_counts_and_the_day_after_fails_and_names_waiver_and_date() -> None:
    assert apply(verdict(RMS), [waiver(expires=TODAY)], TODAY).outcome is Outcome.WAIVED
    judged = apply(verdict(RMS), [waiver(expires=date(2026, 10, 31))], TODAY)
    assert judged.outcome is Outcome.FAIL
    assert notes(judged) == [("npu.toml: tail", Outcome.FAIL)]
    assert "npu.toml: tail: expired, its last day was 2026-10-31" in judged.message


def test_an_expired_waiver_fails_even_beside_one_that_covers_the_same() -> None:
    judged = apply(verdict(RMS), [waiver(name="old", expires=date(2026, 1, 1)), waiver(name="new")], TODAY)
    assert judged.outcome is Outcome.FAIL
    assert notes(judged) == [("npu.toml: old", Outcome.FAIL), ("npu.toml: new", Outcome.WAIVED)]


@pytest.mark.parametrize("expires", [date(2027, 6, 30), date(2026, 1, 1)])
def test_a_case_that_passes_though_somebody_signed_is_fixed_and_fails(expires: date) -> None:
    judged = apply(verdict(GOOD), [waiver(expires=expires)], TODAY)
    assert judged.outcome is Outcome.FIXED
    assert judged.outcome in FAILING
    assert notes(judged) == [("npu.toml: tail", Outcome.FIXED)]
    assert "remove it" in judged.message


def test_a_waiver_that_finds_nothing_beside_one_that_does_is_fixed() -> None:
    judged = apply(verdict(RMS, GOOD), [waiver(name="a"), waiver(name="b", check="special_values")], TODAY)
    assert judged.outcome is Outcome.FIXED
    assert notes(judged) == [("npu.toml: a", Outcome.WAIVED), ("npu.toml: b", Outcome.FIXED)]


def test_nothing_is_called_fixed_while_something_else_fails() -> None:
    judged = apply(verdict(RMS, GOOD), [waiver(check="special_values")], TODAY)
    assert judged == verdict(RMS, GOOD)


def test_a_device_that_agrees_with_itself_fixes_nothing() -> None:
    assert apply(verdict(GOOD), [waiver()], TODAY, conclusive=False) == verdict(GOOD)
    assert apply(verdict(RMS), [waiver()], TODAY, conclusive=False).outcome is Outcome.WAIVED


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.INCOMPARABLE, Outcome.UNSUPPORTED])
@pytest.mark.parametrize("expires", [date(2027, 6, 30), date(2026, 1, 1)])
def test_where_nothing_was_judged_a_waiver_says_nothing(outcome: Outcome, expires: date) -> None:
    broken = verdict(Finding("status", "npu:0", outcome, message="crash"))
    assert apply(broken, [waiver(expires=expires)], TODAY) == broken


def test_a_verdict_without_a_finding_is_not_excused() -> None:
    assert apply(verdict(), [waiver()], TODAY).outcome is Outcome.MISTRUSTED


def test_many_findings_are_not_all_named() -> None:
    many = [Finding("parameters", f"w{i}", Outcome.FAIL) for i in range(9)]
    assert "parameters of w2 and 6 more" in apply(verdict(*many), [waiver()], TODAY).message


DAYS = st.dates(date(2026, 10, 30), date(2026, 11, 3))
FINDINGS = st.lists(
    st.builds(Finding, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.sampled_from(list(Outcome)[:6])), max_size=5
)
WAIVERS = st.lists(
    st.builds(waiver, check=st.sampled_from(["*", "a"]), subject=st.sampled_from(["*", "x"]), expires=DAYS),
    max_size=3,
)  # fmt: skip


@given(FINDINGS, WAIVERS)
def test_a_waiver_never_makes_a_pass_and_excuses_only_what_is_signed_for_today(findings: list[Finding], waivers: list[Waiver]) -> None:
    before = verdict(*findings)
    after = apply(before, waivers, TODAY)
    assert after.findings[: len(findings)] == before.findings
    if before.outcome in FAILING:
        assert after.outcome is not Outcome.PASS
    if after.outcome is Outcome.WAIVED:
        valid = [w for w in waivers if not w.expired(TODAY)]
        assert all(any(w.excuses(f.check, f.subject) for w in valid) for f in findings if f.outcome in FAILING)
        assert not {f.outcome for f in findings} & {Outcome.ERROR, Outcome.INCOMPARABLE}
    if before.outcome not in FAILING and after.outcome is not before.outcome:
        assert after.outcome is Outcome.FIXED


def test_each_waiver_is_stated_with_why_it_does_not_hold() -> None:
    environment = {"host": {"packages": {"torch": "2.13.0"}}, "device": {"name": "npu:0", "hardware": "Ascend910B2"}}
    waivers = [waiver(name="a"), waiver(name="b", expires=date(2026, 1, 1)), waiver(name="c", versions={"torch": "<2.12"})]
    facts = stated(waivers, environment, TODAY)
    assert [(w["state"], w["why"]) for w in facts] == [
        ("in force", ""), ("expired", ""), ("inactive", "for torch <2.12, and here it is 2.13.0"),
    ]  # fmt: skip
    assert told(facts) == [
        "waivers: 1 in force, 1 expired, 1 inactive",
        "  expired: npu.toml: b, its last day was 2026-01-01",
        "  inactive: npu.toml: c: for torch <2.12, and here it is 2.13.0",
    ]
    assert told([]) == []
