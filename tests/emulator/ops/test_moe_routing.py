"""Routing of tokens to experts and back against its documented definition, written out row by row."""

import pytest
import torch
import torch_npu

from emulator.ops.moe_finalize_routing import MoeFinalizeRoutingV4

N, K, H, EXPERTS = 7, 3, 8, 6
ALL = {"expert_num": EXPERTS, "active_expert_range": [0, EXPERTS]}


def tokens(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(N, H, generator=generator).to(dtype)
    return x, torch.stack([torch.randperm(EXPERTS, generator=generator)[:K] for _ in range(N)]).to(torch.int32)


def in_order(expert_idx: torch.Tensor, start: int, end: int) -> list[tuple[int, int]]:
    """(row, expert) of all rows whose expert is active, by expert, then by row."""
    rows = [(row, int(expert)) for row, expert in enumerate(expert_idx.flatten()) if start <= expert < end]
    return sorted(rows, key=lambda pair: pair[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
@pytest.mark.parametrize(("start", "end"), [(0, EXPERTS), (2, 5)])
@pytest.mark.parametrize("active_num", [-1, 0, 4])
def test_rows_lie_by_expert(dtype, start, end, active_num):
    x, expert_idx = tokens(dtype)
    order = in_order(expert_idx, start, end)
    expanded, index, counts, _ = torch_npu.npu_moe_init_routing_v2(
        x.npu(), expert_idx.npu(), active_num=active_num, expert_num=EXPERTS, expert_tokens_num_type=1, expert_tokens_num_flag=True,
        active_expert_range=[start, end],
    )  # fmt: skip
    kept = order[:active_num] if active_num > 0 else order
    assert len(expanded) == (active_num if active_num > 0 else N * K)
    assert torch.equal(expanded.cpu()[: len(kept)], torch.stack([x[row // K] for row, _ in kept]))
    went = dict.fromkeys(range(N * K), -1) | {row: place for place, (row, _) in enumerate(order)}
    assert index.tolist() == [went[row] for row in range(N * K)]
    assert counts.tolist() == [sum(expert == e for _, expert in order) for e in range(start, end)]


def test_the_index_can_say_whence_rows_came():
    x, expert_idx = tokens()
    found = torch_npu.npu_moe_init_routing_v2(x.npu(), expert_idx.npu(), **ALL, row_idx_type=1)
    assert found[1].tolist() == [row for row, _ in in_order(expert_idx, 0, EXPERTS)]


@pytest.mark.parametrize("kind", [0, 2])
def test_tokens_of_experts_can_be_added_up_or_paired(kind):
    x, expert_idx = tokens()
    expert_idx[expert_idx == 3] = 4  # no token for expert 3
    counts = [int((expert_idx == expert).sum()) for expert in range(EXPERTS)]
    found = torch_npu.npu_moe_init_routing_v2(
        x.npu(),
        expert_idx.npu(),
        expert_num=EXPERTS,
        expert_tokens_num_type=kind,
        expert_tokens_num_flag=True,
        active_expert_range=[0, EXPERTS],
    )[2]
    pairs = [[expert, count] for expert, count in enumerate(counts) if count]
    assert found.tolist() == (torch.tensor(counts).cumsum(0).tolist() if kind == 0 else [*pairs, [0, 0]])


def test_experts_of_limited_capacity_drop_rows():
    x, expert_idx = tokens()
    capacity = 2
    expanded, index, counts, _ = torch_npu.npu_moe_init_routing_v2(
        x.npu(), expert_idx.npu(), expert_capacity=capacity, expert_num=EXPERTS, drop_pad_mode=1, expert_tokens_num_type=1,
        expert_tokens_num_flag=True, active_expert_range=[0, EXPERTS],
    )  # fmt: skip
    expected, went = torch.zeros(EXPERTS, capacity, H), [-1] * (N * K)
    for expert in range(EXPERTS):
        rows = [row for row, e in in_order(expert_idx, 0, EXPERTS) if e == expert]
        for place, row in enumerate(rows[:capacity]):
            expected[expert, place], went[row] = x[row // K], expert * capacity + place
    assert torch.equal(expanded.cpu(), expected)
    assert index.tolist() == went
    assert counts.tolist() == [int((expert_idx == expert).sum()) for expert in range(EXPERTS)]


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("smooth", [None, 1, EXPERTS])
def test_rows_can_be_quantised_each_with_its_scale(drop, smooth):
    x, expert_idx = tokens(torch.bfloat16)
    scales = None if smooth is None else torch.rand(smooth, H, generator=torch.Generator().manual_seed(5)) + 0.5
    options = {"drop_pad_mode": 1, "expert_capacity": 4} if drop else {}
    common = {
        "expert_num": EXPERTS,
        "expert_tokens_num_type": 1,
        "expert_tokens_num_flag": True,
        "active_expert_range": [0, EXPERTS],
        **options,
    }
    rows = torch_npu.npu_moe_init_routing_v2(x.npu(), expert_idx.npu(), **common)[0].cpu().double()
    found, _, _, scale = torch_npu.npu_moe_init_routing_v2(
        x.npu(), expert_idx.npu(), scale=None if scales is None else scales.npu(), quant_mode=1, **common
    )
    if scales is not None:
        experts = torch.arange(EXPERTS).unsqueeze(1) if drop else torch.tensor([e for _, e in in_order(expert_idx, 0, EXPERTS)])
        rows = rows * (scales.double() if smooth == 1 else scales.double()[experts])
    expected = (rows.abs().amax(-1) / 127).flatten()
    torch.testing.assert_close(scale.cpu().double(), expected, rtol=1e-5, atol=0)
    assert found.dtype == torch.int8
    exact = (rows.view(-1, H) / expected.unsqueeze(1)).nan_to_num(0.0)
    torch.testing.assert_close(found.cpu().view(-1, H).double(), exact, rtol=0, atol=0.5001)


def test_rows_can_be_quantised_to_four_bits():
    x, expert_idx = tokens(torch.bfloat16)
    found, _, _, scale = torch_npu.npu_moe_init_routing_v2(x.npu(), expert_idx.npu(), quant_mode=13, **ALL)
    rows = torch.stack([x[row // K] for row, _ in in_order(expert_idx, 0, EXPERTS)]).double()
    expected = rows.abs().amax(-1, keepdim=True) / 7
    torch.testing.assert_close(scale.cpu().double(), expected.squeeze(1), rtol=1e-5, atol=0)
    pairs = torch.stack([found.cpu() & 15, found.cpu() >> 4], -1).flatten(1).int()  # the first of two in the lower bits
    torch.testing.assert_close(((pairs + 8) % 16 - 8).double(), rows / expected, rtol=0, atol=0.5001)


def test_rows_can_be_quantised_with_one_given_scale():
    x, expert_idx = tokens()
    found = torch_npu.npu_moe_init_routing_v2(
        x.npu(), expert_idx.npu(), scale=torch.tensor([20.0]).npu(), offset=torch.tensor([3.0]).npu(), expert_num=EXPERTS, quant_mode=0,
        active_expert_range=[0, EXPERTS],
    )[0]  # fmt: skip
    exact = torch.stack([x[row // K] for row, _ in in_order(expert_idx, 0, EXPERTS)]).double() * 20 + 3
    torch.testing.assert_close(found.cpu().double(), exact.clamp(-128, 127), rtol=0, atol=0.5001)


def test_without_quantisation_scales_go_with_their_tokens():
    x, expert_idx = tokens(torch.int8)
    scale = torch.arange(N, dtype=torch.float32)
    found = torch_npu.npu_moe_init_routing_v2(x.npu(), expert_idx.npu(), scale=scale.npu(), **ALL)
    assert found[3].tolist() == [row // K for row, _ in in_order(expert_idx, 0, EXPERTS)]


def test_the_first_version_takes_the_rows_from_the_gate():
    x, expert_idx = tokens()
    row_idx = torch.arange(N * K, dtype=torch.int32).view(K, N).t().contiguous()
    expanded, index, experts = torch_npu.npu_moe_init_routing(x.npu(), row_idx.npu(), expert_idx.npu(), 4)
    named = {int(row_idx.flatten()[place]): place for place in range(N * K)}
    order = sorted(named, key=lambda row: (int(expert_idx.flatten()[named[row]]), named[row]))
    assert torch.equal(expanded.cpu(), torch.stack([x[row % N] for row in order[: 4 * K]]))
    assert index.tolist() == [order.index(row) for row in range(N * K)]
    assert experts.tolist() == sorted(expert_idx.flatten().tolist())


def test_the_quantising_version():
    x, expert_idx = tokens()
    found, index, counts, _, scale = torch_npu.npu_moe_init_routing_quant(
        x.npu(), expert_idx.npu(), active_num=0, expert_num=EXPERTS, expert_tokens_num_mode=2, quant_mode=1
    )
    order = in_order(expert_idx, 0, EXPERTS)
    rows = torch.stack([x[row // K] for row, _ in order]).double()
    torch.testing.assert_close(scale.cpu().double(), rows.abs().amax(1) / 127, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.cpu().double() * scale.cpu().unsqueeze(1), rows, rtol=0, atol=float(scale.max()))
    assert [index.tolist()[row] for row, _ in order] == list(range(N * K))
    assert counts.tolist() == [int((expert_idx == expert).sum()) for expert in range(EXPERTS)]


def test_expert_tokens_are_counted_up_to_each_expert():
    experts = torch.tensor([0, 0, 2, 2, 2, 5], dtype=torch.int32)
    assert torch_npu.npu_moe_compute_expert_tokens(experts.npu(), 7).tolist() == [2, 2, 5, 5, 5, 6, 6]


@pytest.mark.parametrize("scales", [None, torch.arange(9, dtype=torch.float32)])
def test_tokens_of_several_ranks_are_put_by_expert(scales):
    per_rank = torch.tensor([[1, 2, 0], [3, 1, 2]], dtype=torch.int32)
    x = torch.arange(9, dtype=torch.float16).unsqueeze(1).expand(9, 4).contiguous()
    found, moved, index, counts = torch_npu.npu_moe_re_routing(
        x.npu(), per_rank.npu(), per_token_scales=None if scales is None else scales.npu()
    )
    order = [0, 3, 4, 5, 1, 2, 6, 7, 8]  # expert 0: of rank 0 one, of rank 1 three; expert 1: two and one; expert 2: none and two
    assert index.tolist() == order
    assert found[:, 0].tolist() == order
    assert counts.tolist() == [4, 3, 2]
    assert scales is None or moved.tolist() == order


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mode", [0, 2])
@pytest.mark.parametrize("full", [True, False])
def test_results_of_experts_are_weighed_and_added_up(mode, full, dtype):
    generator = torch.Generator().manual_seed(4)
    rows, bias, skip = (torch.randn(n, H, generator=generator).to(dtype) for n in (N * K, EXPERTS, N))
    scales, experts = torch.rand(N, K, generator=generator).to(dtype), tokens()[1]
    index = torch.randperm(N * K, generator=generator).to(torch.int32)
    expected = (skip.double() * 2 if full else torch.zeros(N, H, dtype=torch.float64)).clone()
    for i in range(N):
        for k in range(K):
            row = rows[index[i * K + k if mode == 2 else k * N + i]].double()
            expected[i] += scales[i, k].double() * (row + (bias[experts[i, k]].double() if full else 0))
    given = [skip.npu(), skip.npu(), bias.npu()] if full else [None, None, None]
    found = torch_npu.npu_moe_finalize_routing(rows.npu(), *given, scales.npu(), index.npu(), experts.npu(), drop_pad_mode=mode)
    torch.testing.assert_close(found.cpu(), expected.to(dtype), rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", [1, 3])
def test_dropped_rows_add_nothing(mode):
    x, expert_idx = tokens()
    rows, index, _, _ = torch_npu.npu_moe_init_routing_v2(
        x.npu(), expert_idx.npu(), expert_capacity=2, expert_num=EXPERTS, drop_pad_mode=1, active_expert_range=[0, EXPERTS]
    )
    kept = (index.cpu().view(N, K) >= 0).sum(1)
    if mode == 1:
        index = index.view(N, K).t().contiguous().flatten()
    found = torch_npu.npu_moe_finalize_routing(rows, None, None, None, torch.ones(N, K).npu(), index, expert_idx.npu(), drop_pad_mode=mode)
    torch.testing.assert_close(found.cpu(), x * kept.unsqueeze(1), rtol=1e-5, atol=1e-6)


def test_there_and_back_gives_the_token_times_the_sum_of_its_weights():
    x, expert_idx = tokens(torch.bfloat16)
    scales = torch.rand(N, K, generator=torch.Generator().manual_seed(4)).bfloat16()
    rows, index, _, _ = torch_npu.npu_moe_init_routing_v2(x.npu(), expert_idx.npu(), **ALL)
    found = torch_npu.npu_moe_finalize_routing(rows, None, None, None, scales.npu(), index, expert_idx.npu(), drop_pad_mode=2)
    torch.testing.assert_close(found.cpu().float(), x.float() * scales.float().sum(1, keepdim=True), rtol=1e-2, atol=1e-2)


def test_without_scales_k_says_how_many_rows_a_token_has():
    rows = torch.arange(6.0).unsqueeze(1)
    index = torch.arange(6, dtype=torch.int32)
    found = torch_npu.npu_moe_finalize_routing(rows.npu(), None, None, None, None, index.npu(), None, drop_pad_mode=2, k=2)
    assert found.flatten().tolist() == [1.0, 5.0, 9.0]


def test_a_dropped_row_in_a_mode_without_drops_is_an_error():
    rows, index = torch.zeros(2, 4), torch.tensor([0, -1])
    with pytest.raises(ValueError, match="arbitrary"):
        MoeFinalizeRoutingV4(rows, index, None, None, None, torch.ones(1, 2), None, *[None] * 4, 2, None, None, None, 1, torch.empty(1, 4))
