"""The optimizers that stages step with, by name: each takes the trained parameters by name and a learning rate. Knows no model."""

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from suites.workloads.post_training.muon import muon

_DECAY = 0.1


def _adamw(foreach: bool = False, fused: bool = False) -> Callable[[Mapping[str, nn.Parameter], float], Optimizer]:
    """Return what makes AdamW (Loshchilov and Hutter, ICLR 2019) one way: tensor by tensor, by lists of tensors, or fused."""
    return lambda trained, rate: torch.optim.AdamW(trained.values(), lr=rate, weight_decay=_DECAY, foreach=foreach, fused=fused)


OPTIMIZERS: Mapping[str, Callable[[Mapping[str, nn.Parameter], float], Optimizer]] = {
    "adamw": _adamw(), "adamw-foreach": _adamw(foreach=True), "adamw-fused": _adamw(fused=True), "muon": muon,
}  # fmt: skip
