"""Muon as an optimizer: what it steps how, against its oracle and AdamW's."""

import pytest
import torch
from torch import nn

from reference.oracles import adamw as adamw_oracle
from reference.oracles import muon as oracle
from suites.assets.families import tiny_module
from suites.workloads.post_training.muon import Muon, is_matrix, muon, orthogonalise


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (3, 7, 4), (1, 6)])
def test_orthogonalises_as_the_oracle_does(shape):
    torch.testing.assert_close(orthogonalise(drawn(*shape)), oracle.newton_schulz(drawn(*shape)), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", [(6, 10), (2, 6, 10)])
def test_steps_matrices_as_the_oracle_does(shape):
    gradients = [drawn(*shape, seed=s) for s in (1, 2, 3)]
    parameter = nn.Parameter(drawn(*shape))
    expected = oracle.muon(parameter.detach().clone(), gradients, lr=0.02)
    optimizer = muon({"weight": parameter}, 0.02)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), expected.param, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(optimizer.state[parameter]["momentum"], expected.momentum, rtol=1e-12, atol=1e-14)


def test_steps_all_else_as_adamw_does():
    gradients = [drawn(7, seed=s) for s in (1, 2, 3)]
    parameter = nn.Parameter(drawn(7))
    expected = adamw_oracle.adamw(parameter.detach().clone(), gradients, 0.02, (0.9, 0.95), 1e-20, 0.1)
    optimizer = muon({"norm.weight": parameter}, 0.02)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), expected.param, rtol=1e-12, atol=1e-14)


def test_what_of_deepseek_v4_is_a_matrix():
    names = {name for name, p in tiny_module("tiny:deepseek_v4-flash").named_parameters() if is_matrix(name, p)}
    layer = {name.removeprefix("model.layers.2.") for name in names if name.startswith("model.layers.2.")}
    assert {"mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.gate.weight", "attn_hc.fn", "self_attn.q_a_proj.weight"} <= layer
    assert not any(part in name for name in names for part in ("embed", "lm_head", "norm", "position_bias", "hc.base", "hc.scale", "sinks"))


def test_a_parameter_without_a_gradient_stays():
    parameter = nn.Parameter(drawn(3, 3))
    before = parameter.detach().clone()
    muon({"weight": parameter}, 0.1).step()
    assert torch.equal(parameter.detach(), before)


def test_closures_are_refused():
    with pytest.raises(ValueError, match="closure"):
        Muon([nn.Parameter(drawn(2, 2))], [], 0.1).step(lambda: 0.0)
