"""Rewards that a program can verify: what an answer to a sum is worth. Knows no model and no tokens."""

import re

_PARTIAL = 0.5


def reward(text: str, target: str) -> float:
    """Return what a completion is worth, from 0 to 1: 1 where its first number is `target`, or else half of its share of digits.

    The partial credit is so that groups of wrong answers differ and a model that has learnt nothing yet can begin to. An empty text is
    worth nothing.
    """
    first = re.search(r"\d+", text, re.ASCII)
    if first and first.group() == target:
        return 1.0
    return _PARTIAL * sum(character in "0123456789" for character in text) / max(len(text), 1)
