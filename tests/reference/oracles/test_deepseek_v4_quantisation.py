"""V4's definition with four bits in the indexer and eight in the entries: against transformers with the roundings put in from outside."""

import copy
from dataclasses import replace

import pytest
import torch

from reference.oracles.block_formats import FP8_ENTRIES, MXFP4
from reference.oracles.deepseek_v4 import quantisation
from reference.oracles.deepseek_v4.model import forward
from reference.oracles.deepseek_v4.quantisation import cached, four_bits
from suites.workloads.float64 import Float64
from suites.workloads.post_training.quantised import places, quantise_activations
from tests.reference.oracles.tiny_v4 import KINDS, config_of, distance, theirs, tokens, weights_of


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_transformers_whose_turned_part_stays_wide(kind, monkeypatch):
    monkeypatch.setattr(quantisation, "in_bfloat16", lambda x: x)
    model, ids = copy.deepcopy(theirs(kind)), tokens(2, 64)
    quantise_activations(model, places(model, {}))
    with torch.no_grad(), Float64():
        expected = model(input_ids=ids, use_cache=False).logits
    plain, ours = (forward(weights_of(kind), replace(config_of(kind), quantised=q), ids).logits for q in (False, True))
    assert distance(ours, expected) < 1e-12
    assert distance(plain, expected) > 1e-3


def test_it_is_off_by_default_and_every_weight_has_a_gradient_with_it():
    config = config_of("flash")
    assert not config.quantised
    weights = weights_of("flash", leaves=True)
    result = forward(weights, replace(config, quantised=True), tokens(1, 64))
    (result.logits.square().mean() + sum(result.indexer_losses())).backward()
    assert all(w.grad is not None for w in weights.values() if w.requires_grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounds_to_the_bit_and_lets_the_gradient_pass(dtype):
    x = (torch.randn(64, 96, dtype=dtype) * torch.exp2(torch.randint(-20, 20, (64, 96)).to(dtype))).requires_grad_()
    upstream = torch.randn(64, 96, dtype=dtype)
    for made, expected in (
        (four_bits(x), MXFP4.round_trip(x.detach())),
        (cached(x, 16)[:, :-16], FP8_ENTRIES.round_trip(x.detach()[:, :-16])),
        (cached(x, 16)[:, -16:], x.detach()[:, -16:].bfloat16().to(dtype)),
    ):
        assert torch.equal(made, expected)
    assert torch.equal(torch.autograd.grad(cached(x, 16), x, upstream)[0], upstream)
