"""LoRA, with a tiny model in place of the real one."""

import math

import pytest
import torch
from torch import nn

from harness.errors import AssayError
from suites.assets.families import PREFIX, tiny_module
from suites.workloads.post_training import lora as module
from suites.workloads.post_training import sft as sft_module
from suites.workloads.post_training.lora import Adapter, adapt, lora
from suites.workloads.post_training.sft import sft
from tests.suites.workloads.tiny_model import inputs, run, tiny, use_tiny

COMMON = {"model": "default", "batch": 2, "length": 16, "steps": 3, "learning_rate": 1e-2}
PARAMS = {**COMMON, "rank": 4, "alpha": 8.0}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    use_tiny(monkeypatch, module, sft_module)


def test_adapter_is_a_low_rank_change_of_the_weight():
    base, a = nn.Linear(6, 5).double(), torch.randn(2, 6, dtype=torch.float64)
    adapter = Adapter(base, a, alpha=3.0)
    adapter.b.data.normal_()
    x = torch.randn(4, 6, dtype=torch.float64)
    merged = base.weight + 3.0 / 2 * adapter.b @ adapter.a
    torch.testing.assert_close(adapter(x), x @ merged.T + base.bias, rtol=1e-12, atol=1e-12)


def test_begins_at_the_base_model():
    adapted, full = run(lora(inputs(), **PARAMS)), run(sft(inputs(), **COMMON))
    assert torch.equal(adapted["loss"], full["loss"])


def test_only_the_adapters_are_trained():
    outputs = run(lora(inputs(), **PARAMS), 3)
    expected = {f"model.layers.{n}.self_attn.{p}_proj.{m}" for n in range(2) for p in "qv" for m in "ab"}
    assert {name.split("/")[1] for name in outputs if "/" in name} == expected


@pytest.mark.parametrize(
    ("family", "adapted"),
    [("llama", {"q_proj", "v_proj"}), ("deepseek_v32", {"q_b_proj", "kv_b_proj"}), ("deepseek_v4-flash", {"q_b_proj", "kv_proj"})],
)
def test_each_family_is_adapted_where_queries_and_values_are_made(family, adapted):
    model = tiny_module(PREFIX + family)
    adapt(inputs(), model, rank=2, alpha=4.0)
    names = {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    layers = model.config.num_hidden_layers
    assert names == {f"model.layers.{n}.self_attn.{part}" for n in range(layers) for part in adapted}


def test_first_gradient_moves_b_and_not_a():
    """The gradient of A is proportional to B, which is zero."""
    outputs = run(lora(inputs(), **PARAMS))
    for name, tensor in outputs.items():
        if name.startswith("grad/"):
            assert bool(tensor.any()) == name.endswith(".b"), name


def test_training_lowers_the_loss():
    losses = run(lora(inputs(), **{**PARAMS, "steps": 1}), 15)["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_twice_gives_the_same_bits():
    first, second = (run(lora(inputs(), **PARAMS), 3) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_golden_is_float64_and_close():
    device, golden = inputs(), inputs(golden=True)
    ours, exact = run(lora(device, **PARAMS), 3), run(lora(golden, **PARAMS), 3)
    assert device.digests == golden.digests
    assert exact["loss"].dtype is torch.float64
    torch.testing.assert_close(ours["loss"].double(), exact["loss"], rtol=2e-6, atol=0)


def test_a_has_the_spread_of_the_authors_code():
    model = tiny()
    adapt(inputs(), model, rank=8, alpha=16.0)
    a = torch.cat([p.flatten() for name, p in model.named_parameters() if name.endswith(".a")])
    assert a.std().item() == pytest.approx(1 / math.sqrt(3 * 64), rel=0.1)
    assert {p.requires_grad for name, p in model.named_parameters() if not name.endswith((".a", ".b"))} == {False}


def test_a_model_without_such_projections_is_refused():
    model = tiny()
    model.model.layers = nn.ModuleList()
    with pytest.raises(AssayError, match="llama: no linear q_proj or v_proj"):
        adapt(inputs(), model, rank=8, alpha=16.0)
