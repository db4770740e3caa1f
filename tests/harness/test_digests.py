"""Inputs of two sides: what differs, and what cannot be seen."""

from harness.digests import UNSEEN, differing


def test_what_differs_or_is_missing_is_named_and_what_is_unseen_is_not() -> None:
    assert differing({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"}) == ["b", "c", "d"]
    assert differing({"weights": UNSEEN, "tokens": "1"}, {"weights": "7", "tokens": "1"}) == []
    assert differing({"weights": UNSEEN, "tokens": "1"}, {"weights": "7", "tokens": "2"}) == ["tokens"]
