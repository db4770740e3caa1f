"""Tests of attention: torch's float64, causality, grouped heads, masks, and queries that see nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference.oracles.attention import scaled_dot_product_attention as attention
from tests.reference.oracles.drawing import drawn, leaf


def operands(batch: int = 2, heads: int = 4, kv_heads: int = 4, length: int = 6, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    return (
        drawn(batch, heads, length, width, seed=1),
        drawn(batch, kv_heads, length, width, seed=2),
        drawn(batch, kv_heads, length, width, seed=3),
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_is_torchs_in_float64_with_gradients(causal: bool, kv_heads: int) -> None:
    ours, theirs = (tuple(t.clone().requires_grad_() for t in operands(kv_heads=kv_heads)) for _ in range(2))
    (query, key, value), grouped = ours, kv_heads != 4
    out = attention(query, key, value, is_causal=causal, enable_gqa=grouped)
    query, key, value = theirs
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=grouped)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-14)
    cotangent = drawn(*out.shape, seed=4)
    for a, b in zip(torch.autograd.grad(out, ours, cotangent), torch.autograd.grad(expected, theirs, cotangent), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 5))
def test_causal_moves_nothing_before_the_token_that_is_perturbed(token: int) -> None:
    query, key, value = operands()
    before = attention(query, key, value, is_causal=True)
    for tensor in (query, key, value):
        tensor[:, :, token] += 1.0
    after = attention(query, key, value, is_causal=True)
    assert torch.equal(before[:, :, :token], after[:, :, :token])
    assert not torch.equal(before[:, :, token], after[:, :, token])


def test_grouped_heads_are_repeated_heads() -> None:
    query, key, value = operands(heads=6, kv_heads=2)
    repeated = attention(query, key.repeat_interleave(3, dim=1), value.repeat_interleave(3, dim=1))
    assert torch.equal(attention(query, key, value, enable_gqa=True), repeated)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6))
def test_keys_past_the_length_might_as_well_not_exist(length: int) -> None:
    query, key, value = operands()
    mask = (torch.arange(6) < length)[None, None, None, :]
    short = attention(query, key[:, :, :length], value[:, :, :length])
    torch.testing.assert_close(attention(query, key, value, attn_mask=mask), short, rtol=1e-13, atol=1e-14)


def test_a_query_that_sees_nothing_gives_zeros_and_passes_no_gradient() -> None:
    query, key, value = (t.requires_grad_() for t in operands(batch=1, heads=1, kv_heads=1))
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[2] = False
    out = attention(query, key, value, attn_mask=mask)
    gradients = torch.autograd.grad(out, (query, key, value), torch.ones_like(out))
    assert not out[0, 0, 2].any()
    assert not gradients[0][0, 0, 2].any()
    assert all(torch.isfinite(g).all() for g in gradients)


def test_gradients_are_those_of_finite_differences() -> None:
    mask = torch.tensor([[True, False], [False, False]])
    arguments = (leaf(1, 2, 2, 3), leaf(1, 1, 2, 3, seed=1), leaf(1, 1, 2, 3, seed=2))
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, attn_mask=mask, enable_gqa=True), arguments)
