"""Hugging Face's attention implementations on the NPU, in a small Llama: logits and gradients against eager float64 on the CPU."""

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from emulator.operator import CALLS
from tests.emulator.ops.attention_definition import close

CONFIG = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TOKENS = torch.arange(24).reshape(2, 12) * 5 % 64
PADDED = torch.ones(2, 12, dtype=torch.long)
PADDED[1, 9:] = 0


def model(implementation: str) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**CONFIG, num_key_value_heads=2, attn_implementation=implementation))  # type: ignore[arg-type]


def logits_and_gradient(network: LlamaForCausalLM, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    out = network(input_ids=tokens, attention_mask=mask, use_cache=False).logits
    valid = torch.ones_like(tokens) if mask is None else mask
    (out * valid.unsqueeze(-1)).square().sum().backward()
    return out.detach() * valid.unsqueeze(-1), network.model.layers[0].self_attn.q_proj.weight.grad


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flash_attention_2"])
@pytest.mark.parametrize("mask", [None, PADDED], ids=["dense", "padded"])
def test_llama(implementation: str, mask: Tensor | None) -> None:
    expected = logits_and_gradient(model("eager").double(), TOKENS, mask)
    before = dict(CALLS)
    found = logits_and_gradient(model(implementation).npu(), TOKENS.npu(), None if mask is None else mask.npu())
    for one, other in zip(found, expected, strict=True):
        close(one, other, 1e-5)
    ran = {name for name, count in CALLS.items() if count > before.get(name, 0)}
    varlen = implementation == "flash_attention_2" and mask is not None
    fused = "aclnnFlashAttentionVarLenScore" if varlen else "aclnnFlashAttentionScore"
    assert (fused in ran) == (implementation != "eager")
