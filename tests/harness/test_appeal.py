"""A second look: it acquits what other sound forms do and what the inputs decide, and nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from harness.appeal import SEEDS, Sources, appeal, may_appeal, median_interval
from harness.case import Case
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.judge import judge
from harness.manner import FORMS, Manner
from harness.recording import Recording, Status
from harness.verdict import Cause, Outcome, Verdict
from tests.harness.checks.build import case as plain_case

CASE = replace(plain_case(), checks=(Closeness(), Exact()), probed=True)
G = np.random.default_rng(0).standard_normal((64, 64))
Arrays = Mapping[str, np.ndarray]


def record(arrays: Arrays, case: Case = CASE) -> Recording:
    dtypes = {name: str(array.dtype) for name, array in arrays.items()}
    made = Recording(case.definition(), case.key(), "operators", "cpu", "e", Status.OK, dtypes=dtypes)
    made.__dict__["tensors"] = dict(arrays)
    return made


def off_by(u: float, seed: int = 1) -> Arrays:
    noise = np.random.default_rng(seed).uniform(-1, 1, G.shape)
    return {"out": (G * (1 + u * 2.0**-24 * noise)).astype(np.float32)}


def heard(candidate: Arrays, host: Mapping[Manner, Arrays], again: Callable[[int], Arrays] = lambda seed: off_by(0, seed)) -> Verdict:
    golden = {"out": G}

    def on_host(case: Case, manner: Manner) -> Recording:
        return record(host.get(manner, golden if manner.exact else off_by(0)), case)

    sides = record(candidate), record(off_by(0)), record(golden)
    first = judge(CASE, *sides)
    assert may_appeal(CASE, first)
    sources = Sources(lambda c: record(again(c.seed), c), lambda c: record(off_by(0), c), on_host)
    return appeal(CASE, first, *sides, sources)


def test_an_error_that_an_accepted_form_has_too_is_acquitted() -> None:
    verdict = heard(off_by(30), {form: off_by(30, 2) for form in FORMS})
    assert verdict.outcome is Outcome.PASS
    assert "other accepted forms" in verdict.findings[-1].message


def test_an_error_that_the_inputs_roundoff_explains_is_acquitted() -> None:
    moved = {"out": G * (1 + 20 * 2.0**-24)}
    assert heard(off_by(30), {Manner.MOVED_1: moved, Manner.MOVED_2: moved}).outcome is Outcome.PASS


def test_a_gross_error_fails_without_fresh_seeds() -> None:
    verdict = heard(off_by(1000), {})
    assert verdict.outcome is Outcome.FAIL
    assert verdict.findings[-1].subject == "forms"


def test_a_small_excess_that_fresh_seeds_do_not_confirm_is_acquitted() -> None:
    verdict = heard(off_by(6), {})
    assert verdict.outcome is Outcome.PASS
    assert f"0 of {SEEDS} fresh seeds" in verdict.findings[-1].message


def test_a_small_excess_on_every_seed_fails() -> None:
    verdict = heard(off_by(6), {}, lambda seed: off_by(6, seed))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.findings[-1].low is not None
    assert verdict.findings[-1].low > 1


def test_a_choice_that_flips_when_the_inputs_move_is_acquitted_and_another_is_not() -> None:
    chosen, other = {"at": np.array([0, 1])}, {"at": np.array([0, 2])}

    def on_host(case: Case, manner: Manner) -> Recording:
        return record(other if manner is Manner.MOVED_1 else chosen, case)

    sources = Sources(lambda c: record(other, c), lambda c: record(chosen, c), on_host)
    for candidate, outcome in ((other, Outcome.PASS), ({"at": np.array([3, 1])}, Outcome.FAIL)):
        sides = record(candidate), record(chosen), record(chosen)
        assert appeal(CASE, judge(CASE, *sides), *sides, sources).outcome is outcome


def test_what_was_not_probed_or_did_not_fail_by_an_error_has_no_appeal() -> None:
    failing = judge(CASE, record(off_by(99)), record(off_by(0)), record({"out": G}))
    assert may_appeal(CASE, failing)
    assert not may_appeal(replace(CASE, probed=False), failing)
    assert not may_appeal(CASE, judge(CASE, record(off_by(0)), record(off_by(0)), record({"out": G})))
    wrong_dtype = judge(CASE, record({"out": G}), record(off_by(0)), record({"out": G}))
    assert wrong_dtype.outcome is Outcome.FAIL
    assert not may_appeal(CASE, wrong_dtype)


def test_what_has_no_appeal_does_not_keep_the_rest_from_one() -> None:
    """One output is of another dtype, the other as far off as an accepted form: only the first still fails."""

    def both(x: Arrays, other: np.dtype) -> Arrays:
        return {**x, "form": G.astype(other)}

    single, double = np.dtype("float32"), np.dtype("float64")
    sides = record(both(off_by(30), double)), record(both(off_by(0), single)), record(both({"out": G}, double))
    first = judge(CASE, *sides)
    assert {f.subject.partition(" ")[0] for f in first.findings if f.outcome is Outcome.FAIL} == {"form", "out"}
    assert may_appeal(CASE, first)
    sources = Sources(lambda c: sides[0], lambda c: sides[1], lambda c, manner: record(both(off_by(30, 2), single), c))
    second = appeal(CASE, first, *sides, sources)
    assert second.outcome is Outcome.FAIL
    assert {f.subject for f in second.findings if f.outcome is Outcome.FAIL} == {"form"}


@pytest.mark.parametrize(("ratios", "beyond"), [([2.0] * 9, True), ([0.5] * 9, False), ([0.9, 1.1] * 4 + [1.0], False)])
def test_the_interval_of_a_median_decides(ratios: list[float], beyond: bool) -> None:
    low, high = median_interval(ratios)
    assert low <= float(np.median(ratios)) <= high
    assert (low > 1) is beyond


def test_what_should_be_exact_is_not_excused_by_the_inputs_roundoff() -> None:
    exact = replace(CASE, checks=(Exact(only=("out",)),))
    golden = np.arange(9.0)
    device = golden.astype(np.float32)
    device[3] += 1

    def on_host(case: Case, manner: Manner) -> Recording:
        return record({"out": golden * (1 + 2.0**-24) if manner.moved else golden.astype(np.float32)}, case)

    sides = record({"out": device}, exact), record({"out": golden.astype(np.float32)}, exact), record({"out": golden}, exact)
    sources = Sources(lambda c: sides[0], lambda c: sides[1], on_host)
    assert appeal(exact, judge(exact, *sides), *sides, sources).outcome is Outcome.FAIL


@pytest.mark.parametrize(("theirs", "outcome"), [(0.0, Outcome.FAIL), (2e-5, Outcome.FAIL), (2e-4, Outcome.PASS)])
def test_what_is_left_of_a_zero_may_be_what_fresh_seeds_leave_on_the_reference(theirs: float, outcome: Outcome) -> None:
    case = replace(CASE, checks=(Closeness(samples=True),))
    zero, ours = {"0.grad0": np.zeros(1, dtype=np.float32)}, {"0.grad0": np.full(1, 1e-3, dtype=np.float32)}
    golden = {"0.grad0": np.zeros(1)}

    def on_host(_: Case, manner: Manner) -> Recording:
        return record(golden if manner.exact else zero, case)

    def reference(again: Case) -> Recording:
        return record({"0.grad0": np.full(1, theirs if again.seed % 2000 else 0.0, dtype=np.float32)}, again)

    sides = record(ours, case), record(zero, case), record(golden, case)
    found = appeal(case, judge(case, *sides), *sides, Sources(lambda c: record(ours, c), reference, on_host))
    assert found.outcome is outcome
    assert found.findings[-1].message.startswith("zero by cancellation")


@pytest.mark.parametrize(("alone", "cause"), [(0.0, Cause.IMPURE), (1000.0, Cause.PRECISION)])
def test_what_is_right_with_nothing_computed_before_was_spoilt_by_what_came_before(alone: float, cause: Cause) -> None:
    verdict = heard(off_by(1000), {}, lambda seed: off_by(alone, seed))
    assert {f.cause for f in verdict.findings if f.outcome is Outcome.FAIL} == {cause}
