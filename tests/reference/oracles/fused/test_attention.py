"""Fused attention's definition against PyTorch's in float64, masks against their rules, layouts against each other."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference.oracles.fused import attention as oracle
from tests.reference.oracles.drawing import drawn, leaf

SCALE = 0.3
Q, K, V = drawn(2, 4, 6, 8), drawn(2, 2, 9, 8, seed=1), drawn(2, 2, 9, 8, seed=2)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_is_pytorchs_with_grouped_heads_and_a_mask() -> None:
    hidden = drawn(2, 1, 6, 9, seed=3) > 0.5
    found = oracle.attend(Q, K, V, SCALE, hidden)
    close(found.out, F.scaled_dot_product_attention(Q, K, V, ~hidden, scale=SCALE, enable_gqa=True))


def test_a_bias_is_added_to_the_scaled_scores() -> None:
    bias = drawn(2, 4, 6, 9, seed=3)
    close(oracle.attend(Q, K, V, SCALE, None, bias).out, F.scaled_dot_product_attention(Q, K, V, bias, scale=SCALE, enable_gqa=True))


def test_statistics_are_of_the_scaled_scores() -> None:
    scores = Q @ K.repeat_interleave(2, 1).mT * SCALE
    found = oracle.attend(Q, K, V, SCALE)
    close(found.top + torch.log(found.total), torch.logsumexp(scores, -1))
    close(found.top, scores.amax(-1))


def test_a_sink_is_a_key_whose_value_is_zero() -> None:
    sink = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float64)
    scores = torch.cat([Q @ K.repeat_interleave(2, 1).mT * SCALE, sink.view(1, 4, 1, 1).expand(2, 4, 6, 1)], -1)
    values = torch.cat([V.repeat_interleave(2, 1), torch.zeros(2, 4, 1, 8, dtype=torch.float64)], 2)
    close(oracle.attend(Q, K, V, SCALE, sink=sink).out, torch.softmax(scores, -1) @ values)


def test_a_query_that_sees_nothing_gives_zeros_and_no_gradient() -> None:
    query, hidden = leaf(1, 1, 2, 4), torch.tensor([[True, True], [False, True]])
    out = oracle.attend(query, drawn(1, 1, 2, 4, seed=1), drawn(1, 1, 2, 4, seed=2), SCALE, hidden).out
    assert not out[0, 0, 0].any()
    (gradient,) = torch.autograd.grad(out.sum(), query)
    assert not gradient[0, 0, 0].any()


TEMPLATE = torch.ones(16, 16, dtype=torch.bool).triu(1)
RULES: list[tuple[int, int, int, int, int, Callable[[int, int], bool]]] = [
    (2, 6, 9, 0, 0, lambda i, j: j <= i),
    (3, 6, 9, 0, 0, lambda i, j: j <= i + 3),
    (3, 9, 6, 0, 0, lambda i, j: j <= i - 3),
    (4, 6, 9, 2, 1, lambda i, j: i + 1 <= j <= i + 4),
    (4, 9, 6, 4, -1, lambda i, j: i - 7 <= j <= i - 4),
]


@pytest.mark.parametrize(("mode", "queries", "keys", "before", "after", "rule"), RULES)
def test_sparse_modes_by_their_rule(mode: int, queries: int, keys: int, before: int, after: int, rule: Callable[[int, int], bool]) -> None:
    found = oracle.discarded(queries, keys, mode, TEMPLATE, before, after)
    assert found is not None
    assert found.tolist() == [[not rule(i, j) for j in range(keys)] for i in range(queries)]


def test_modes_that_take_the_mask_as_it_is() -> None:
    mask = drawn(6, 9) > 0
    assert torch.equal(oracle.discarded(6, 9, 1, mask), mask)  # type: ignore[arg-type]
    band = torch.tensor([[not i - 2 <= j <= i + 1 for j in range(9)] for i in range(6)])
    assert torch.equal(oracle.discarded(6, 9, 0, mask, 2, 1), mask | band)  # type: ignore[arg-type]
    assert oracle.discarded(6, 9, 3, None) is None
    with pytest.raises(ValueError, match="sparse_mode 9"):
        oracle.discarded(6, 9, 9, mask)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "SBH"])
def test_layouts_hold_the_same(layout: str) -> None:
    assert torch.equal(oracle.by_heads(oracle.in_layout(Q, layout), layout, 4), Q)
    there = [oracle.in_layout(x, layout) for x in (Q, K, V)]
    out, top, _ = oracle.fusion_attention(*there, 4, layout, scale=SCALE)
    expected = oracle.attend(Q, K, V, SCALE)
    close(oracle.by_heads(out, layout, 4), expected.out)
    close(top, expected.top[..., None].expand(2, 4, 6, 8))
    with pytest.raises(ValueError, match="layout"):
        oracle.by_heads(Q, "XYZ", 4)


def test_the_fused_operators_bias_is_scaled_too() -> None:
    bias = drawn(2, 4, 6, 9, seed=3)
    close(oracle.fusion_attention(Q, K, V, 4, "BNSD", pse=bias, scale=SCALE)[0], oracle.attend(Q, K, V, SCALE, None, bias * SCALE).out)


def test_packed_sequences_are_each_alone() -> None:
    query, key = drawn(7, 4, 8), drawn(9, 2, 8, seed=1)
    options = {"scale": SCALE, "actual_seq_qlen": [3, 7], "actual_seq_kvlen": [4, 9], "sparse_mode": 3, "atten_mask": TEMPLATE}
    out, top, total = oracle.fusion_attention(query, key, key, 4, "TND", **options)
    for rows, keys in ((slice(0, 3), slice(0, 4)), (slice(3, 7), slice(4, 9))):
        q, k = query[rows].transpose(0, 1)[None], key[keys].transpose(0, 1)[None]
        seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        close(out[rows].transpose(0, 1)[None], F.scaled_dot_product_attention(q, k, k, seen, scale=SCALE, enable_gqa=True))
    assert top.shape == total.shape == (7, 4, 8)


def test_gradients_are_those_of_finite_differences() -> None:
    operands = (leaf(1, 2, 3, 4), leaf(1, 1, 3, 4, seed=1), leaf(1, 1, 3, 4, seed=2), leaf(2, seed=3))
    assert torch.autograd.gradcheck(lambda q, k, v, s: oracle.attend(q, k, v, SCALE, sink=s).out, operands)
