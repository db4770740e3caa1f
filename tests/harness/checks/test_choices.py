"""Selections, near-ties aside."""

import numpy as np
import pytest

from harness.checks.choices import Choices
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

GOLDEN = np.array([[0.5, 0.3, 0.1, 0.1 - 1e-9], [0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.3, 0.2]])
RIGHT = np.array([[0, 1], [3, 2], [0, 2]])


def judged(chosen: list[list[int]] | np.ndarray, golden: np.ndarray = GOLDEN):
    scores = golden.astype(np.float32)
    sides = {"experts": np.array(chosen), "scores": scores}
    return Choices("experts", "scores")(evidence(sides, {"experts": RIGHT, "scores": scores}, {"experts": RIGHT, "scores": golden}))[0]


def test_the_right_choice_passes() -> None:
    assert judged(RIGHT).outcome is Outcome.PASS


def test_a_swap_of_a_near_tie_is_no_fault() -> None:
    tied = np.array([[0.5, 0.3, 0.3 - 1e-9, 0.1], *GOLDEN[1:]])
    found = judged([[0, 2], [3, 2], [0, 2]], tied)
    assert found.outcome is Outcome.PASS
    assert "1 of 3 rows swap a near-tie" in found.message


def test_a_wrong_choice_fails_and_its_row_is_named() -> None:
    found = judged([[0, 1], [3, 0], [0, 2]])
    assert found.outcome is Outcome.FAIL
    assert found.measured == 1
    assert found.where.startswith("row 1")


@pytest.mark.parametrize("chosen", [[[0, 0], [3, 2], [0, 2]], [[0, 4], [3, 2], [0, 2]], [[0, -1], [3, 2], [0, 2]]])
def test_an_index_twice_or_out_of_range_fails(chosen: list[list[int]]) -> None:
    assert judged(chosen).outcome is Outcome.FAIL
