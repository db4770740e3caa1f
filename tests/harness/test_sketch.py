"""Count sketches: linear, unbiased within the stated spread, sensitive, and the same everywhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import sketch as module
from harness.inputs import draw_bits, draw_normal
from harness.sketch import WIDTH, sketch

sizes = st.integers(1, 5000)
names = st.sampled_from(["a", "model.layers.0.mlp.weight"])


def drawn(name, count):
    return torch.from_numpy(draw_normal(1, name, count))


@settings(deadline=None)
@given(sizes, names, st.integers(-8, 8))
def test_linear(size, name, power):
    a, b, factor = drawn("a", size), drawn("b", size), 2.0**power
    torch.testing.assert_close(sketch(a + factor * b, name), sketch(a, name) + factor * sketch(b, name), rtol=1e-12, atol=1e-10)


@settings(deadline=None)
@given(sizes, names)
def test_zero_stays_zero(size, name):
    assert not sketch(torch.zeros(size), name).any()


@settings(deadline=None)
@given(st.data(), sizes, st.sampled_from([1e-3, 1.0, 1e6]))
def test_one_wrong_element_shows_in_full(data, size, error):
    right = drawn("a", size)
    wrong = right.clone()
    at = data.draw(st.integers(0, size - 1))
    wrong[at] += error
    difference = sketch(wrong, "w") - sketch(right, "w")
    assert float(torch.linalg.vector_norm(difference)) == pytest.approx(error, rel=1e-6)
    assert int((difference.abs() > error / 2).sum()) == 1


@settings(deadline=None)
@given(st.integers(1, WIDTH))
def test_a_small_tensor_is_its_own_sketch(size):
    x = drawn("a", size)
    assert torch.equal(sketch(x, "w")[:size], x)
    assert not sketch(x, "w")[size:].any()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([16, 64, 256]))
def test_unbiased_with_the_stated_spread(width):
    """Over 200 hashes the mean of ||sketch||^2 and its spread are those of the lemma, each within five standard errors."""
    x, hashes = drawn("x", 1000), 200
    square = float(x.square().sum())
    estimates = np.array([float(sketch(x, f"hash {i}", width).square().sum()) for i in range(hashes)])
    spread = np.sqrt(2 / width * (square**2 - float(x.pow(4).sum())))
    assert abs(estimates.mean() - square) < 5 * spread / np.sqrt(hashes)
    assert 0.75 < estimates.std() / spread < 1.25


def test_matches_the_definition():
    x = drawn("x", 1003)
    bits = draw_bits(0, "sketch:w", 251)
    expected = torch.zeros(64, dtype=torch.float64)
    for i, value in enumerate(x):
        piece = int(bits[i // 4]) >> 16 * (i % 4)
        expected[piece & 63] += -value if piece & 64 else value
    torch.testing.assert_close(sketch(x, "w", 64), expected, rtol=1e-13, atol=1e-13)


def test_the_chunk_size_leaves_the_hash_alone(monkeypatch):
    x = drawn("x", 9999)
    whole = sketch(x, "w")
    monkeypatch.setattr(module, "_WORDS", 100)
    torch.testing.assert_close(sketch(x, "w"), whole, rtol=1e-12, atol=1e-12)


def test_pinned_value():
    """Two machines that disagree here would compare nonsense. Integers, so that the sums are exact in any order."""
    assert sketch(torch.arange(1000.0), "pinned", 8).tolist() == [4421.0, -4837.0, -2246.0, 1007.0, -2636.0, 3895.0, 12615.0, -15331.0]


def test_names_hash_differently():
    x = drawn("x", 1000)
    assert not torch.equal(sketch(x, "one"), sketch(x, "two"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_any_dtype_and_shape(dtype):
    x = drawn("x", 1200).to(dtype)
    assert torch.equal(sketch(x.reshape(3, 20, 20), "w"), sketch(x.double(), "w"))


def test_a_strided_tensor_is_read_in_its_own_order():
    x = drawn("x", 1200).reshape(30, 40)
    assert torch.equal(sketch(x.T, "w"), sketch(x.T.contiguous(), "w"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_shows(value):
    x = drawn("x", 1000)
    x[517] = value
    assert int((~sketch(x, "w").isfinite()).sum()) == 1


@pytest.mark.parametrize("width", [0, -1, 100, 1 << 16])
def test_impossible_widths(width):
    with pytest.raises(ValueError, match="power of two"):
        sketch(torch.zeros(3), "w", width)
