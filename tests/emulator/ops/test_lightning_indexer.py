"""The lightning indexer against its formula, query by query in float64, in every layout."""

import pytest
import torch
import torch_npu

HEADS, WIDTH, COUNT, PAGE = 4, 16, 6, 16
QUERIES, KEYS = [5, 3], [9, 20]  # lengths of two sequences


def real(*shape: int, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def sequences(dtype: torch.dtype = torch.bfloat16, weight: torch.dtype | None = None) -> list[tuple[torch.Tensor, ...]]:
    return [
        (
            real(q, HEADS, WIDTH, seed=q, dtype=dtype),
            real(k, 1, WIDTH, seed=k, dtype=dtype),
            real(q, HEADS, seed=1 + q, dtype=weight or dtype),
        )
        for q, k in zip(QUERIES, KEYS, strict=True)
    ]


def scores(query: torch.Tensor, key: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (torch.relu(torch.einsum("qhd,kd->qhk", query.double(), key[:, 0].double())) * weights.double().unsqueeze(-1)).sum(1)


def best(values: torch.Tensor, mode: int) -> tuple[list[list[int]], torch.Tensor]:
    """For each query the best keys that it may see, filled up with -1, and which keys it may see."""
    rows, keys = values.shape
    chosen, mask = [], torch.zeros(rows, keys, dtype=torch.bool)
    for row in range(rows):
        seen = keys if mode == 0 else max(keys - rows + row + 1, 0)
        mask[row, :seen] = True
        order = sorted(range(seen), key=lambda key: -float(values[row, key]))[:COUNT]
        chosen.append(order + [-1] * (COUNT - len(order)))
    return chosen, mask


def padded(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)


def ends(lengths: list[int]) -> torch.Tensor:
    return torch.tensor(lengths, dtype=torch.int32).cumsum(0).int()


def paged(keys: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pages in an order of their own, and the table that finds them."""
    pages, table = [], []
    for key in keys:
        filled = torch.nn.functional.pad(key, (0, 0) * (key.dim() - 1) + (0, -len(key) % PAGE))
        table.append([len(pages) + index for index in range(len(filled) // PAGE)])
        pages += list(filled.split(PAGE))
    last = len(pages) - 1
    return torch.stack(pages[::-1]), torch.tensor(
        [[last - page for page in row] + [0] * (2 - len(row)) for row in table], dtype=torch.int32
    )


def in_layout(layout: str, data: list[tuple[torch.Tensor, ...]]) -> tuple[list[torch.Tensor], dict]:
    """Query, key and weights, and the options that say where the sequences are."""
    query, key, weights = ([sequence[place] for sequence in data] for place in range(3))
    lengths = torch.tensor(QUERIES, dtype=torch.int32), torch.tensor(KEYS, dtype=torch.int32)
    if layout == "BSND":
        options = {"actual_seq_lengths_query": lengths[0], "actual_seq_lengths_key": lengths[1]}
        return [padded(query), padded(key), padded(weights)], options
    tensors = [torch.cat(query), torch.cat(key), torch.cat(weights)]
    if layout == "TND":
        options = {
            "actual_seq_lengths_query": ends(QUERIES),
            "actual_seq_lengths_key": ends(KEYS),
            "layout_query": "TND",
            "layout_key": "TND",
        }
        return tensors, options
    pages, table = paged(key)
    options = {"actual_seq_lengths_query": ends(QUERIES), "actual_seq_lengths_key": lengths[1], "block_table": table, "layout_query": "TND"}
    return [tensors[0], pages, tensors[2]], {**options, "layout_key": "PA_BSND"}


def parts(result: torch.Tensor, layout: str) -> list[torch.Tensor]:
    return [result[index, :q] for index, q in enumerate(QUERIES)] if layout == "BSND" else list(result.split(QUERIES))


def moved(options: dict) -> dict:
    return {name: value.npu() if isinstance(value, torch.Tensor) else value for name, value in options.items()}


@pytest.mark.parametrize("layout", ["BSND", "TND", "PA_BSND"])
@pytest.mark.parametrize("mode", [0, 3])
@pytest.mark.parametrize(("dtype", "weight"), [(torch.bfloat16, None), (torch.float16, None), (torch.bfloat16, torch.float32)])
def test_the_best_keys_come_first(layout, mode, dtype, weight):
    data = sequences(dtype, weight)
    tensors, options = in_layout(layout, data)
    found, _ = torch_npu.npu_lightning_indexer(*[t.npu() for t in tensors], **moved(options), sparse_count=COUNT, sparse_mode=mode)
    assert found.dtype == torch.int32
    for one, sequence in zip(parts(found.cpu(), layout), data, strict=True):
        assert one[:, 0].tolist() == best(scores(*sequence), mode)[0]
    if layout == "BSND":
        assert found.cpu()[1, QUERIES[1] :].unique().tolist() == [-1]  # the padding's queries see nothing


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_gradients_of_the_scores(layout):
    data = sequences()
    tensors, options = in_layout(layout, data)
    given = [tensor.npu().requires_grad_() for tensor in tensors]
    _, values = torch_npu.npu_lightning_indexer(*given, **moved(options), sparse_count=COUNT, return_value=True)
    exact = [tuple(tensor.double().requires_grad_() for tensor in sequence) for sequence in data]
    grads = [real(q, COUNT, seed=7 + q) for q in QUERIES]
    for sequence, grad, one in zip(exact, grads, parts(values.detach().cpu(), layout), strict=True):
        total = scores(*sequence)
        chosen, _ = best(total.detach(), 3)
        index = torch.tensor(chosen)
        taken = torch.where(index >= 0, total.gather(1, index.clamp_min(0)), float("-inf"))
        torch.testing.assert_close(one[:, 0].double(), taken.detach(), rtol=1e-2, atol=1e-2)
        taken.backward(torch.where(index >= 0, grad.double(), 0.0))
    upstream = padded(grads) if layout == "BSND" else torch.cat(grads)
    values.backward(upstream.unsqueeze(-2).npu())
    expected, _ = in_layout(layout, [tuple(tensor.grad for tensor in sequence) for sequence in exact])
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one.grad.cpu().double(), other, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("layout", ["BSND", "PA_BSND"])
def test_quantised_queries_and_keys(layout):
    data = sequences(torch.float16)
    codes = [((query * 30).clamp(-127, 127).to(torch.int8), (key * 30).clamp(-127, 127).to(torch.int8)) for query, key, _ in data]
    scales = [(torch.rand(q, HEADS).half() + 0.5, torch.rand(k, 1).half() + 0.5) for q, k in zip(QUERIES, KEYS, strict=True)]
    weights = [sequence[2].abs() for sequence in data]
    tensors, options = in_layout(layout, [(*code, weight) for code, weight in zip(codes, weights, strict=True)])
    (query_scale, key_scale, _), _ = in_layout(layout, [(*scale, weight) for scale, weight in zip(scales, weights, strict=True)])
    found = torch_npu.npu_quant_lightning_indexer(
        *[t.npu() for t in tensors], query_scale.npu(), key_scale.npu(), 0, 0, **moved(options), sparse_count=COUNT
    )
    for one, (query, key), (left, right), weight in zip(parts(found.cpu(), layout), codes, scales, weights, strict=True):
        exact = scores(query.double() * left.double().unsqueeze(-1), key.double() * right.double().unsqueeze(-1), weight)
        assert one[:, 0].tolist() == best(exact, 3)[0]
