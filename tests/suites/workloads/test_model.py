"""Placing a model, and the arithmetic it runs in."""

import math

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

from harness.errors import AssayError
from suites.workloads.model import Float64, arithmetic, place, refuse_dropout
from tests.suites.workloads.tiny_model import batches, inputs, tiny


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.to(torch.float32),
        lambda x: x.to(dtype=torch.bfloat16),
        lambda x: x.float(),
        lambda x: x.half(),
        lambda x: x.bfloat16(),
        lambda x: x.type(torch.float32),
        lambda x: torch.softmax(x, dim=-1, dtype=torch.float32),
    ],
)
def test_float64_stays_float64(convert):
    with Float64():
        assert convert(torch.ones(3, dtype=torch.float64)).dtype is torch.float64


def test_integers_stay_integers():
    with Float64():
        assert torch.ones(3).to(torch.int64).dtype is torch.int64
        assert torch.arange(3).dtype is torch.int64


def test_normalisation_in_the_golden_is_float64():
    """The model's own code rounds to float32 there: 1e-8 off, not 1e-16."""
    x = torch.from_numpy(torch.linspace(-2, 3, 64).double().numpy()).reshape(1, 64)
    norm = LlamaRMSNorm(64).double()
    exact = x / torch.sqrt(x.square().mean() + norm.variance_epsilon)
    with Float64():
        assert (norm(x) - exact).abs().max() < 1e-15
    assert (norm(x) - exact).abs().max() > 1e-9


def test_rotary_angles_in_the_golden_are_float64():
    rotary = LlamaRotaryEmbedding(tiny().config)
    angle = 100 * float(rotary.inv_freq[1])
    with Float64():
        cosine, _ = rotary(torch.zeros(1, dtype=torch.float64), torch.tensor([[100]]))
    assert cosine[0, 0, 1].item() == pytest.approx(math.cos(angle), abs=1e-15)


def test_golden_logits_are_float64_throughout():
    """A whole model answers to a change of 1e-12, which float32 anywhere on the way would swallow."""
    model = place(inputs(golden=True), tiny())
    tokens = batches(None, 1, 8, 1)[0]
    embeddings = model.get_input_embeddings()(tokens).detach()
    change = 1e-12 * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad(), arithmetic(inputs(golden=True)):
        once, twice, back = (model(inputs_embeds=embeddings + n * change).logits for n in (0, 1, -1))
    assert (once - twice).abs().max() > 0
    torch.testing.assert_close(twice - once, once - back, rtol=0.01, atol=2e-14)


def test_mixed_precision_is_autocast():
    with arithmetic(inputs(torch.bfloat16), mixed=True):
        assert torch.is_autocast_enabled("cpu")
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype is torch.bfloat16


@pytest.mark.parametrize(("dtype", "mixed"), [(torch.float32, True), (torch.float32, False), (torch.bfloat16, False)])
def test_otherwise_no_autocast(dtype, mixed):
    with arithmetic(inputs(dtype), mixed):
        assert not torch.is_autocast_enabled("cpu")


def test_the_golden_never_uses_autocast():
    with arithmetic(inputs(torch.bfloat16, golden=True), mixed=True):
        assert not torch.is_autocast_enabled("cpu")


def test_weights_are_rounded_and_rotary_frequencies_are_not():
    placed = place(inputs(torch.bfloat16), tiny())
    assert placed.model.embed_tokens.weight.dtype is torch.bfloat16
    assert torch.equal(placed.model.rotary_emb.inv_freq, tiny().model.rotary_emb.inv_freq)


def test_the_golden_has_the_rounded_weights_widened():
    device, golden = inputs(torch.bfloat16), inputs(torch.bfloat16, golden=True)
    narrow, wide = place(device, tiny()), place(golden, tiny())
    assert device.digests == golden.digests
    assert torch.equal(narrow.model.embed_tokens.weight.double(), wide.model.embed_tokens.weight)
    assert wide.model.rotary_emb.inv_freq.dtype is torch.float64


def test_tied_weights_stay_tied():
    placed = place(inputs(torch.bfloat16, golden=True), tiny())
    assert placed.lm_head.weight is placed.model.embed_tokens.weight


def test_dropout_is_refused():
    with pytest.raises(AssayError, match=r"tiny: attention_dropout is 0\.1"):
        refuse_dropout(tiny(attention_dropout=0.1), "tiny")


def test_no_dropout_is_accepted():
    refuse_dropout(tiny(), "tiny")
