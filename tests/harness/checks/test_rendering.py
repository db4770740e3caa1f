"""How text becomes tokens: which differ, or how many where nobody tells which."""

import pytest

from harness.checks.rendering import Rendering
from harness.verdict import Outcome
from tests.harness.checks.build import evidence, recording


def judged(ours, theirs, count=None):
    given = evidence({}, {}, None)
    sides = [
        recording({}, details={"read": [{"what": "text 0", "count": n, "ids": ids}]})
        for ids, n in ((ours, len(ours) if count is None else count), (theirs, len(theirs)))
    ]
    return Rendering()(type(given)(given.case, *sides))[0]


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome", "says"),
    [
        ([1, 5, 6], [1, 5, 6], Outcome.PASS, "all 3 tokens"),
        ([1, 1, 5, 6], [1, 5, 6], Outcome.FAIL, "1, twice (a start token"),
        ([5, 6], [1, 5, 6], Outcome.FAIL, "first token, 1, is missing"),
        ([1, 5, 7, 8], [1, 5, 6], Outcome.FAIL, "differ from token 2"),
    ],
)
def test_tokens_are_compared_where_both_tell_them(ours, theirs, outcome, says: str) -> None:
    found = judged(ours, theirs)
    assert found.outcome is outcome
    assert says in found.message


@pytest.mark.parametrize(("count", "outcome"), [(3, Outcome.PASS), (4, Outcome.FAIL)])
def test_else_their_number_is(count: int, outcome: Outcome) -> None:
    found = judged([], [1, 5, 6], count)
    assert found.outcome is outcome
    assert "only their number" in found.message
