"""Training steps on the emulated NPU: optimizers, clipping, autocast and loss scaling leave the CPU's weights, bit for bit."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from tests.emulator.reached import reached
from tests.emulator.tiny_models import TOKENS, model

Maker = Callable[[PreTrainedModel], Optimizer]


def adamw(**options: Any) -> Maker:
    return lambda network: torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1, **options)


def sgd(**options: Any) -> Maker:
    return lambda network: torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, **options)


def muon(network: PreTrainedModel) -> Optimizer:
    hidden = [weight for name, weight in network.named_parameters() if weight.ndim == 2 and "embed" not in name and "lm_head" not in name]
    return torch.optim.Muon(hidden, lr=2e-3, weight_decay=0.1, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw")


def steps(device: str, make: Maker, count: int = 3, dtype: torch.dtype | None = None, scale: float | None = None) -> dict[str, Any]:
    """Train `count` steps with clipping; return losses, norms, scales and weights of every step, on the host."""
    network = model("llama", attn_implementation="eager").to(device)
    optimizer, tokens = make(network), TOKENS.to(device)
    scaler = torch.amp.GradScaler(device, init_scale=scale or 1.0, enabled=scale is not None)
    done: dict[str, Any] = {"losses": [], "norms": [], "scales": [], "weights": []}
    for _ in range(count):
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            loss = network(input_ids=tokens, labels=tokens).loss
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        done["losses"].append(loss.item())
        done["norms"].append(norm.item())
        done["scales"].append(scaler.get_scale())
        done["weights"].append([weight.detach().cpu().clone() for weight in network.parameters()])
    return done


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("losses", "norms", "scales"):
        torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(expected[name]), rtol=0, atol=0, equal_nan=True)
    for one, other in zip(found["weights"], expected["weights"], strict=True):
        assert all(torch.equal(weight, right) for weight, right in zip(one, other, strict=True))


def moved(weights: list[Tensor], before: list[Tensor]) -> bool:
    return any(not torch.equal(one, other) for one, other in zip(weights, before, strict=True))


# with an operator that shows which path torch_npu takes; foreach is the default of AdamW, as on CUDA
OPTIMIZERS = {
    "adamw": (adamw(), "aclnnForeachLerpScalar"),
    "adamw-plain": (adamw(foreach=False), "aclnnInplaceLerps"),
    "adamw-fused": (adamw(fused=True), "aclnnApplyAdamWV2"),
    "adamw-amsgrad": (adamw(amsgrad=True), "aclnnForeachMaximumList"),
    "muon": (muon, "aclnnLerps"),
    "sgd": (sgd(), "aclnnForeachAddListV2"),
    "sgd-plain": (sgd(foreach=False), "aclnnInplaceMuls"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    make, operator = OPTIMIZERS[name]
    expected = steps("cpu", make)
    with reached() as calls:
        found = steps("npu", make)
    same(found, expected)
    assert operator in calls
    assert all(norm > 0.5 for norm in found["norms"])  # so that clipping had something to do


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_autocast(dtype: torch.dtype) -> None:
    expected = steps("cpu", adamw(), dtype=dtype)
    with reached():
        found = steps("npu", adamw(), dtype=dtype)
    same(found, expected)
    assert found["losses"] != steps("npu", adamw())["losses"]


# bfloat16 overflows only where float32 does, so the scale begins next to its end
@pytest.mark.parametrize(("dtype", "scale"), [(torch.bfloat16, 2.0**127), (torch.float16, 2.0**23)], ids=["bfloat16", "float16"])
def test_overflow_skips_the_step_and_halves_the_scale(dtype: torch.dtype, scale: float) -> None:
    expected = steps("cpu", adamw(), 6, dtype, scale)
    with reached() as calls:
        found = steps("npu", adamw(), 6, dtype, scale)
    same(found, expected)
    assert {"aclnnForeachNonFiniteCheckAndUnscale", "aclnnAmpUpdateScale"} <= calls.keys()
    overflows = [not math.isfinite(norm) for norm in found["norms"]]
    assert overflows[0]
    assert not all(overflows)
    assert found["scales"] == [scale / 2 ** sum(overflows[: step + 1]) for step in range(6)]
    before = [weight.detach() for weight in model("llama").parameters()]
    for weights, overflow in zip(found["weights"], overflows, strict=True):
        assert moved(weights, before) != overflow
        before = weights
