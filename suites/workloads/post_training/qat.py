"""Quantization-aware training: what will be served in four and eight bits is trained as it will be. Knows no device.

As DeepSeek-V4 has it (arXiv 2606.19348, on FP4 quantization-aware training): weights of the experts are MXFP4 in the forward pass (of a
family without experts, those of its MLP), the other linear layers are FP8, weights in blocks of 128 x 128 and activations in blocks of
1 x 128; router, compressor, indexer weights, embedding and head are not quantised. The master weights are float32, and gradients pass
straight through the rounding (Bengio, Leonard and Courville, arXiv 1308.3432). The scales are powers of two under which nothing
saturates, as in DeepSeek's code.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from harness.case import Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.held_out import HeldOut
from harness.checks.parameters import Parameters
from harness.checks.special_values import SpecialValues
from harness.checks.trajectory import Trajectory
from harness.errors import AssayError
from harness.inputs import Inputs
from reference.oracles.block_formats import ACTIVATION_BLOCK, E2M1, E4M3, MX_BLOCK, WEIGHT_BLOCK, Element, Rule, codes, quantise, round_trip
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.promises import on_tiny_families
from suites.workloads.post_training.sft import logits, next_token

_SERIES = ("loss", "grad_norm")
_STIRRED = 2.0**-15  # how far reruns move a weight, of itself: some ten codes flip at each step, where devices differ by one now and then

_KEPT_WIDE = re.compile(r"lm_head$|\.gate$|\.compressor\.(indexer\.)?(kv|gate)_proj$|\.weights_proj$")
_EXPERTS = re.compile(r"\.experts\.(gate_up|down)_proj$")
_MLP = re.compile(r"\.mlp\.(gate|up|down)_proj\.weight$")


@dataclass(frozen=True)
class Format:
    """An element type with the block that shares a scale."""

    element: Element
    block: tuple[int, int]


MXFP4, FP8 = Format(E2M1, MX_BLOCK), Format(E4M3, WEIGHT_BLOCK)


class StraightThrough(torch.autograd.Function):
    """The round trip through a format; the gradient of what comes out is taken for that of what went in."""

    @staticmethod
    def forward(_: Any, x: Tensor, element: Element, block: tuple[int, int]) -> Tensor:
        """Return x after quantisation, in its own dtype; computed in float32 at least."""
        wide = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        rows = wide if x.ndim > 1 else wide[None]
        return round_trip(rows, element, block, Rule.CEILING).reshape(x.shape).to(x.dtype)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Pass the gradient on."""
        return gradients[0], None, None


def formats(model: nn.Module) -> Mapping[str, Format]:
    """Return the format of each parameter that is quantised. Raises AssayError for a model without experts and MLP."""
    names = [name for name, _ in model.named_parameters()]
    four = _EXPERTS if any(_EXPERTS.search(name) for name in names) else _MLP
    found = {name: MXFP4 for name in names if four.search(name)}
    if not found:
        raise AssayError(f"{type(model).__name__}: no experts and no MLP to quantise to four bits; choose another model")
    linear = [f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Linear) and not _KEPT_WIDE.search(name)]
    return found | {name: FP8 for name in linear if name not in found}


class Quantised(nn.Module):
    """A model that computes with its weights as they are after quantisation; the weights themselves stay as they are, and are trained."""

    def __init__(self, model: nn.Module, chosen: Mapping[str, Format]) -> None:
        super().__init__()
        self.model, self.chosen = model, chosen

    def forward(self, **arguments: Any) -> Any:
        """Call the model; arguments and result are its own."""
        through: Callable[..., Tensor] = StraightThrough.apply
        held = dict(self.model.named_parameters())
        weights = {name: through(held[name], form.element, form.block) for name, form in self.chosen.items()}
        return functional_call(self.model, weights, args=(), kwargs=arguments)


def quantise_activations(model: nn.Module, chosen: Mapping[str, Format]) -> None:
    """From now on let each layer with a quantised weight, and the experts as a whole, quantise what they are given: FP8, 1 x 128."""
    through: Callable[..., Tensor] = StraightThrough.apply

    def before(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (through(given[0], E4M3, ACTIVATION_BLOCK), *given[1:])

    for layer in dict.fromkeys(name.rpartition(".")[0] for name in chosen):
        model.get_submodule(layer).register_forward_pre_hook(before)


def qat(
    inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int, learning_rate: float, activations: bool, detailed: bool = False,
) -> Step:  # fmt: skip
    """Train every weight through its quantisation: one AdamW step a call, `batch` rows of `length` tokens, work counted in tokens.

    Outputs and the loop itself: see `loop.train`; without `detailed` there are neither `first/...` nor sketches. `first/codes_4` and
    `first/codes_8`, uint8, are the bits of the first weight in each format. Raises AssayError: model not to be loaded, with dropout, or
    without experts and MLP.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    batches = inputs.given("tokens", token_batches(language_model.tokenizer, batch, length, steps))
    unseen = () if detailed else token_batches(language_model.tokenizer, batch, length, 2, start=steps)
    held_out = [{"tokens": inputs.given(f"held_out_{i}", tokens)} for i, tokens in enumerate(unseen)]
    module = place(inputs, language_model.module, torch.float32, moved_by=_STIRRED)
    chosen = formats(module)
    if activations:
        quantise_activations(module, chosen)
    served = Quantised(module, chosen)

    def loss(_: nn.Module, given: Batch) -> Mapping[str, Tensor]:
        return next_token(served, given)

    def first(_: nn.Module, given: Batch) -> Mapping[str, Tensor]:
        return {**logits(served, given), **first_codes(module, chosen)}

    return train(
        inputs, module, [{"tokens": tokens} for tokens in batches], Objective(loss, tokens=batch * length, first=first),
        learning_rate=learning_rate, held_out=held_out, sketches=detailed, detailed=detailed,
    )  # fmt: skip


def first_codes(model: nn.Module, chosen: Mapping[str, Format]) -> dict[str, Tensor]:
    """Return `codes_4` and `codes_8`, uint8: the first weight in each format, in the shape of the weight."""
    held = dict(model.named_parameters())
    found = {}
    for label, form in (("codes_4", MXFP4), ("codes_8", FP8)):
        weight = held[next(name for name, own in chosen.items() if own is form)].detach()
        found[label] = codes(quantise(weight, form.element, form.block, Rule.CEILING).numbers, form.element)
    return found


_PARAMS: dict[str, Scalar] = {"batch": 2, "length": 64, "learning_rate": 2e-3}

# Rounding is a step function. On the first step all sides hold the same weights, and so the same codes: with weights alone quantised it
# is judged as sharply as any. Later weights, and activations from the start, differ by roundoffs, and now and then one lands on the other
# side of a step, on one device and not on the other; in float32 a run has a few of these or none, and one moves the updates of single
# parameters by per cents. What many of them do to loss and gradient norm is measured on reruns of the reference, and that is all that is
# asked of the run.
_FIRST: tuple[Promise, ...] = (
    Closeness(only=("first/log*",)), Exact(only=("first/codes_*",)), Parameters(prefix="grad/"), Parameters(prefix="update/"),
)  # fmt: skip
_RUN: tuple[Promise, ...] = (SpecialValues(only=_SERIES), Trajectory(series=_SERIES), HeldOut())

CASES = (
    *on_tiny_families("qat-first", qat, _FIRST, {**_PARAMS, "steps": 1, "activations": False, "detailed": True}),
    *on_tiny_families("qat", qat, _RUN, {**_PARAMS, "steps": 4, "activations": True}),
)
