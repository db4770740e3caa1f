"""How long a context fits: figures without a bound."""

from dataclasses import replace

from harness.checks.reach import Reach
from harness.verdict import Outcome
from tests.harness.checks.build import evidence


def found(ours, theirs):
    given = evidence({}, {}, {})
    return Reach()(replace(given, candidate=replace(given.candidate, details=ours), reference=replace(given.reference, details=theirs)))


def test_tells_what_was_read_and_what_is_predicted():
    read, fits = found({"read": 8192, "fits": 50000, "stopped": "8192 tokens were asked for"}, {"read": 4096, "fits": None})
    assert (read.measured, read.reference, read.message) == (8192, 4096, "8192 tokens were asked for")
    assert (fits.measured, fits.reference, fits.outcome) == (50000, None, Outcome.PASS)


def test_nothing_predicted_is_left_out():
    assert len(found({"read": 1024, "fits": None}, {})) == 1


def test_nothing_read_is_incomparable():
    assert found({}, {"read": 1024})[0].outcome is Outcome.INCOMPARABLE
