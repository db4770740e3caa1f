"""Outputs laid end to end are measured each for itself."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.standards.segments import Output, in_groups, lay_out

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def outputs(lengths: list[int]) -> list[Output]:
    rng = np.random.default_rng(0)
    return [Output(f"o{i}", *(rng.normal(size=(n, 1)).astype(np.float32) for _ in range(3))) for i, n in enumerate(lengths)]


@given(sizes)
def test_reductions_are_those_of_each_output_alone(lengths: list[int]) -> None:
    made = outputs(lengths)
    laid = lay_out(made)
    assert np.array_equal(laid.largest(laid.golden), [o.golden.max() for o in made])
    assert np.allclose(laid.total(laid.outputs)[0], [o.candidate.astype(np.float64).sum() for o in made])
    assert np.array_equal(laid.total(laid.golden > 0), [(o.golden > 0).sum() for o in made])


@given(sizes)
def test_groups_keep_every_output_in_order(lengths: list[int]) -> None:
    made = outputs(lengths)
    assert [o.name for group in in_groups(made) for o in group] == [o.name for o in made]


def test_a_large_output_goes_alone() -> None:
    made = outputs([10, 1 << 18, 10])
    assert [len(group) for group in in_groups(made)] == [1, 1, 1]


def test_small_outputs_go_together() -> None:
    assert [len(group) for group in in_groups(outputs([100] * 60))] == [60]
