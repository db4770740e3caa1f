"""Passages in place of the packaged ones, and what trains on them in a moment. Knows no stage."""

import pytest

from harness.inputs import draw_integers
from suites.assets import preferences

LETTERS = "abcdefghij klmnop"


def passages(count: int) -> list[str]:
    """Return passages of 30 to 149 letters, none like another."""
    return [
        "".join(LETTERS[i] for i in draw_integers(0, f"passage-{n}", 30 + 17 * n % 120, 0, len(LETTERS)).tolist()) for n in range(count)
    ]


def use_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "passages", passages)
