"""How many proposed tokens were accepted."""

from dataclasses import replace

import pytest

from harness.checks.acceptance import Acceptance
from harness.verdict import Outcome
from tests.harness.checks.build import evidence


def found(**details):
    given = evidence({}, {}, {})
    given = replace(given, candidate=replace(given.candidate, details=details))
    return Acceptance()(given)[0]


def test_the_rate_is_told():
    one = found(proposed=8, accepted=6)
    assert (one.outcome, one.measured, one.message) == (Outcome.PASS, 0.75, "6 of 8 proposed tokens were accepted")


@pytest.mark.parametrize("details", [{"proposed": 8, "accepted": 0}, {"proposed": 8, "accepted": 8}, {}])
def test_a_way_that_was_never_gone_is_mistrusted(details):
    assert found(**details).outcome is Outcome.MISTRUSTED


def test_a_proposal_that_was_spoilt_is_a_refusal():
    assert found(proposed=8, accepted=8, spoilt=1).outcome is Outcome.PASS
