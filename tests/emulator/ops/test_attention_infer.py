"""Attention for inference: layouts, masks, lengths, padding, pages and the log-sum-exp, against the definition in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_npu
from torch import Tensor

from emulator.ops.attention_infer import Inference, _named
from tests.emulator.ops.attention_definition import attention, close, drawn, kept_if
from tests.emulator.ops.test_attention import LAYOUTS, TEMPLATE, inputs

SCALE = 0.25
HEADS = 4
TOLERANCE = 2**-10
OUT: dict[str, Callable[[Tensor], Tensor]] = {name: there for name, (there, _) in LAYOUTS.items()} | {"NBSD": lambda x: x.transpose(0, 1)}


def halves(queries: int, keys: int, kv_heads: int = HEADS) -> list[Tensor]:
    return inputs(queries, keys, kv_heads, torch.float16)


def expected_of(tensors: list[Tensor], **definition: Any) -> tuple[Tensor, Tensor]:
    """Return the result and its log-sum-exp."""
    out, top, total = attention(*[x.double() for x in tensors], scale=SCALE, **definition)
    return out, top + total.log()


def fused(tensors: list[Tensor], layout: str = "BNSD", kv_heads: int = 0, **options: Any) -> tuple[Tensor, Tensor]:
    moved = {name: value.npu() if isinstance(value, Tensor) else value for name, value in options.items()}
    there = OUT[layout.partition("_")[0]]
    result: tuple[Tensor, Tensor] = torch_npu.npu_fused_infer_attention_score(
        *[there(x).contiguous().npu() for x in tensors],
        num_heads=HEADS,
        num_key_value_heads=kv_heads,
        scale=SCALE,
        input_layout=layout,
        softmax_lse_flag=True,
        **moved,
    )
    return result


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "BNSD_BSND", "BSH_BNSD", "BSND_BNSD", "BSH_NBSD", "BSND_NBSD", "BNSD_NBSD"])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_every_layout_of_a_padded_batch(layout: str, kv_heads: int) -> None:
    tensors = halves(6, 5, kv_heads)
    expected, lse = expected_of(tensors)
    out, found_lse = fused(tensors, layout, kv_heads)
    close(out, OUT[layout.partition("_")[2] or layout](expected), TOLERANCE)
    close(found_lse, lse)


def test_without_the_flag_there_is_no_log_sum_exp() -> None:
    """The documentation says shape (1,); torch_npu makes (0,)."""
    tensors = [x.npu() for x in halves(2, 2)]
    assert torch_npu.npu_fused_infer_attention_score(*tensors, num_heads=HEADS, input_layout="BNSD")[1].shape == (0,)


MODES: list[tuple[int, int, int, int, int, Callable[[int, int], bool]]] = [
    (0, 6, 7, 2, 3, lambda i, j: i - 2 <= j <= i + 3),
    (1, 6, 7, 0, 0, lambda i, j: (i + j) % 3 != 0),
    (2, 6, 9, 0, 9, lambda i, j: j <= i),
    (3, 6, 9, 0, 9, lambda i, j: j <= i + 3),
    (3, 9, 6, 0, 9, lambda i, j: j <= i - 3),
    (4, 6, 9, 2, 1, lambda i, j: i + 3 - 2 <= j <= i + 3 + 1),
]


@pytest.mark.parametrize("case", MODES, ids=lambda case: "-".join(map(str, case[:5])))
def test_sparse_mode(case: tuple[int, int, int, int, int, Callable[[int, int], bool]]) -> None:
    mode, queries, keys, before, after, rule = case
    tensors, discard = halves(queries, keys), kept_if(rule, queries, keys)
    mask = discard if mode < 2 else TEMPLATE
    expected, lse = expected_of(tensors, discard=discard)
    out, found_lse = fused(tensors, atten_mask=mask, sparse_mode=mode, pre_tokens=before, next_tokens=after)
    close(out, expected, TOLERANCE)
    finite = lse.isfinite()
    close(found_lse[finite], lse[finite])
    assert found_lse.cpu()[~finite].isposinf().all()  # a row without a key


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (2, 6, 5), (2, 1, 6, 5), (1, 1, 6, 5)])
def test_shapes_of_a_mask(shape: tuple[int, ...]) -> None:
    tensors, mask = halves(6, 5), drawn(*shape, seed=5) > 0.8
    discard = mask.reshape(-1, 1, 6, 5)
    close(fused(tensors, atten_mask=mask, inner_precise=2)[0], expected_of(tensors, discard=discard)[0], TOLERANCE)


@pytest.mark.parametrize("inner_precise", [0, 2, 3])
def test_rows_without_a_key(inner_precise: int) -> None:
    tensors, mask = halves(3, 5), torch.zeros(3, 5, dtype=torch.bool)
    mask[1] = True
    out, lse = fused(tensors, atten_mask=mask, inner_precise=inner_precise)
    close(out[:, :, 1], tensors[2].double().mean(2) * (inner_precise == 0), TOLERANCE)
    assert lse[:, :, 1].isposinf().all()


@pytest.mark.parametrize("shape", [(2, 5), (2, 1, 5), (2, 1, 1, 5)])
def test_of_a_single_query_the_sparse_mode_has_no_effect(shape: tuple[int, ...]) -> None:
    tensors, mask = halves(1, 5), drawn(*shape, seed=5) > 0.8
    out = fused(tensors, atten_mask=mask, sparse_mode=3, next_tokens=0)[0]
    close(out, expected_of(tensors, discard=mask.reshape(2, 1, 1, 5))[0], TOLERANCE)


def valid(q_lengths: list[int], kv_lengths: list[int], queries: int, keys: int) -> Tensor:
    pairs = zip(q_lengths, kv_lengths, strict=True)
    return torch.stack([kept_if(lambda i, j, a=a, b=b: i < a and j < b, queries, keys) for a, b in pairs]).unsqueeze(1)


@pytest.mark.parametrize(("q_lengths", "kv_lengths"), [([3, 6], [5, 2]), ([4], [3])])
def test_lengths_of_sequences(q_lengths: list[int], kv_lengths: list[int]) -> None:
    tensors = halves(6, 5)
    both = [(given * 2)[:2] for given in (q_lengths, kv_lengths)]
    expected, lse = expected_of(tensors, discard=valid(*both, 6, 5))
    out, found_lse = fused(tensors, actual_seq_lengths=q_lengths, actual_seq_lengths_kv=kv_lengths)
    close(out, expected, TOLERANCE)
    assert torch.equal(found_lse.cpu().isposinf(), lse.isneginf())


def test_causal_masks_end_at_the_last_valid_key() -> None:
    tensors = halves(6, 8)
    rules = [kept_if(lambda i, j, a=a, b=b: i < a and j <= i + b - a, 6, 8) for a, b in ((3, 5), (6, 7))]
    out = fused(tensors, actual_seq_lengths=[3, 6], actual_seq_lengths_kv=[5, 7], atten_mask=TEMPLATE, sparse_mode=3)[0]
    close(out, expected_of(tensors, discard=torch.stack(rules).unsqueeze(1))[0], TOLERANCE)


def test_padding_at_the_left() -> None:
    tensors = halves(6, 8)
    rules = [kept_if(lambda i, j, a=a, b=b: 5 - a <= i < 5 and 6 - b <= j < 6, 6, 8) for a, b in ((3, 5), (4, 2))]
    options = {"query_padding_size": torch.tensor([1]), "kv_padding_size": torch.tensor([2])}
    out = fused(tensors, actual_seq_lengths=[3, 4], actual_seq_lengths_kv=[5, 2], **options)[0]
    close(out, expected_of(tensors, discard=torch.stack(rules).unsqueeze(1))[0], TOLERANCE)


def test_shared_prefix() -> None:
    query, key, value = halves(6, 5)
    first = [drawn(1, HEADS, 4, 16, seed=seed, dtype=torch.float16) for seed in (5, 6)]
    whole = [torch.cat((x[:, :, :3].expand(2, -1, -1, -1), y), dim=2) for x, y in zip(first, (key, value), strict=True)]
    out = fused([query, key, value], key_shared_prefix=first[0], value_shared_prefix=first[1], actual_shared_prefix_len=[3])[0]
    close(out, expected_of([query, *whole])[0], TOLERANCE)


def test_bias_is_added_after_the_scale() -> None:
    tensors, bias = halves(6, 5), drawn(1, HEADS, 6, 5, seed=4, dtype=torch.float16)
    close(fused(tensors, pse_shift=bias)[0], expected_of(tensors, bias=bias.double())[0], TOLERANCE)


def paged(x: Tensor, size: int, flat: bool) -> tuple[Tensor, Tensor]:
    """Cut [B, N, S, D] into pages in a shuffled order; return them and the block table."""
    batch, heads, length, width = x.shape
    count = -(-length // size)
    whole = torch.full((batch, heads, count * size, width), torch.nan, dtype=x.dtype)
    whole[:, :, :length] = x
    order = torch.randperm(batch * count, generator=torch.Generator().manual_seed(1))
    pages = whole.unflatten(2, (count, size)).transpose(1, 2).flatten(0, 1)  # [pages, N, size, D]
    cache = torch.empty_like(pages)
    cache[order] = pages
    return (cache.transpose(1, 2).flatten(2) if flat else cache), order.view(batch, count).int()


@pytest.mark.parametrize("flat", [True, False], ids=["BnBsH", "BnNBsD"])
@pytest.mark.parametrize("queries", [1, 3])
def test_keys_and_values_in_pages(flat: bool, queries: int) -> None:
    query, key, value = halves(queries, 40, 2)
    (keys, table), (values, _) = (paged(x, 16, flat) for x in (key, value))
    lengths = [33, 40]
    out = torch_npu.npu_fused_infer_attention_score(
        query.npu(), keys.npu(), values.npu(), block_table=table.npu(), block_size=16, actual_seq_lengths_kv=lengths,
        num_heads=HEADS, num_key_value_heads=2, scale=SCALE, input_layout="BNSD",
    )[0]  # fmt: skip
    close(out, expected_of([query, key, value], discard=valid([queries] * 2, lengths, queries, 40))[0], TOLERANCE)


def packed(sizes: list[int], tensors: list[Tensor]) -> list[Tensor]:
    """[B, N, S, D] to [T, N, D] of the first tokens of every sequence."""
    return [torch.cat([x[index, :, :size].transpose(0, 1) for index, size in enumerate(sizes)]) for x in tensors]


@pytest.mark.parametrize("layout", ["TND", "NTD", "NTD_TND", "TND_NTD"])
def test_packed_sequences(layout: str) -> None:
    sizes = [3, 5]
    tensors = halves(5, 5, 2)
    swap: dict[str, Callable[[Tensor], Tensor]] = {"TND": lambda x: x, "NTD": lambda x: x.transpose(0, 1)}
    first, _, second = layout.partition("_")
    out, lse = torch_npu.npu_fused_infer_attention_score(
        *[swap[first](x).contiguous().npu() for x in packed(sizes, tensors)], actual_seq_lengths=[3, 8], actual_seq_lengths_kv=[3, 8],
        num_heads=HEADS, num_key_value_heads=2, scale=SCALE, input_layout=layout, atten_mask=TEMPLATE.npu(), sparse_mode=3,
        softmax_lse_flag=True,
    )  # fmt: skip
    rules = [kept_if(lambda i, j, n=n: j <= i and j < n, 5, 5) for n in sizes]
    expected = [packed(sizes, [x])[0] for x in expected_of(tensors, discard=torch.stack(rules).unsqueeze(1))]
    close(out, swap[second or first](expected[0]), TOLERANCE)
    close(lse, expected[1])


def test_packed_queries_over_pages() -> None:
    """As vLLM does it: lengths of queries are cumulative, those of paged keys are not."""
    query, key, value = halves(3, 40, 2)
    (keys, table), (values, _) = (paged(x, 16, True) for x in (key, value))
    q_sizes, lengths = [1, 3], [33, 40]
    out = torch_npu.npu_fused_infer_attention_score(
        packed(q_sizes, [query])[0].npu(), keys.npu(), values.npu(), block_table=table.npu(), block_size=16, actual_seq_lengths=[1, 4],
        actual_seq_lengths_kv=lengths, num_heads=HEADS, num_key_value_heads=2, scale=SCALE, input_layout="TND",
        atten_mask=TEMPLATE.npu(), sparse_mode=3,
    )[0]  # fmt: skip
    rules = [kept_if(lambda i, j, a=a, b=b: i < a and j <= i + b - a, 3, 40) for a, b in zip(q_sizes, lengths, strict=True)]
    expected = expected_of([query, key, value], discard=torch.stack(rules).unsqueeze(1))[0]
    close(out, packed(q_sizes, [expected])[0], TOLERANCE)


def test_version_2_with_a_sink_and_rotary_parts() -> None:
    query, key, value = halves(3, 5)
    rope = [drawn(2, HEADS, length, 8, seed=seed, dtype=torch.float16) for seed, length in ((5, 3), (6, 5))]
    sink = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float16)
    out, lse = torch_npu.npu_fused_infer_attention_score_v2(
        query.npu(), key.npu(), value.npu(), query_rope=rope[0].npu(), key_rope=rope[1].npu(), learnable_sink=sink.npu(),
        num_query_heads=HEADS, softmax_scale=SCALE, input_layout="BNSD", return_softmax_lse=True,
    )  # fmt: skip
    joined = [torch.cat(pair, dim=-1) for pair in ((query, rope[0]), (key, rope[1]))]
    expected, expected_lse = expected_of([*joined, value], sink=sink.double())
    close(out, expected, TOLERANCE)
    close(lse, expected_lse)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "BNSD_BSND"])
def test_prompt_flash_attention(layout: str) -> None:
    tensors, there = halves(6, 8, 2), OUT[layout.partition("_")[0]]
    out = torch_npu.npu_prompt_flash_attention(
        *[there(x).contiguous().npu() for x in tensors], num_heads=HEADS, num_key_value_heads=2, scale_value=SCALE, input_layout=layout,
        actual_seq_lengths=[3, 6], actual_seq_lengths_kv=[5, 7], atten_mask=TEMPLATE.npu(), sparse_mode=3,
    )  # fmt: skip
    rules = [kept_if(lambda i, j, a=a, b=b: i < a and j <= i + b - a, 6, 8) for a, b in ((3, 5), (6, 7))]
    expected = expected_of(tensors, discard=torch.stack(rules).unsqueeze(1))[0]
    close(out, OUT[layout.partition("_")[2] or layout](expected), TOLERANCE)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH"])
def test_incre_flash_attention(layout: str) -> None:
    tensors, there = halves(1, 8, 2), OUT[layout]
    mask = drawn(2, 8, seed=5) > 0.8
    out = torch_npu.npu_incre_flash_attention(
        *[there(x).contiguous().npu() for x in tensors], num_heads=HEADS, num_key_value_heads=2, scale_value=SCALE, input_layout=layout,
        actual_seq_lengths=[5, 8], atten_mask=mask.npu(),
    )  # fmt: skip
    discard = valid([1, 1], [5, 8], 1, 8) | mask.reshape(2, 1, 1, 8)
    close(out, there(expected_of(tensors, discard=discard)[0]), TOLERANCE)


def test_incre_flash_attention_over_pages() -> None:
    query, key, value = halves(1, 40, 2)
    (keys, table), (values, _) = (paged(x, 16, True) for x in (key, value))
    out = torch_npu.npu_incre_flash_attention(
        OUT["BSH"](query).npu(), keys.npu(), values.npu(), block_table=table.npu(), block_size=16, actual_seq_lengths=[33, 40],
        num_heads=HEADS, num_key_value_heads=2, scale_value=SCALE, input_layout="BSH",
    )  # fmt: skip
    close(out, OUT["BSH"](expected_of([query, key, value], discard=valid([1, 1], [33, 40], 1, 40))[0]), TOLERANCE)


def test_quantization_is_refused_by_name() -> None:
    query, key, value = halves(2, 2)
    arguments = {"query": query, "key": [key], "value": [value], "pse": None, "mask": None, "heads": HEADS, "scale": 1.0}
    arguments |= {"layout": "BNSD", "kv_heads": 0}
    assert isinstance(_named(arguments), Inference)
    with pytest.raises(NotImplementedError, match="quant_scale2"):
        _named(arguments | {"quant_scale2": torch.ones(1)})
    with pytest.raises(NotImplementedError, match="int8"):
        _named(arguments | {"key": [key.to(torch.int8)]})
