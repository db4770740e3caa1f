"""The feed-forward operator against its three formulas in float64 and in integers."""

import pytest
import torch
import torch_npu

ROWS, WIDTH, HIDDEN, TOKENS = 10, 12, 20, [4, 0, 6]
ACTIVATIONS = {
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "fastgelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
}


def real(*shape: int, seed: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).mul(0.4).to(dtype)


def whole(*shape: int, seed: int, dtype: torch.dtype = torch.int8) -> torch.Tensor:
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def on_npu(options: dict) -> dict:
    return {name: value.npu() if torch.is_tensor(value) else value for name, value in options.items()}


def by_expert(x: torch.Tensor, formula) -> torch.Tensor:
    return torch.cat([formula(rows, expert) for expert, rows in enumerate(x.split(TOKENS))])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_all_rows(activation, dtype):
    x, first, second = (
        real(2, 5, WIDTH, seed=0, dtype=dtype),
        real(WIDTH, HIDDEN, seed=1, dtype=dtype),
        real(HIDDEN, WIDTH, seed=2, dtype=dtype),
    )
    biases = [real(n, seed=n, dtype=torch.float32 if dtype == torch.bfloat16 else dtype) for n in (HIDDEN, WIDTH)]
    out = torch_npu.npu_ffn(x.npu(), first.npu(), second.npu(), activation, bias1=biases[0].npu(), bias2=biases[1].npu())
    expected = ACTIVATIONS[activation](x.double() @ first.double() + biases[0].double()) @ second.double() + biases[1].double()
    torch.testing.assert_close(out.cpu().double(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("option", [{"expert_tokens": TOKENS}, {"expert_tokens_index": [4, 4, 10]}])
def test_rows_of_experts(option):
    x, first, second = real(ROWS, WIDTH, seed=0), real(3, WIDTH, HIDDEN, seed=1), real(3, HIDDEN, WIDTH, seed=2)
    out = torch_npu.npu_ffn(x.npu(), first.npu(), second.npu(), "gelu", **option)
    expected = by_expert(x, lambda rows, e: ACTIVATIONS["gelu"](rows.double() @ first[e].double()) @ second[e].double())
    torch.testing.assert_close(out.cpu().double(), expected, rtol=1e-2, atol=1e-2)


def test_weights_in_int8():
    x, first, second = real(ROWS, WIDTH, seed=0), whole(3, WIDTH, HIDDEN, seed=1), whole(3, HIDDEN, WIDTH, seed=2)
    options = {
        "antiquant_scale1": real(3, HIDDEN, seed=3) / 8, "antiquant_scale2": real(3, WIDTH, seed=4) / 8,
        "antiquant_offset1": whole(3, HIDDEN, seed=5, dtype=torch.float16),
        "antiquant_offset2": whole(3, WIDTH, seed=6, dtype=torch.float16),
    }  # fmt: skip
    out = torch_npu.npu_ffn(x.npu(), first.npu(), second.npu(), "relu", expert_tokens=TOKENS, **on_npu(options))
    weights = [
        (weight.double() + options[f"antiquant_offset{n}"].double().unsqueeze(1)) * options[f"antiquant_scale{n}"].double().unsqueeze(1)
        for n, weight in ((1, first), (2, second))
    ]
    expected = by_expert(x, lambda rows, e: torch.relu(rows.double() @ weights[0][e]) @ weights[1][e])
    torch.testing.assert_close(out.cpu().double(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_int8_on_both_sides(dtype):
    x, first, second = whole(ROWS, WIDTH, seed=0), whole(WIDTH, HIDDEN, seed=1), whole(HIDDEN, WIDTH, seed=2)
    scale, offset = torch.tensor([7.0]), torch.tensor([3.0])
    kind = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
    factors = [real(n, seed=n, dtype=torch.float32).abs().div(32).to(kind) for n in (HIDDEN, WIDTH)]
    bias = whole(HIDDEN, seed=8, dtype=torch.int32)
    options = {"scale": scale, "offset": offset, "deq_scale1": factors[0], "deq_scale2": factors[1], "bias1": bias, "output_dtype": dtype}
    out = torch_npu.npu_ffn(x.npu(), first.npu(), second.npu(), "relu", **on_npu(options))
    hidden = ((x.long() @ first.long() + bias).float() * factors[0].float()).half()
    integers = torch.relu(hidden).float().mul(7.0).add(3.0).round().clamp(-128, 127).long()
    assert torch.equal(out.cpu(), ((integers @ second.long()).float() * factors[1].float()).to(dtype))
