"""One training step of DeepSeek V4, judged against our own definition of it (`reference/oracles/deepseek_v4`). Knows no device.

Of a device that runs transformers' V4 the other stages say whether it does what the reference device does, with the same code on both
sides: an error of that code is on both. Here the golden is another program, in float64, on the same weights and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.definition import Definition
from harness.checks.parameters import Parameters
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs, draw_normal
from harness.sketch import sketch
from reference.oracles.deepseek_v4.config import SCORED, Config
from reference.oracles.deepseek_v4.losses import losses, prediction_loss
from reference.oracles.deepseek_v4.model import MTP, forward
from reference.oracles.deepseek_v4.samples import Samples
from suites.assets.corpus import token_batches
from suites.assets.families import PREFIX
from suites.assets.language_model import LanguageModel, load
from suites.workloads.model import place

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: The weight of the MTP loss that V3 was trained with (arXiv 2412.19437, section 4.2); the indexer's own loss has the weight 1.
MTP_WEIGHT = 0.3

_LIMIT = 0.2  # a standard deviation or so of what a tiny expert's gate and up give
_MIXING = ("e_proj.weight", "h_proj.weight")
_NORMS = ("enorm.weight", "hnorm.weight", "norm.weight")


def deepseek_v4_reference(inputs: Inputs, /, *, model: str, batch: int, length: int, padding: int) -> Step:
    """Run transformers' model forward and backward once; the golden is our definition. Work is counted in tokens.

    The last `padding` tokens of the last row are padding, on the right, which transformers takes right. Outputs: `logits` [real tokens,
    vocabulary], `next_token` (mean cross-entropy in nats) and `grad/<parameter>`, sketches. Raises AssayError: no such model.
    """
    language_model = load(model)
    tokens, samples = _padded(inputs, language_model, batch, length, padding)
    real = samples.real.flatten().nonzero().flatten().to(inputs.device)
    module = place(inputs, sharpened(language_model.module), torch.float32)
    weights = _weights(module)

    def theirs() -> Tensor:
        mask = samples.real.long().to(inputs.device)
        found: Tensor = module(input_ids=tokens, attention_mask=mask, use_cache=False).logits
        return found

    def call() -> Mapping[str, Tensor]:
        module.zero_grad(set_to_none=True)
        logits = forward(weights, Config.of(module.config), tokens, samples).logits if inputs.golden else theirs()
        loss = prediction_loss(logits, tokens, samples, 1)
        torch.autograd.backward(loss)
        return {"logits": logits.detach().flatten(0, 1)[real], "next_token": loss.detach(), **_gradients(weights)}

    return Step(call, work=batch * length, unit="tokens")


def deepseek_v4_packed(inputs: Inputs, /, *, model: str, batch: int, length: int) -> Step:
    """Run our definition itself, forward and backward, on packed and padded rows: next token, MTP and the indexer's loss together.

    Each row is padding on the left, three samples, and padding on the right. Outputs: `next_token`, `further`, `indexer` (nats), and
    `grad/<parameter>`, sketches, of all parameters, those of the MTP module and the indexer among them. Raises AssayError: no such model.
    """
    language_model = load(model)
    segments = torch.stack([_segments(length, row) for row in range(batch)])
    samples = Samples.from_segments(inputs.given("segments", segments))
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, batch, length, 1)[0])
    module = place(inputs, sharpened(language_model.module), torch.float32)
    config = Config.of(module.config)
    weights = {**_weights(module), **further_weights(inputs, module, config)}

    def call() -> Mapping[str, Tensor]:
        for weight in weights.values():
            weight.grad = None
        found = losses(weights, config, tokens, samples)
        torch.autograd.backward(found.next_token + MTP_WEIGHT * found.further + found.indexer)
        return {**{name: loss.detach() for name, loss in found._asdict().items()}, **_gradients(weights)}

    return Step(call, work=batch * length, unit="tokens")


def sharpened(module: PreTrainedModel) -> PreTrainedModel:
    """Let each part of a tiny model count, in place: what hardly matters could be wrong unseen.

    Mixing and sinks are spread ten times as wide, so that the streams differ and the doubly stochastic matrix is far from its transpose;
    the bias of the choice of experts is drawn; SwiGLU is clamped where a good part of the values is.
    """
    with torch.no_grad():
        for name, weight in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith(("_hc.base", "hc_base", "sinks")):
                weight.mul_(10)
            elif name.endswith("correction_bias"):
                weight.copy_(0.2 * torch.from_numpy(draw_normal(0, name, weight.numel())))
    module.config.swiglu_limit = _LIMIT
    for part in module.modules():
        if "limit" in vars(part):
            vars(part)["limit"] = _LIMIT
    return module


def _padded(inputs: Inputs, language_model: LanguageModel, batch: int, length: int, padding: int) -> tuple[Tensor, Samples]:
    text = token_batches(language_model.tokenizer, batch, length, 1)[0]
    mask = torch.ones_like(text)
    if padding:
        mask[-1, -padding:] = 0
    text = torch.where(mask == 1, text, int(language_model.module.config.pad_token_id or 0))
    return inputs.given("tokens", text), Samples.from_mask(inputs.given("mask", mask))


def _segments(length: int, row: int) -> Tensor:
    """Return the segment ids of a row: padding, three samples whose lengths are no multiples of a window, padding; int64 [length]."""
    left, right = 3 + row, 2 + row
    first = (length - left - right) // 2 - 1
    second = (length - left - right - first) // 2 + 1
    lengths = (left, first, second, length - left - first - second - right, right)
    return torch.repeat_interleave(torch.tensor([0, 1, 2, 3, 0]), torch.tensor(lengths))


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Return what the definition takes: the parameters themselves, and the buffers of the router."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def further_weights(inputs: Inputs, module: PreTrainedModel, config: Config) -> dict[str, Tensor]:
    """Draw an MTP module, which transformers has not: a layer without compressor, two projections, three norms and a head of streams."""
    like = f"model.layers.{config.mlp_layer_types.index(SCORED)}."
    known = {n.removeprefix(like): tuple(w.shape) for n, w in _weights(module).items() if n.startswith(like) and "compressor" not in n}
    width = module.get_parameter("model.norm.weight").shape[0]
    shapes: dict[str, Sequence[int]] = {
        **known, **dict.fromkeys(_NORMS, (width,)), **dict.fromkeys(_MIXING, (width, width)),
        **{f"hc_head_{name}": tuple(module.get_parameter(f"model.hc_head.hc_{name}").shape) for name in ("fn", "base", "scale")},
    }  # fmt: skip
    return {MTP + name: _drawn(inputs, MTP + name, shape) for name, shape in shapes.items()}


def _drawn(inputs: Inputs, name: str, shape: Sequence[int]) -> Tensor:
    """Draw a weight as the tiny families are drawn: scales near 1, biases near 0, matrices with the spread that suits their use."""
    near_one = "norm" in name or name.endswith("scale")
    spread = 0.1 if len(shape) < 2 else 0.3 if "gate.weight" in name else 0.1 if name.endswith(_MIXING) else 0.02
    spread *= 10 if name.endswith(("base", "sinks")) else 1
    drawn = inputs.normal(name, shape, spread, mean=float(near_one), dtype=torch.float32)
    return drawn if "correction_bias" in name else drawn.requires_grad_()


def _gradients(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a sketch of each trained weight's gradient; of one that has none, zeros."""
    trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
    return {f"grad/{n}": sketch(torch.zeros_like(w) if w.grad is None else w.grad, n) for n, w in trained.items()}


_NAMES = {"flash": "deepseek_v4-flash", "pro": "deepseek_v4-pro"}
_GRADIENTS = (Parameters(prefix="grad/"), Definition(only=("grad/*",), limit=1e-3))


def _case(name: str, workload: Callable[..., Step], family: str, outputs: tuple[str, ...], **params: Scalar) -> Case:
    checks = (SpecialValues(only=outputs), Closeness(only=outputs), Definition(only=outputs, limit=1e-5), *_GRADIENTS)
    given = {"model": PREFIX + family, "batch": 2, **params}
    return Case(f"post_training/{name}[float32]", "post_training", workload, "float32", checks, given)


# float32 alone: in bfloat16 a sound device chooses other experts and entries here and there, and everything after that differs
CASES = tuple(
    case
    for short, family in _NAMES.items()
    for case in (
        _case(f"deepseek_v4-reference/{short}", deepseek_v4_reference, family, ("logits", "next_token"), length=64, padding=7),
        _case(f"deepseek_v4-packed/{short}", deepseek_v4_packed, family, ("next_token", "further", "indexer"), length=96),
    )
)
