"""Faults and benign variants of quantised training: what is rounded, by which scales, and where the gradient goes. Knows no case."""

from typing import Any

import torch
from torch import Tensor

from harness.verdict import Cause
from reference.oracles.block_formats import E4M3, FP8_ACTIVATIONS, MX_BLOCK, Element, Format
from suites.mutation.seeds import Seed, benign, edited, fault, replaced

_FORMATS = "reference.oracles.block_formats"
_QUANTISED = "suites.workloads.post_training.quantised"
_LAYERS, _MODELS, _ATTENTION = "post_training.quantised_layer", "post_training.qat", "post_training.quantised_attention"
_V4, _FLASH = "transformers.models.deepseek_v4.modeling_deepseek_v4", "deepseek_v4-flash"
_PLAIN_SLIP = "no report known, a plausible slip: "
_ROUNDED = (Cause.PRECISION, Cause.VALUES)


class _Masked(torch.autograd.Function):
    """Straight through only where the magnitude is below half of the block's largest, as clipped quantisers do beyond their range."""

    @staticmethod
    def forward(context: Any, x: Tensor, form: Format) -> Tensor:
        context.save_for_backward(x)
        return form.round_trip(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = context.saved_tensors
        return gradients[0] * (x.abs() <= 0.9 * x.abs().amax()), None


class _ByDifference:
    """The straight-through estimator as it is mostly written: x plus a difference that has no gradient."""

    @staticmethod
    def apply(x: Tensor, form: Format) -> Tensor:
        return x + (form.round_trip(x.detach()) - x).detach()


def _ties_away(_: Any) -> Any:
    def to_element(t: Tensor, element: Element) -> Tensor:
        power = torch.floor(torch.log2(t.abs().clamp_min(2.0**element.least))).clamp(element.least, element.top)
        step = torch.exp2(power - element.mantissa)
        return (torch.copysign(torch.floor(2 * t.abs() / step + 1).div(2).floor() * step, t)).clamp(-element.limit, element.limit)

    return to_element


def _halves(right: Any) -> Any:
    def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        middle = x.shape[-1] // 2
        whole: Tensor = right(x[..., middle:], weight[:, middle:], bias) + right(x[..., :middle], weight[:, :middle])
        return whole

    return linear


def _rule(name: str, line: str, instead: str, source: str, causes: tuple[Cause, ...] = _ROUNDED) -> Seed:
    return fault(name, "llama", _LAYERS, causes, source, edited(f"{_FORMATS}:quantise", scale=(line, instead)))


_CEILING = "power = power + (significand > element.room).long()"

FAULTS: tuple[Seed, ...] = (
    fault(
        "activations-not-quantised", "llama", _LAYERS, _ROUNDED, _PLAIN_SLIP + "weights alone are",
        edited(f"{_QUANTISED}:quantise_activations", act=("at(model, place, place.rounded)", "pass")),
    ),
    fault(
        "activations-not-quantised-in-a-model", _FLASH, _MODELS, _ROUNDED, _PLAIN_SLIP + "weights alone are",
        edited(f"{_QUANTISED}:quantise_activations", act=("at(model, place, place.rounded)", "pass")),
    ),
    fault(
        "experts-given-as-they-are", "qwen3_moe", _MODELS, _ROUNDED, _PLAIN_SLIP + "a hook on linear layers alone",
        edited(f"{_QUANTISED}:quantise_activations", skip=("in where:", "in (p for p in where if 'experts' not in p.module):")),
    ),
    _rule("scales-by-floor", "if rule is Rule.CEILING:", "if rule is None:", "arXiv 2310.10537: OCP's rule for DeepSeek's"),
    _rule("scales-half-as-large", _CEILING, _CEILING + " - 1", _PLAIN_SLIP + "the largest saturate"),
    _rule("scales-of-the-limit-doubled", _CEILING, _CEILING.replace(">", ">="), _PLAIN_SLIP + "a block that just fits is taken not to"),
    _rule("scales-by-ceiling-of-the-logarithm", _CEILING, _CEILING.replace("element.room", "1.0"), _PLAIN_SLIP + "ceil(log2 a) - top"),
    fault(
        "ties-away-from-zero", "llama", _LAYERS, (*_ROUNDED,), _PLAIN_SLIP + "ties to even are IEEE 754's",
        replaced(f"{_FORMATS}:to_element", _ties_away),
    ),
    fault(
        "weights-scaled-by-rows", "llama", _LAYERS, (Cause.PRECISION, Cause.SPARSE), _PLAIN_SLIP + "blocks of 1 x 128 for 128 x 128",
        replaced(f"{_QUANTISED}:FP8_WEIGHTS", lambda right: FP8_ACTIVATIONS),
    ),
    fault(
        "eight-bits-for-four", "qwen3_moe", _LAYERS, _ROUNDED, "modelscope/ms-swift#9724: experts of four bits taken for eight",
        replaced(f"{_QUANTISED}:MXFP4", lambda right: Format(E4M3, MX_BLOCK)),
    ),
    fault(
        "straight-through-in-range-only", "llama", _LAYERS, (Cause.GRADIENT, Cause.SPARSE), _PLAIN_SLIP + "a mask where nothing saturates",
        replaced(f"{_QUANTISED}:StraightThrough", lambda right: _Masked),
    ),
    fault(
        "gradient-quantised", "llama", _LAYERS, (Cause.GRADIENT, Cause.PRECISION), _PLAIN_SLIP + "backward rounds as forward does",
        edited(
            f"{_QUANTISED}:StraightThrough.backward",
            gradient=("return gradients[0], None", "return FP8_ACTIVATIONS.round_trip(gradients[0]), None"),
        ),
    ),
    fault(
        "indexer-not-in-four-bits", _FLASH, _ATTENTION, (Cause.CHOICE, Cause.PRECISION), "arXiv 2606.19348: its queries and keys are",
        edited(f"{_QUANTISED}:places", form=("Place(name, MXFP4, argument)", "Place(name, FP8_ACTIVATIONS, argument)")),
    ),
    fault(
        "turned-part-in-eight-bits", _FLASH, _MODELS, (Cause.TAIL, Cause.PRECISION), "arXiv 2606.19348: it stays bfloat16",
        edited(f"{_QUANTISED}:places", width=("None, config.head_dim - config.qk_rope_head_dim", "None, None")),
    ),
    fault(
        "entries-not-bfloat16", _FLASH, _ATTENTION, (Cause.TAIL, Cause.PRECISION), _PLAIN_SLIP + "they stay float32",
        edited(f"{_QUANTISED}:stored", turned=("moving.detach().bfloat16().to(moving.dtype)", "moving.detach()")),
    ),
)  # fmt: skip

BENIGN: tuple[Seed, ...] = (
    benign(
        "straight-through-by-difference", "llama", (_LAYERS, _MODELS), "x + (rounded - x) is exact (Sterbenz)",
        replaced(f"{_QUANTISED}:StraightThrough", lambda right: _ByDifference),
    ),
    benign(
        "scores-by-einsum", _FLASH, (_ATTENTION, _MODELS), "the sum over heads as a product",
        edited(
            f"{_V4}:DeepseekV4IndexerScorer.forward",
            sum=("(scores * weights.unsqueeze(-1)).sum(dim=2)", "torch.einsum('bsht,bsh->bst', scores, weights)"),
        ),
    ),
    benign(
        "quantised-product-in-halves", "llama", (_LAYERS, _MODELS), "another order of a sum",
        replaced("torch.nn.functional:linear", _halves),
    ),
)  # fmt: skip
