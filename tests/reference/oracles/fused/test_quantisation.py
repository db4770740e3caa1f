"""Quantisation: values by hand, what must hold of a scale, bits as numpy reads them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.oracles.fused import quantisation as oracle
from tests.reference.oracles.drawing import drawn


def test_static_quantisation_by_hand() -> None:
    x = torch.tensor([[1.0, -9.0]], dtype=torch.float64)
    scales, zero = torch.tensor([0.5, 0.05], dtype=torch.float64), torch.tensor([3, 0])
    assert oracle.quantize(x, scales, zero, div_mode=True).tolist() == [[5.0, -128.0]]
    assert oracle.quantize(x, scales, zero, div_mode=False).tolist() == [[3.5, -0.45]]
    assert oracle.anti_quant(torch.tensor([[2, -3]]), scales, zero, torch.float64).tolist() == [[2.5, -0.15000000000000002]]


def test_a_row_is_brought_back_within_half_a_step_and_fills_the_range() -> None:
    x, smooth = drawn(5, 16), drawn(16, seed=1)
    y, scale = oracle.dynamic_quant(x, smooth)
    assert y.abs().amax(-1).tolist() == pytest.approx([127.0] * 5, rel=1e-12)
    assert ((y.round() * scale[:, None] - x * smooth).abs() <= scale[:, None] / 2 + 1e-12).all()


def test_groups_have_their_own_factors_and_may_be_empty() -> None:
    x, smooth, ends = drawn(5, 4), drawn(3, 4, seed=1), torch.tensor([2, 2, 5])
    assert oracle.groups_of(ends, 5).tolist() == [0, 0, 2, 2, 2]
    for row, group in enumerate([0, 0, 2, 2, 2]):
        alone = oracle.dynamic_quant(x[row : row + 1], smooth[group])
        torch.testing.assert_close(oracle.dynamic_quant(x, smooth, ends)[0][row], alone[0][0])


def test_a_row_of_zeros_stays_zero() -> None:
    y, scale = oracle.dynamic_quant(torch.zeros(1, 3, dtype=torch.float64))
    assert not y.any()
    assert not scale.any()


def test_the_asymmetric_one_uses_the_whole_range() -> None:
    x = drawn(5, 16) + 3
    y, scale, offset = oracle.dynamic_quant_asymmetric(x)
    torch.testing.assert_close(y.amax(-1), torch.full((5,), 127.0, dtype=torch.float64))
    torch.testing.assert_close(y.amin(-1), torch.full((5,), -128.0, dtype=torch.float64))
    torch.testing.assert_close((y - offset[:, None]) * scale[:, None], x)


def test_gates_and_scales() -> None:
    x, ones = drawn(3, 8), torch.ones(1, 4, dtype=torch.float64)
    value = torch.nn.functional.silu(x[:, :4]) * x[:, 4:]
    y, scale = oracle.swiglu_quant(x, ones, torch.tensor([3]), left=True)
    torch.testing.assert_close(y / scale[:, None], value)
    other, step = oracle.dequant_swiglu_quant(x * 100, ones.repeat(1, 2) / 100, torch.ones(3, 1, dtype=torch.float64), ones, left=True)
    torch.testing.assert_close(other * step[:, None], value)
    torch.testing.assert_close(scale * step, torch.ones(3, dtype=torch.float64))


def test_interleaved_gates_with_limits() -> None:
    x = torch.tensor([[100.0, 0.5, -1.0, 9.0]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    y, scale = oracle.dequant_swiglu_quant(x, one, one, torch.ones(1, 2, dtype=torch.float64), left=True, limits=(3.0, 1.5, 0.5))
    sigmoid = torch.sigmoid(torch.tensor([4.5, -1.5], dtype=torch.float64))
    expected = torch.tensor([3.0 * 1.0, -1.0 * 3.5], dtype=torch.float64) * sigmoid
    torch.testing.assert_close((y * scale[:, None])[0], expected)


def test_norms_are_quantised_after_their_shift() -> None:
    x, gamma, beta = drawn(3, 8), drawn(8, seed=1), drawn(8, seed=2)
    normal = torch.nn.functional.rms_norm(x, (8,), gamma, 0.1)
    scale = torch.tensor([0.05], dtype=torch.float64)
    torch.testing.assert_close(oracle.rms_norm_quant(x, gamma, beta, scale, torch.tensor([3]), 0.1), (normal + beta) / scale + 3)
    torch.testing.assert_close(oracle.rms_norm_quant_v2(x, gamma, scale, epsilon=0.1, div_mode=False)[0], normal * scale)
    y, total = oracle.add_rms_norm_quant(x, x, gamma, scale, torch.tensor([0]), beta, 0.1, True)
    torch.testing.assert_close(y, ((torch.nn.functional.rms_norm(2 * x, (8,), gamma, 0.1) + beta) / scale).clamp(-128, 127))
    torch.testing.assert_close(total, 2 * x)


def test_sums_are_brought_back() -> None:
    found = oracle.dequant_bias(torch.tensor([[10]]), torch.tensor([0.5]), torch.tensor([4.0]), torch.tensor([2]), torch.float64)
    assert found.tolist() == [[24.0]]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-8, 7), min_size=8, max_size=8))
def test_eight_numbers_make_a_word_the_first_in_the_lowest_bits(numbers: list[int]) -> None:
    word = oracle.int4_packed(torch.tensor([numbers]))
    raw = np.frombuffer(word.numpy().tobytes(), dtype=np.uint8)
    nibbles = [part for byte in raw.tolist() for part in (byte & 15, byte >> 4)]
    assert [n - 16 if n > 7 else n for n in nibbles] == numbers


def test_the_matrix_unit_keeps_19_bits_of_a_scale() -> None:
    scale = torch.tensor([1.0, 0.1, -3.14159])
    words = oracle.words_of(scale).tolist()
    assert words[0] == 0x3F800000 | 1 << 46
    kept = np.array([word & 0xFFFFFFFF for word in words], dtype=np.uint32).view(np.float32)
    np.testing.assert_allclose(kept, scale.numpy(), rtol=2**-10)
    assert all(word & 0x1FFF == 0 for word in words)
