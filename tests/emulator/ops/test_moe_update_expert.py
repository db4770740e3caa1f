"""Copies of experts and pruning against the page's loops."""

import math

import pytest
import torch
import torch_npu

TOKENS, CHOSEN, EXPERTS, RANKS = 9, 3, 6, 8


def table() -> torch.Tensor:
    counts = [1, 2, 3, 4, 1, 3]
    generator = torch.Generator().manual_seed(0)
    return torch.tensor([[count, *torch.randperm(RANKS, generator=generator)[:4].tolist()] for count in counts], dtype=torch.int32)


def experts(dtype: torch.dtype = torch.int32) -> torch.Tensor:
    return torch.randint(0, EXPERTS, (TOKENS, CHOSEN), generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("rank", [0, 3, 7])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_a_rank_uses_its_copies(rank, dtype):
    ids, copies = experts(dtype), table()
    out, _ = torch_npu.npu_moe_update_expert(ids.npu(), copies.npu(), local_rank_id=rank, world_size=RANKS, balance_mode=0)
    expected = [[int(copies[e, rank // math.ceil(RANKS / int(copies[e, 0])) + 1]) for e in row] for row in ids.tolist()]
    assert out.dtype == dtype
    assert out.cpu().tolist() == expected


def test_tokens_take_turns():
    ids, copies = experts(), table()
    out, _ = torch_npu.npu_moe_update_expert(ids.npu(), copies.npu(), balance_mode=1)
    assert out.cpu().tolist() == [[int(copies[e, i % int(copies[e, 0]) + 1]) for e in row] for i, row in enumerate(ids.tolist())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_experts_with_a_small_scale_are_left_out(dtype):
    scales = torch.rand(TOKENS, CHOSEN, generator=torch.Generator().manual_seed(2)).sort(descending=True).values.to(dtype)
    threshold, active = torch.tensor([0.5, 0.3, 0.2]), torch.arange(TOKENS) < 7
    _, mask = torch_npu.npu_moe_update_expert(
        experts().npu(), table().npu(), expert_scales=scales.npu(), pruning_threshold=threshold.npu(), active_mask=active.npu(),
        balance_mode=1,
    )  # fmt: skip
    limits = scales.double().sum(-1, keepdim=True) * threshold.double()
    assert torch.equal(mask.cpu(), (scales.double() >= limits) & active.unsqueeze(-1))
    assert 0 < int(mask.sum()) < 7 * CHOSEN
