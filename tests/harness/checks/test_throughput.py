"""Rates with honest intervals, and what they say beside the reference's."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.throughput import Throughput
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

SECONDS = tuple(np.random.default_rng(0).normal(0.5, 0.005, 24))
TIMING = {"state": "warm-up", "before": [2.0, 0.7], "in_turn": True, "order": ["a b b a"], "seed": 0, "start": 2, "asked_width": 0.05}


def both(ours, theirs, ours_timing=None, theirs_timing=None):
    found = evidence({}, {}, None, work=100.0, unit="tokens")
    sides = [
        replace(side, seconds=tuple(seconds), details={"timing": timing} if timing else {})
        for side, seconds, timing in ((found.candidate, ours, ours_timing), (found.reference, theirs, theirs_timing))
    ]
    return replace(found, candidate=sides[0], reference=sides[1])


def test_a_rate_has_its_interval_and_the_reference_beside_it() -> None:
    found = Throughput()(both(SECONDS, SECONDS))[0]
    assert found.measured == pytest.approx(200, rel=0.02)
    assert found.low <= found.measured <= found.high
    assert found.reference == pytest.approx(found.measured)
    assert (found.unit, found.bound) == ("tokens/s", None)


def test_the_warm_up_is_told_and_what_was_asked_for_and_not_reached() -> None:
    assert Throughput()(both(SECONDS, (), TIMING))[0].message == "median of 24 rounds after 2 of warm-up"
    narrow = {**TIMING, "asked_width": 1e-6, "ended": "the time was up"}
    assert "too few rounds to tell (the time was up)" in Throughput()(both(SECONDS, (), narrow))[0].message


def test_few_rounds_carry_no_interval() -> None:
    found = Throughput()(both(SECONDS[:5], SECONDS[:5]))
    assert (found[0].low, found[0].high) == (None, None)
    assert found[1].answer == "cannot tell"


def test_without_a_steady_state_nobody_can_tell() -> None:
    unsteady = {**TIMING, "state": "no steady state", "in_turn": False}
    rate, ratio = Throughput()(both(SECONDS, [2 * s for s in SECONDS], unsteady, TIMING))
    assert rate.outcome is Outcome.INCONCLUSIVE
    assert (ratio.outcome, ratio.answer) == (Outcome.PASS, "cannot tell")
    assert ratio.message.startswith("cannot tell: no steady state")


def test_nothing_timed_is_mistrusted() -> None:
    assert Throughput()(evidence({}, {}, None))[0].outcome is Outcome.MISTRUSTED


def test_slow_is_told_and_never_a_fault() -> None:
    _, ratio = Throughput()(both([2 * s for s in SECONDS], SECONDS))
    assert (ratio.outcome, ratio.answer) == (Outcome.PASS, "slower")
    assert ratio.measured == pytest.approx(0.5, rel=0.01)
    assert "not taken in turn" in ratio.message


def test_rounds_in_turn_are_told_as_such_and_only_those_of_one_session() -> None:
    assert "in turn, 12 blocks" in Throughput()(both(SECONDS, SECONDS, TIMING, TIMING))[1].message
    assert "not taken in turn" in Throughput()(both(SECONDS, SECONDS, TIMING, {**TIMING, "seed": 1}))[1].message
