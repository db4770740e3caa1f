"""Attention for inference: pages against whole sequences, lengths against shorter ones, merged parts against the whole."""

import torch
from torch import Tensor

from reference.oracles.fused import attention_infer as oracle
from reference.oracles.fused.attention import attend
from tests.reference.oracles.drawing import drawn

SCALE = 0.3
OPTIONS = {"num_heads": 4, "num_key_value_heads": 2, "scale": SCALE, "input_layout": "BNSD"}
TEMPLATE = torch.ones(16, 16, dtype=torch.bool).triu(1)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def operands(queries: int = 3, keys: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    return drawn(2, 4, queries, 8), drawn(2, 2, keys, 8, seed=1), drawn(2, 2, keys, 8, seed=2)


def test_the_second_result_is_the_log_of_the_sum() -> None:
    q, k, v = operands()
    out, lse = oracle.fused_infer_attention_score(q, k, v, **OPTIONS)
    close(out, attend(q, k, v, SCALE).out)
    close(lse[..., 0], torch.logsumexp(q @ k.repeat_interleave(2, 1).mT * SCALE, -1))


def test_keys_beyond_a_length_are_as_if_they_were_not() -> None:
    q, k, v = operands()
    out = oracle.fused_infer_attention_score(q, k, v, actual_seq_lengths_kv=[5, 7], **OPTIONS)[0]
    close(out[:1], attend(q[:1], k[:1, :, :5], v[:1, :, :5], SCALE).out)
    close(out[1:], attend(q[1:], k[1:], v[1:], SCALE).out)


def test_a_causal_mask_ends_at_the_last_valid_key() -> None:
    q, k, v = operands()
    out = oracle.prompt_flash_attention(
        q, k, v, actual_seq_lengths_kv=[5, 7], atten_mask=TEMPLATE, sparse_mode=3, scale_value=SCALE, num_heads=4, num_key_value_heads=2,
        input_layout="BNSD",
    )  # fmt: skip
    hidden = torch.ones(3, 5, dtype=torch.bool).triu(3)
    close(out[:1], attend(q[:1], k[:1, :, :5], v[:1, :, :5], SCALE, hidden).out)


def test_pages_hold_the_sequence_in_the_order_of_the_table() -> None:
    q, k, v = operands(1, 6)
    table = torch.tensor([[2, 0, 5], [1, 4, 3]], dtype=torch.int32)
    pages = []
    for x in (k, v):
        cache = torch.full((6, 2, 16), 9.0, dtype=torch.float64)
        for b in range(2):
            for part, page in enumerate(table[b].tolist()):
                cache[page] = x[b, :, 2 * part : 2 * part + 2].transpose(0, 1).flatten(1)
        pages.append(cache)
    found = oracle.incre_flash_attention(
        q, *pages, actual_seq_lengths=[5, 6], block_table=table, scale_value=SCALE, num_heads=4, num_key_value_heads=2, input_layout="BNSD"
    )
    close(found[:1], attend(q[:1], k[:1, :, :5], v[:1, :, :5], SCALE).out)
    close(found[1:], attend(q[1:], k[1:], v[1:], SCALE).out)


def test_the_result_may_have_a_layout_of_its_own() -> None:
    q, k, v = operands()
    found = oracle.fused_infer_attention_score(q, k, v, **{**OPTIONS, "input_layout": "BNSD_BSND"})[0]
    close(found, attend(q, k, v, SCALE).out.transpose(1, 2))


def test_packed_sequences_are_each_alone() -> None:
    q, k = drawn(5, 4, 8), drawn(7, 2, 8, seed=1)
    ends = {"actual_seq_lengths": [2, 5], "actual_seq_lengths_kv": [4, 7]}
    out, lse = oracle.fused_infer_attention_score(q, k, k, **{**OPTIONS, "input_layout": "TND"}, **ends)
    first = attend(q[:2].transpose(0, 1)[None], *[k[:4].transpose(0, 1)[None]] * 2, SCALE)
    close(out[:2], first.out[0].transpose(0, 1))
    close(lse[:2, :, 0], (first.top + torch.log(first.total))[0].T)


def test_rotary_parts_are_further_columns() -> None:
    q, k, v = drawn(2, 4, 3, 8), drawn(2, 4, 7, 8, seed=1), drawn(2, 4, 7, 8, seed=2)
    q_rope, k_rope = drawn(2, 4, 3, 4, seed=3), drawn(2, 4, 7, 4, seed=4)
    found = oracle.fused_infer_attention_score_v2(
        q, k, v, query_rope=q_rope, key_rope=k_rope, num_query_heads=4, num_key_value_heads=4, softmax_scale=SCALE, input_layout="BNSD"
    )[0]
    scores = (q @ k.mT + q_rope @ k_rope.mT) * SCALE
    close(found, torch.softmax(scores, -1) @ v)


def halves() -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    q, k, v = operands(3, 8)
    return attend(q, k, v, SCALE).out, [tuple(attend(q, k[:, :, part], v[:, :, part], SCALE)) for part in (slice(0, 3), slice(3, 8))]


def test_parts_of_the_keys_are_merged_to_the_whole() -> None:
    whole, parts = halves()
    rows = [(out.reshape(-1, 8), (top + torch.log(total)).reshape(-1)) for out, top, total in parts]
    out, _ = oracle.attention_update([lse for _, lse in rows], [out for out, _ in rows], 1)
    close(out, whole.reshape(-1, 8))


def test_a_ring_merges_two_parts_to_the_whole() -> None:
    whole, parts = halves()
    given = [(out.permute(2, 0, 1, 3).flatten(2), *(x[..., None].expand(2, 4, 3, 8) for x in (top, total))) for out, top, total in parts]
    out, top, total = oracle.ring_attention_update(*given[0], *given[1])
    close(out, whole.permute(2, 0, 1, 3).flatten(2))
    q, k, _ = operands(3, 8)
    close((top + torch.log(total))[..., 0], torch.logsumexp(q @ k.repeat_interleave(2, 1).mT * SCALE, -1))
