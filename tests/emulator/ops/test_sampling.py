"""Filters of logits against the words that a plain count of probabilities leaves."""

import pytest
import torch
import torch_npu


def left(row: torch.Tensor, p: float | None, k: int | None) -> set[int]:
    """Words that stay: the k largest, of these the most probable until those not yet taken make up at most 1 - p."""
    words = sorted(range(len(row)), key=lambda word: (float(row[word]), word))[-k if k else 0 :]
    if p is None:
        return set(words)
    weights = torch.softmax(row[words].double(), 0)
    return {word for place, word in enumerate(words) if place == len(words) - 1 or float(weights[: place + 1].sum()) > 1 - p}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("p", "k"), [([0.9, 0.5, 0.0], [4, 20, 7]), (None, [1, 3, 20]), ([1.0, 0.7, 0.2], None)])
def test_words_that_stay(dtype, p, k):
    logits = torch.stack([torch.randperm(20, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]).mul(0.25).to(dtype)
    on_npu = lambda values, kind: None if values is None else torch.tensor(values, dtype=kind).npu()  # noqa: E731
    out = torch_npu.npu_top_k_top_p(logits.npu(), on_npu(p, dtype), on_npu(k, torch.int32)).cpu()
    for row, result, index in zip(logits, out, range(3), strict=True):
        words = left(row, None if p is None else p[index], None if k is None else k[index])
        assert set(torch.nonzero(result > float("-inf")).flatten().tolist()) == words
        assert torch.equal(result[sorted(words)], row[sorted(words)])


def test_equals_of_the_kth_largest_stay():
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.0, 3.0]])
    out = torch_npu.npu_top_k_top_p(logits.npu(), None, torch.tensor([2], dtype=torch.int32).npu()).cpu()
    assert torch.equal(out > float("-inf"), torch.tensor([[False, True, True, False, True]]))
