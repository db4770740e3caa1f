"""Selections of experts and keys beside their scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.selections import Selections, margins, overlap
from harness.verdict import Cause, Outcome
from tests.harness.checks.build import evidence

PLACE = "00/layers.1.gate"
ROWS, N, K = 40, 8, 2


def side(scores: np.ndarray, chosen: np.ndarray | None = None) -> dict[str, np.ndarray]:
    chosen = np.argsort(-scores, axis=1, kind="stable")[:, :K] if chosen is None else chosen
    return {f"scores/{PLACE}": scores, f"chosen/{PLACE}": chosen.astype(np.int64)}


def scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((ROWS, N))


def rounded(array: np.ndarray, size: float = 1e-7, seed: int = 1) -> np.ndarray:
    return (array + size * np.random.default_rng(seed).standard_normal(array.shape)).astype(np.float32)


def judged(candidate, reference, golden):
    return Selections()(evidence(candidate, reference, golden))


def test_the_same_selections_pass() -> None:
    found = judged(side(rounded(scores(), seed=2)), side(rounded(scores())), side(scores()))
    assert [f.outcome for f in found] == [Outcome.PASS, Outcome.PASS]
    assert found[0].message.startswith("100.00% of float64's selections; 0 of 40 rows swap a near-tie")


def test_a_swap_of_a_near_tie_is_no_fault() -> None:
    golden = scores()
    order = np.argsort(-golden[3])
    golden[3, order[K]] = golden[3, order[K - 1]] - 1e-8
    ours = rounded(golden, seed=2)
    ours[3, order[K]] = np.nextafter(ours[3, order[K - 1]], np.float32(np.inf))
    (selected, _) = judged(side(ours), side(rounded(golden)), side(golden))
    assert selected.outcome is Outcome.PASS
    assert "1 of 40 rows swap a near-tie" in selected.message


@settings(max_examples=40, deadline=None)
@given(st.integers(0, ROWS - 1), st.integers(K, N - 1))
def test_a_worse_one_that_is_taken_is_found_in_its_row(row: int, rank: int) -> None:
    golden = scores()
    order = np.argsort(-golden[row])
    chosen = np.argsort(-golden, axis=1)[:, :K].copy()
    chosen[row, 1] = order[rank]
    (selected, _) = judged(side(rounded(golden), chosen), side(rounded(golden)), side(golden))
    assert selected.outcome is Outcome.FAIL
    assert selected.where.startswith(f"row {row}: ")
    assert "not the largest of its own scores" in selected.message
    assert selected.cause is Cause.CHOICE


def test_scores_that_are_wrong_select_wrongly_by_float64() -> None:
    golden = scores()
    ours = rounded(golden)
    ours[:, ::2] += 0.5
    selected, drift = judged(side(ours), side(rounded(golden)), side(golden))
    assert (selected.outcome, drift.outcome) == (Outcome.FAIL, Outcome.FAIL)
    assert "a near-tie is up to" in selected.message


def test_scores_that_are_coarse_are_found_even_where_they_select_alike() -> None:
    selected, drift = judged(side(rounded(scores(), 1e-5, seed=2)), side(rounded(scores())), side(scores()))
    assert (selected.outcome, drift.outcome, drift.cause) == (Outcome.PASS, Outcome.FAIL, Cause.PRECISION)


def test_masked_candidates_may_be_taken_in_any_order_where_nothing_else_is_left() -> None:
    golden = scores()
    golden[:5, 1:] = -np.inf
    chosen = np.argsort(-golden, axis=1, kind="stable")[:, :K]
    other = chosen.copy()
    other[:5, 1] = N - 1
    with np.errstate(invalid="ignore"):
        ours = rounded(golden)
    (selected, _) = judged(side(ours, other), side(ours, chosen), side(golden, chosen))
    assert selected.outcome is Outcome.PASS
    other[0] = [N - 1, N - 2]
    assert judged(side(ours, other), side(ours, chosen), side(golden, chosen))[0].outcome is Outcome.FAIL


@pytest.mark.parametrize("index", [-1, N, 3])
def test_an_index_out_of_range_or_taken_twice_fails(index: int) -> None:
    chosen = np.tile([3, 5], (ROWS, 1))
    chosen[7, 1] = index
    assert judged(side(rounded(scores()), chosen), side(rounded(scores())), side(scores()))[0].outcome is Outcome.FAIL


def test_scores_that_decide_nothing_are_mistrusted() -> None:
    golden = 1 + 1e-9 * scores()
    assert judged(side(rounded(golden, seed=2)), side(rounded(golden)), side(golden))[0].outcome is Outcome.MISTRUSTED


def test_another_place_is_incomparable() -> None:
    other = {name.replace("00", "01"): array for name, array in side(rounded(scores())).items()}
    assert [f.outcome for f in judged(other, side(rounded(scores())), side(scores()))] == [Outcome.INCOMPARABLE]


def test_the_overlap_counts_what_is_not_masked() -> None:
    golden = np.array([[3.0, 2.0, 1.0, -np.inf], [3.0, -np.inf, -np.inf, -np.inf]])
    assert overlap(np.array([[0, 2], [0, 3]]), np.array([[0, 1], [0, 1]]), golden) == pytest.approx(2 / 3)


def test_the_margin_of_a_row() -> None:
    golden = np.array([[3.0, 2.0, 0.5], [1.0, -np.inf, -np.inf], [4.0, 4.0, -np.inf]])
    assert margins(golden, 2).tolist() == [1.5, 0.0, np.inf]
    assert margins(golden, 3).tolist() == [np.inf] * 3
