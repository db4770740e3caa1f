"""Sparse attention against softmax over the chosen keys, query by query in float64, and its gradients."""

import pytest
import torch
import torch_npu

from tests.emulator.ops.test_lightning_indexer import KEYS, QUERIES, ends, moved, padded, paged, parts, real

HEADS, WIDTH, ROPE, COUNT, SCALE = 4, 32, 8, 5, 0.2


def sequences(dtype: torch.dtype) -> list[dict[str, torch.Tensor]]:
    return [
        {
            "query": real(q, HEADS, WIDTH, seed=q, dtype=dtype), "key": real(k, 1, WIDTH, seed=k, dtype=dtype),
            "query_rope": real(q, HEADS, ROPE, seed=1 + q, dtype=dtype), "key_rope": real(k, 1, ROPE, seed=1 + k, dtype=dtype),
        }
        for q, k in zip(QUERIES, KEYS, strict=True)
    ]  # fmt: skip


def blocks(size: int, seed: int = 3) -> list[torch.Tensor]:
    """Blocks chosen for each query, without order, the last queries of a sequence with fewer of them."""
    generator, chosen = torch.Generator().manual_seed(seed), []
    for q, k in zip(QUERIES, KEYS, strict=True):
        rows = [torch.randperm(-(-k // size), generator=generator)[:COUNT].tolist() for _ in range(q)]
        rows[-1] = rows[-1][:2]
        chosen.append(torch.tensor([row + [-1] * (COUNT - len(row)) for row in rows], dtype=torch.int32))
    return chosen


def attention(data, chosen, size, mode, sinks=None):
    """The page's formula for one sequence; value is key."""
    query, key = torch.cat([data["query"], data["query_rope"]], -1), torch.cat([data["key"], data["key_rope"]], -1)
    rows = []
    for i in range(len(query)):
        limit = len(key) if mode == 0 else len(key) - len(query) + i + 1
        picked = [b * size + j for b in chosen[i].tolist() if b >= 0 for j in range(size) if b * size + j < limit]
        if not picked:
            rows.append(query[i, :, :WIDTH] * 0)
            continue
        scores = query[i] @ key[picked, 0].t() * SCALE
        if sinks is not None:
            scores = torch.cat([scores, sinks.unsqueeze(1)], -1)
        rows.append(torch.softmax(scores, -1)[:, : len(picked)] @ data["key"][picked, 0])
    return torch.stack(rows)


def in_layout(layout: str, data: list[dict[str, torch.Tensor]], chosen: list[torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict]:
    join = padded if layout == "BSND" else torch.cat
    tensors = {name: join([sequence[name] for sequence in data]) for name in data[0]}
    tensors["sparse_indices"] = join(chosen).unsqueeze(-2)
    lengths = torch.tensor(QUERIES, dtype=torch.int32), torch.tensor(KEYS, dtype=torch.int32)
    if layout == "BSND":
        return tensors, {"actual_seq_lengths_query": lengths[0], "actual_seq_lengths_kv": lengths[1]}
    options = {"actual_seq_lengths_query": ends(QUERIES), "layout_query": "TND"}
    if layout == "TND":
        return tensors, {**options, "actual_seq_lengths_kv": ends(KEYS), "layout_kv": "TND"}
    for name in ("key", "key_rope"):
        tensors[name], table = paged([sequence[name] for sequence in data])
    return tensors, {**options, "actual_seq_lengths_kv": lengths[1], "layout_kv": "PA_BSND", "block_table": table}


def run(tensors: dict[str, torch.Tensor], options: dict, **more):
    key = tensors["key"]
    return torch_npu.npu_sparse_flash_attention(
        tensors["query"], key, key, tensors["sparse_indices"], SCALE, query_rope=tensors["query_rope"], key_rope=tensors["key_rope"],
        **moved(options), **more, attention_mode=2,
    )  # fmt: skip


def exactly(data):
    return [{name: tensor.double().requires_grad_() for name, tensor in sequence.items()} for sequence in data]


@pytest.mark.parametrize("layout", ["BSND", "TND", "PA_BSND"])
@pytest.mark.parametrize("mode", [0, 3])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_queries_attend_to_their_keys_only(layout, mode, size, dtype):
    data, chosen = sequences(dtype), blocks(size)
    tensors, options = in_layout(layout, data, chosen)
    out, *_ = run({name: tensor.npu() for name, tensor in tensors.items()}, options, sparse_mode=mode, sparse_block_size=size)
    assert out.dtype == dtype
    for one, sequence, picked in zip(parts(out.cpu(), layout), exactly(data), chosen, strict=True):
        torch.testing.assert_close(one.double(), attention(sequence, picked, size, mode).detach(), rtol=2e-2, atol=2e-2)


def test_sinks_take_their_share():
    data, chosen, sinks = sequences(torch.bfloat16), blocks(1), real(HEADS, dtype=torch.float32)
    tensors, options = in_layout("TND", data, chosen)
    out, top, total = run({name: tensor.npu() for name, tensor in tensors.items()}, options, sinks=sinks.npu(), return_softmax_lse=True)
    assert top.shape == total.shape == (1, sum(QUERIES), HEADS)
    for one, sequence, picked in zip(parts(out.cpu(), "TND"), exactly(data), chosen, strict=True):
        torch.testing.assert_close(one.double(), attention(sequence, picked, 1, 3, sinks.double()).detach(), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize("size", [1, 4])
def test_gradients(layout, size):
    data, chosen = sequences(torch.bfloat16), blocks(size)
    tensors, options = in_layout(layout, data, chosen)
    given = {name: tensor.npu().requires_grad_(tensor.is_floating_point()) for name, tensor in tensors.items()}
    out, *_ = run(given, options, sparse_block_size=size, return_softmax_lse=True)
    exact, grads = exactly(data), [real(q, HEADS, WIDTH, seed=9 + q) for q in QUERIES]
    for sequence, picked, grad in zip(exact, chosen, grads, strict=True):
        attention(sequence, picked, size, 3).backward(grad.double())
    out.backward((padded if layout == "BSND" else torch.cat)(grads).npu())
    expected, _ = in_layout(layout, [{name: tensor.grad for name, tensor in sequence.items()} for sequence in exact], chosen)
    for name in exact[0]:
        torch.testing.assert_close(given[name].grad.cpu().double(), expected[name], rtol=3e-2, atol=3e-2)


def test_statistics_are_of_the_scaled_scores():
    data, chosen = sequences(torch.float16), blocks(1)
    tensors, options = in_layout("TND", data, chosen)
    _, top, total = run({name: tensor.npu() for name, tensor in tensors.items()}, options, sparse_mode=0, return_softmax_lse=True)
    query, key = (torch.cat([data[0][name], data[0][f"{name}_rope"]], -1).double() for name in ("query", "key"))
    picked = chosen[0][0][chosen[0][0] >= 0].long()
    scores = query[0] @ key[picked, 0].t() * SCALE
    torch.testing.assert_close(top.cpu()[0, 0].double(), scores.amax(-1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(total.cpu()[0, 0].double(), torch.exp(scores - scores.amax(-1, keepdim=True)).sum(-1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layout", ["BSND", "TND", "PA_BSND"])
def test_keys_in_int8_with_their_scales_beside_them(layout):
    data, chosen, tile = sequences(torch.bfloat16), blocks(1), WIDTH // 2
    bytes_of, exact = [], exactly(data)
    for sequence, true in zip(data, exact, strict=True):
        integers, scales = (
            real(len(sequence["key"]), 1, WIDTH, seed=5).mul(20).to(torch.int8),
            real(len(sequence["key"]), 1, 2, seed=6).float(),
        )
        bytes_of.append(torch.cat([integers, sequence["key_rope"].view(torch.int8), scales.view(torch.int8)], -1))
        true["key"] = integers.double() * scales.double().repeat_interleave(tile, -1) / 20
        scales /= 20
        bytes_of[-1][..., -8:] = scales.view(torch.int8)
    tensors, options = in_layout(layout, [{**sequence, "key": key} for sequence, key in zip(data, bytes_of, strict=True)], chosen)
    query = torch.cat([tensors["query"], tensors["query_rope"]], -1).npu()
    key, indices = tensors["key"].npu(), tensors["sparse_indices"].npu()
    out = torch_npu.npu_kv_quant_sparse_flash_attention(
        query, key, key[..., :WIDTH], indices, SCALE, 2, 2, **moved(options), attention_mode=2, tile_size=tile, rope_head_dim=ROPE
    )
    for one, sequence, picked in zip(parts(out.cpu(), layout), exact, chosen, strict=True):
        torch.testing.assert_close(one.double(), attention(sequence, picked, 1, 3).detach(), rtol=2e-2, atol=2e-2)
