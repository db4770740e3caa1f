"""Tests of Muon's oracle: the iteration against singular values, what it tends to, and one step by hand."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.muon import HYBRID, by_singular_values, muon, newton_schulz, orthogonalised
from tests.reference.oracles.drawing import drawn


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_is_a_polynomial_of_the_singular_values(rows, columns, seed) -> None:
    x = drawn(rows, columns, seed=seed)
    torch.testing.assert_close(newton_schulz(x), by_singular_values(x), rtol=0, atol=1e-9)


def test_tends_to_the_nearest_orthogonal_matrix() -> None:
    x = drawn(24, 64)
    made = newton_schulz(x)
    values = torch.linalg.svdvals(made)
    assert float(values.min()) > 0.999
    assert float(values.max()) < 1.001
    torch.testing.assert_close(made, orthogonalised(x), rtol=0, atol=1e-3)


def test_ten_iterations_of_two_kinds() -> None:
    assert HYBRID == ((3.4445, -4.7750, 2.0315),) * 8 + ((2.0, -1.5, 0.5),) * 2
    assert sum(HYBRID[-1]) == 1  # the last ones have 1 as a fixed point


def test_each_of_a_stack_is_orthogonalised_by_itself() -> None:
    stack = torch.stack([drawn(6, 9, seed=s) * 10.0**s for s in range(3)])
    torch.testing.assert_close(newton_schulz(stack), torch.stack([newton_schulz(x) for x in stack]), rtol=1e-12, atol=1e-14)


def test_zeros_stay_zeros() -> None:
    assert not newton_schulz(torch.zeros(2, 3, 4, dtype=torch.float64)).any()


def test_the_first_step_by_hand() -> None:
    param, gradient = drawn(4, 9), drawn(4, 9, seed=1)
    state = muon(param, [gradient], lr=0.01)
    expected = param * (1 - 0.01 * 0.1) - 0.01 * 0.18 * 3 * newton_schulz(gradient)  # the direction of 1.95 G is that of G
    torch.testing.assert_close(state.param, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(state.momentum, gradient, rtol=0, atol=0)


def test_the_second_step_looks_ahead() -> None:
    first, second = drawn(4, 9, seed=1), drawn(4, 9, seed=2)
    states = [muon(torch.zeros(4, 9, dtype=torch.float64), gradients, lr=1.0, weight_decay=0.0) for gradients in ([first], [first, second])]
    kept = 0.95 * first + second
    torch.testing.assert_close(states[1].momentum, kept, rtol=1e-14, atol=0)
    torch.testing.assert_close(states[1].param - states[0].param, -0.54 * newton_schulz(0.95 * kept + second), rtol=1e-11, atol=1e-13)
