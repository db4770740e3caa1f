"""Attention over halves of the keys, joined, is attention over all of them."""

import pytest
import torch
import torch_npu
from torch import Tensor

from tests.emulator.ops.attention_definition import attention, close, drawn

SCALE = 0.25
HEADS = 4


def halves(queries: int = 6) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
    """The definition over all keys, and over each half of them, [B, N, S, 1 or D]."""
    query, key, value = (drawn(2, HEADS, length, 16, seed=seed).double() for seed, length in enumerate((queries, 10, 10)))
    parts = [attention(query, key[:, :, part], value[:, :, part], scale=SCALE) for part in (slice(0, 5), slice(5, 10))]
    return list(attention(query, key, value, scale=SCALE)), parts


def test_attention_update() -> None:
    (out, top, total), parts = halves()
    rows = [(part[0].reshape(-1, 16).float(), (part[1] + part[2].log()).flatten().float()) for part in parts]
    joined, lse = torch_npu.npu_attention_update([lse.npu() for _, lse in rows], [value.npu() for value, _ in rows], 1)
    close(joined, out.reshape(-1, 16))
    close(lse, (top + total.log()).flatten())
    assert torch_npu.npu_attention_update([lse.npu() for _, lse in rows], [value.npu() for value, _ in rows], 0)[1] is None


def test_ring_update_of_padded_sequences() -> None:
    whole, parts = halves()
    given = [
        (out.permute(2, 0, 1, 3).flatten(2).float().npu(), *(x.expand(2, HEADS, 6, 8).float().contiguous().npu() for x in statistics))
        for out, *statistics in parts
    ]
    out, top, total = torch_npu.npu_ring_attention_update(*given[0], *given[1])
    close(out, whole[0].permute(2, 0, 1, 3).flatten(2))
    close(top, whole[1].expand(2, HEADS, 6, 8))
    close(total, whole[2].expand(2, HEADS, 6, 8))


@pytest.mark.parametrize("softmax_layout", ["TND", ""])
@pytest.mark.parametrize("leading_zero", [True, False])
def test_ring_update_of_packed_sequences(softmax_layout: str, leading_zero: bool) -> None:
    whole, parts = halves()
    sizes = [2, 6]

    def packed(x: Tensor) -> Tensor:
        return torch.cat([x[index, :, :size].transpose(0, 1) for index, size in enumerate(sizes)])

    def statistic(x: Tensor) -> Tensor:
        if softmax_layout:
            return packed(x).expand(8, HEADS, 8)
        return torch.cat([x[index, :, :size].expand(HEADS, size, 8).flatten() for index, size in enumerate(sizes)]).view(8, HEADS, 8)

    given = [[packed(part[0]).float().npu(), *(statistic(x).float().contiguous().npu() for x in part[1:])] for part in parts]
    ends = torch.tensor([0] * leading_zero + [2, 8]).npu()
    found = torch_npu.npu_ring_attention_update(
        *given[0], *given[1], actual_seq_qlen=ends, input_layout="TND", input_softmax_layout=softmax_layout
    )
    for one, other in zip(found, (packed(whole[0]), statistic(whole[1]), statistic(whole[2])), strict=True):
        close(one, other)
