"""Gates against their documented definitions, written out in float64, expert by expert."""

import math

import pytest
import torch
import torch_npu

from emulator.ops.moe_gating import MoeGatingTopKBackward

EPS = 1e-20


def inputs(tokens: int, experts: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(tokens, experts, generator=generator).to(dtype), torch.rand(experts, generator=generator).to(dtype)


def gate(x, k, bias=None, k_group=1, group_count=1, group_select_mode=0, renorm=0, norm_type=0, scaling=1.0):
    """npu_moe_gating_top_k as its page describes it, in plain Python floats."""
    weights, experts, norms = [], [], []
    for row in x.double().tolist():
        norm = [1 / (1 + math.exp(-value)) for value in row] if norm_type else [math.exp(v) / sum(map(math.exp, row)) for v in row]
        score = [value + (0.0 if bias is None else float(bias[i])) for i, value in enumerate(norm)]
        size = len(row) // group_count
        groups = [sorted(score[g * size : (g + 1) * size], reverse=True) for g in range(group_count)]
        merit = [group[0] + (group[1] if group_select_mode else 0.0) for group in groups]
        kept = sorted(range(group_count), key=lambda g: -merit[g])[:k_group]
        allowed = [i for i in range(len(row)) if i // size in kept]
        best = sorted(allowed, key=lambda i: -score[i])[:k]
        total = sum(norm[i] for i in best) + EPS if norm_type or renorm else 1.0
        weights.append([norm[i] / total * scaling for i in best])
        experts.append(best)
        norms.append(norm)
    return torch.tensor(weights, dtype=torch.float64), torch.tensor(experts), torch.tensor(norms, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("experts", "k", "options"),
    [
        (64, 6, {"norm_type": 0}),
        (64, 6, {"norm_type": 0, "renorm": 1}),
        (64, 1, {"norm_type": 1, "scaling": 2.5}),
        (256, 8, {"norm_type": 1, "k_group": 4, "group_count": 8, "group_select_mode": 1, "scaling": 2.5}),  # DeepSeek-V3
        (160, 6, {"norm_type": 0, "k_group": 3, "group_count": 8, "group_select_mode": 0, "scaling": 16.0}),  # DeepSeek-V2
    ],
)
@pytest.mark.parametrize("biased", [False, True])
def test_gating_chooses_the_best_experts_of_the_best_groups(experts, k, options, biased, dtype):
    x, bias = inputs(5, experts, dtype)
    bias = bias if biased else None
    scaling = options.get("scaling", 1.0)
    weights, chosen, norm = gate(x, k, bias, **options)
    found = torch_npu.npu_moe_gating_top_k(
        x.npu(), k, bias=None if bias is None else bias.npu(), out_flag=True, routed_scaling_factor=scaling,
        **{name: value for name, value in options.items() if name != "scaling"},
    )  # fmt: skip
    assert (found[0].dtype, found[1].dtype, found[2].dtype) == (dtype, torch.int32, torch.float32)
    assert torch.equal(found[1].cpu().long(), chosen)
    torch.testing.assert_close(found[0].cpu(), weights.to(dtype), rtol=1.6e-2 if dtype == torch.bfloat16 else 2e-3, atol=1e-6)
    torch.testing.assert_close(found[2].cpu().double(), norm, rtol=1e-5, atol=1e-7)


def test_equal_scores_go_to_the_lower_expert():
    assert torch_npu.npu_moe_gating_top_k(torch.zeros(2, 8).npu(), 3)[1].tolist() == [[0, 1, 2]] * 2


def test_without_out_flag_the_scores_are_undefined():
    assert torch_npu.npu_moe_gating_top_k(torch.zeros(2, 8).npu(), 3)[2].isnan().all()


def test_hash_mode_looks_experts_up():
    x, _ = inputs(4, 8)
    table = torch.tensor([[0, 1], [2, 3], [7, 5]], dtype=torch.int32)
    ids = torch.tensor([2, 0, 1, 2])
    weights, experts, _ = torch_npu.npu_moe_gating_top_k(x.npu(), 2, input_ids=ids.npu(), tid2eid=table.npu(), norm_type=1)
    assert experts.tolist() == table[ids].tolist()
    chosen = torch.sigmoid(x.double()).gather(1, table[ids].long())
    torch.testing.assert_close(weights.cpu().double(), chosen / chosen.sum(1, keepdim=True), rtol=1e-5, atol=1e-7)


def test_gradient_of_the_sigmoid_gate():
    x, bias = inputs(5, 16)
    grad = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    moved = x.npu().requires_grad_()
    weights, experts, _ = torch_npu.npu_moe_gating_top_k(
        moved, 4, bias=bias.npu(), norm_type=1, out_flag=True, routed_scaling_factor=2.5, k_group=2, group_count=4, group_select_mode=1
    )
    weights.backward(grad.npu())
    exact = x.double().requires_grad_()
    chosen = torch.sigmoid(exact).gather(1, experts.cpu().long())
    (2.5 * chosen / (chosen.sum(1, keepdim=True) + EPS)).backward(grad.double())
    torch.testing.assert_close(moved.grad.cpu().double(), exact.grad, rtol=1e-4, atol=1e-6)


def test_gradient_of_the_softmax_gate_is_refused_as_documented():
    experts = torch.zeros(2, 2, dtype=torch.int32)
    with pytest.raises(ValueError, match="sigmoid"):  # called directly: after an error of a queued operator torch_npu drops all that follow
        MoeGatingTopKBackward(torch.ones(2, 8), torch.ones(2, 2), experts, 0, 0, 1.0, 0.0, torch.empty(2, 8))


@pytest.mark.parametrize("shape", [(5, 16), (2, 3, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_gate(shape, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(dtype)
    finished = torch.zeros(shape[:-1], dtype=torch.bool)
    finished.view(-1)[1] = True
    weights, experts, rows = torch_npu.npu_moe_gating_top_k_softmax(x.npu(), finished.npu(), 4)
    exact, chosen = torch.softmax(x.double(), -1).sort(dim=-1, descending=True, stable=True)
    torch.testing.assert_close(weights.cpu(), exact[..., :4].to(dtype), rtol=1.6e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)
    assert torch.equal(experts.cpu().long(), torch.where(finished.unsqueeze(-1), 16, chosen[..., :4]))
    tokens = finished.numel()
    assert rows.cpu().view(tokens, 4).tolist() == [[column * tokens + row for column in range(4)] for row in range(tokens)]


@pytest.mark.parametrize("renorm", [0, 1])
def test_softmax_gate_before_or_after_the_choice(renorm):
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(3))
    weights, experts, softmax = torch_npu.npu_moe_gating_top_k_softmax_v2(x.npu(), k=4, renorm=renorm, output_softmax=True)
    exact = torch.softmax(x.double(), -1)
    values, chosen = (x.double() if renorm else exact).sort(dim=-1, descending=True, stable=True)
    expected = torch.softmax(values[:, :4], -1) if renorm else values[:, :4]
    torch.testing.assert_close(weights.cpu().double(), expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(experts.cpu().long(), chosen[:, :4])
    assert softmax.shape == ((0,) if renorm else (5, 16))
    if not renorm:
        torch.testing.assert_close(softmax.cpu().double(), exact, rtol=1e-5, atol=1e-7)
