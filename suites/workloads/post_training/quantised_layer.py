"""Quantised layers on given numbers, forward and backward: operands bit by bit, results as closely as any product. Knows no device.

What a model does with its activations depends on roundoffs, and a roundoff may change a code. Here a layer is given numbers, drawn on the
host, on which rules of quantisation differ; so codes and scales are the same on every sound device, and the golden is the float64 product
of the same quantised operands. Layers are the families' own, and quantised by the same code as in training.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.case import Case, Promise, Step
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference.oracles.block_formats import FP8_ACTIVATIONS, FP8_WEIGHTS, MXFP4, Format, codes, scale_bits
from suites.assets.families import FAMILIES, PREFIX, tiny_module
from suites.workloads.model import arithmetic
from suites.workloads.post_training.on_the_edge import on_the_edge
from suites.workloads.post_training.qat import Seen
from suites.workloads.post_training.quantised import Quantised, formats, places, quantise_activations

_WIDTH, _INNER, _TOKENS = 320, 96, 40  # two and a half blocks of 128 and ten of 32; three of 32
_LINEAR = ("self_attn.o_a_proj", "self_attn.q_proj", "self_attn.q_b_proj")


class Layer(nn.Module):
    """A linear layer and the experts of a family (of one without, a projection of its MLP), under their names, made wider."""

    def __init__(self, family: str) -> None:
        super().__init__()
        model = tiny_module(PREFIX + family)
        last: Any = model.get_submodule("model.layers")[-1]  # type: ignore[index]
        name = next(name for name in _LINEAR if name in dict(last.named_modules()))
        self.layer = nn.Module()
        self.layer.self_attn, self.layer.mlp = nn.Module(), nn.Module()
        self.linear, self.expert = f"layer.{name}", "layer.mlp.experts"
        self.layer.self_attn.add_module(name.rpartition(".")[2], _wider_linear(last.get_submodule(name)))
        if hasattr(last.mlp, "experts"):
            config = FAMILIES[family].tiny_config()
            config.update({"hidden_size": _WIDTH, "moe_intermediate_size": _INNER})
            config._experts_implementation = "eager"
            self.layer.mlp.experts = type(last.mlp.experts)(config)
        else:
            self.expert = "layer.mlp.up_proj"
            self.layer.mlp.up_proj = nn.Linear(_WIDTH, 2 * _INNER, bias=False)

    def forward(self, x: Tensor, y: Tensor, routing: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the linear layer makes of x [tokens, (groups,) width] and the experts of y [tokens, width]."""
        experts = self.get_submodule(self.expert)
        return self.get_submodule(self.linear)(x), experts(y, *routing) if self.expert.endswith("experts") else experts(y)


def _wider_linear(linear: nn.Module) -> nn.Module:
    groups = getattr(linear, "n_groups", None)
    if groups is None:
        return nn.Linear(_WIDTH, 2 * _INNER, bias=False)
    wider: nn.Module = type(linear)(_WIDTH, 2 * _INNER, groups)
    return wider


def quantised_layer(inputs: Inputs, /, *, model: str) -> Step:
    """Run a family's linear layer and its experts forward and backward through their quantisation; work is counted in tokens.

    Outputs, with <name> a parameter or `activation/<number>/<module>`: `operand/<name>`, float32, as the layer was given it; `codes/<name>`
    and `scales/<name>`, uint8, of the format that it should have; `out/linear` and `out/experts`; `grad/x`, `grad/y` and
    `grad/<parameter>`. Raises AssayError: no such family.
    """
    layer = Layer(model.removeprefix(PREFIX))
    chosen = formats(layer)
    expected = {name: FP8_WEIGHTS if ".self_attn." in name else MXFP4 for name, _ in layer.named_parameters()}
    for name, parameter in layer.named_parameters():
        parameter.data = on_the_edge(inputs.seed, name, parameter.shape, expected[name], torch.float32)
    placed = inputs.module("weights", layer, torch.float32)
    groups = getattr(layer.get_submodule(layer.linear), "n_groups", None)
    shape = (_TOKENS, *([groups] if groups else []), _WIDTH)
    x, y = (_edged(inputs, name, size).requires_grad_() for name, size in (("x", shape), ("y", (_TOKENS, _WIDTH))))
    routing = _routing(inputs)
    where = places(layer, chosen)
    quantise_activations(placed, where)
    seen, served = Seen(placed, chosen, where), Quantised(placed, chosen)
    weights = dict(placed.named_parameters())
    with torch.no_grad(), arithmetic(inputs, mixed=True):
        shapes = [out.shape for out in served(x=x, y=y, routing=routing)]
    upstream = [inputs.normal(f"upstream_{i}", shape, dtype=torch.float32) for i, shape in enumerate(shapes)]
    given: dict[str, tuple[Tensor, Format]] = {f"weight/{name}": (weight, expected[name]) for name, weight in weights.items()}
    for number, one in enumerate(where):
        given[f"activation/{number:02d}/{one.module}"] = (x if one.module == layer.linear else y, FP8_ACTIVATIONS)

    def call() -> Mapping[str, Tensor]:
        with arithmetic(inputs, mixed=True):
            outs = served(x=x, y=y, routing=routing)
        named = {"x": x, "y": y, **weights}
        gradients = torch.autograd.grad(sum((o * u).sum() for o, u in zip(outs, upstream, strict=True)), list(named.values()))
        return {
            **{f"operand/{name}": operand for name, operand in seen.operands.items()},
            **{key: value for name, (one, form) in given.items() for key, value in _coded(name, one.detach(), form).items()},
            "out/linear": outs[0].detach(), "out/experts": outs[1].detach(),
            **{f"grad/{name}": gradient for name, gradient in zip(named, gradients, strict=True)},
        }  # fmt: skip

    return Step(call, work=_TOKENS, unit="tokens")


def _edged(inputs: Inputs, name: str, shape: tuple[int, ...]) -> Tensor:
    return inputs.given(name, on_the_edge(inputs.seed, name, shape, FP8_ACTIVATIONS, inputs.dtype))


def _routing(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return two different experts of eight for each token, int64, and their weights, float32."""
    first = inputs.integers("experts", (_TOKENS, 1), 0, 8)
    weights = inputs.normal("weights_of_experts", (_TOKENS, 2), 0.2, mean=1.0, dtype=torch.float32)
    return torch.cat([first, (first + 3) % 8], -1), weights


def _coded(name: str, x: Tensor, form: Format) -> dict[str, Tensor]:
    """Return the bits of numbers and scales after quantisation."""
    blocks = form.quantise(x if x.dtype is torch.float64 else x.float())
    return {f"codes/{name}": codes(blocks.numbers, form.element), f"scales/{name}": scale_bits(blocks.scale)}


_CHECKS: tuple[Promise, ...] = (
    Exact(only=("operand/*", "codes/*", "scales/*")), SpecialValues(only=("out/*", "grad/*")), Closeness(only=("out/*", "grad/*")),
)  # fmt: skip

CASES = tuple(
    Case(f"post_training/quantised-layer/{family}[{dtype}]", "post_training", quantised_layer, dtype, _CHECKS, {"model": PREFIX + family})
    for family in ("llama", "deepseek_v4-flash", "deepseek_v3", "qwen3_moe")
    for dtype in ("float32", "bfloat16")
)
