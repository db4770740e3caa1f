"""Tiny DeepSeek V4 models for both programs, in float64: weights, tokens, and transformers' model with exact rotary frequencies."""

from functools import lru_cache

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.inputs import Inputs, draw_integers
from reference.oracles.deepseek_v4.config import Config
from reference.oracles.deepseek_v4.model import forward
from reference.oracles.deepseek_v4.rotary import frequencies
from reference.oracles.deepseek_v4.samples import Samples
from suites.assets.families import tiny_module
from suites.workloads.float64 import Float64
from suites.workloads.post_training.deepseek_v4 import further_weights, sharpened

KINDS = ("flash", "pro")


@lru_cache
def theirs(kind: str) -> PreTrainedModel:
    """transformers' model in float64; it rounds its rotary frequencies to float32, so they are put in exactly."""
    model = sharpened(tiny_module(f"tiny:deepseek_v4-{kind}")).double()
    model.set_experts_implementation("eager")
    return exact_frequencies(model)


def exact_frequencies(model: PreTrainedModel) -> PreTrainedModel:
    config = Config.of(model.config)
    for part in model.modules():
        if hasattr(part, "main_inv_freq"):
            part.main_inv_freq = frequencies(config.main, config.qk_rope_head_dim)
            part.compress_inv_freq = frequencies(config.compress, config.qk_rope_head_dim)
    return model


def config_of(kind: str) -> Config:
    return Config.of(theirs(kind).config)


def weights_of(kind: str, leaves: bool = False) -> dict[str, Tensor]:
    """The same weights for ours; with `leaves` copies that take gradients."""
    state = {name: weight.detach() for name, weight in theirs(kind).state_dict().items()}
    if not leaves:
        return state
    return {name: w.clone().requires_grad_() if w.is_floating_point() and "correction" not in name else w for name, w in state.items()}


def with_mtp(kind: str, leaves: bool = False) -> dict[str, Tensor]:
    """Weights of the model and of an MTP module."""
    drawn = further_weights(_host(), theirs(kind), config_of(kind))
    mtp = {name: weight.detach().double().requires_grad_(leaves and weight.requires_grad) for name, weight in drawn.items()}
    return {**weights_of(kind, leaves), **mtp}


def _host() -> Inputs:
    return Inputs(0, torch.float32, lambda tensor: tensor, torch.device("cpu"))


def tokens(batch: int, length: int, name: str = "tokens") -> Tensor:
    return torch.from_numpy(draw_integers(0, name, batch * length, 0, 256)).reshape(batch, length)


def our_logits(kind: str, ids: Tensor, samples: Samples | None = None) -> Tensor:
    return forward(weights_of(kind), config_of(kind), ids, samples).logits


@torch.no_grad()
def their_logits(kind: str, ids: Tensor, **arguments) -> Tensor:
    with Float64():
        return theirs(kind)(input_ids=ids, use_cache=False, **arguments).logits


def distance(one: Tensor, other: Tensor) -> float:
    """The relative distance of two results."""
    return float((one - other).norm() / other.norm())
