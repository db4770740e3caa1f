"""Quantization-aware training: what will be served in four and eight bits is trained as it will be. Knows no device.

What is quantised and how is said in `quantised.py`. Here are three stages: a run; its first step with weights alone quantised; and its
first step with each operand that is quantised compared bit by bit, activations too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.case import Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.held_out import HeldOut
from harness.checks.parameters import Parameters
from harness.checks.special_values import SpecialValues
from harness.checks.trajectory import Trajectory
from harness.inputs import Inputs
from reference.oracles.block_formats import FP8_WEIGHTS, MXFP4, Format, codes
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.float64 import Float64
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.promises import on_tiny_families
from suites.workloads.post_training.quantised import Place, Quantised, at, formats, places, quantise_activations
from suites.workloads.post_training.sft import logits, next_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SERIES = ("loss", "grad_norm")
_STIRRED = 2.0**-15  # how far reruns move a weight, of itself: some ten codes flip at each step, where devices differ by one now and then


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
        quantise_activations(module, places(module, chosen))
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
    for label, form in (("codes_4", MXFP4), ("codes_8", FP8_WEIGHTS)):
        weight = held[next(name for name, own in chosen.items() if own.element is form.element)].detach()
        found[label] = codes(form.quantise(weight).numbers, form.element)
    return found


def qat_operands(inputs: Inputs, /, *, model: str, batch: int, length: int, learning_rate: float) -> Step:
    """Take one step of training through quantised weights and activations, where each place quantises given numbers.

    They are what the model that is not quantised has there in float64, rounded to bfloat16, so all sides have the same codes whatever their
    roundoffs are; gradients pass on to what the model itself has there. Outputs: those of the loop, and as each layer was given them
    `first/weight/<parameter>` and `first/activation/<number>/<module>`, float32. Raises AssayError as `qat` does.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    host = token_batches(language_model.tokenizer, batch, length, 1)[0]
    chosen = formats(language_model.module)
    where = places(language_model.module, chosen)
    known = inputs.given_all("activations", exact_activations(language_model.module, where, host))
    tokens = inputs.given("tokens", host)
    module = place(inputs, language_model.module, torch.float32)
    for one, given in zip(where, known, strict=True):
        at(module, one, _instead_by(given))
    quantise_activations(module, where)
    seen = Seen(module, chosen, where)
    served = Quantised(module, chosen)

    def loss(_: nn.Module, given: Batch) -> Mapping[str, Tensor]:
        return next_token(served, given)

    def first(_: nn.Module, given: Batch) -> Mapping[str, Tensor]:
        return {**logits(served, given), **seen.operands}

    objective = Objective(loss, tokens=batch * length, first=first)
    return train(inputs, module, [{"tokens": tokens}], objective, learning_rate=learning_rate, detailed=True)


class Seen:
    """Watches a model from outside: `operands` are what its quantised layers were last given, whatever is said to have quantised it."""

    def __init__(self, model: nn.Module, chosen: Mapping[str, Format], where: tuple[Place, ...]) -> None:
        self.operands: dict[str, Tensor] = {}
        for name in chosen:
            layer, _, own = name.rpartition(".")
            model.get_submodule(layer).register_forward_pre_hook(
                lambda module, _, n=name, o=own: self._keep(f"weight/{n}", getattr(module, o))
            )
        for number, one in enumerate(where):
            at(model, one, lambda x, name=f"activation/{number:02d}/{one.module}": self._kept(name, x))  # type: ignore[misc]

    def _keep(self, name: str, x: Tensor) -> None:
        self.operands[name] = x.detach().float()

    def _kept(self, name: str, x: Tensor) -> Tensor:
        self._keep(name, x)
        return x


class Instead(torch.autograd.Function):
    """Another tensor in the place of one; its gradient is that one's."""

    @staticmethod
    def forward(_: Any, x: Tensor, other: Tensor) -> Tensor:
        """Return `other` in the dtype of x."""
        return other.to(x.dtype)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Pass the gradient on."""
        return gradients[0], None


def _instead_by(given: Tensor) -> Callable[[Tensor], Tensor]:
    instead: Callable[..., Tensor] = Instead.apply
    return lambda x: instead(x, given)


def exact_activations(
    model: PreTrainedModel, where: tuple[Place, ...], tokens: Tensor, digits: torch.dtype = torch.bfloat16
) -> list[Tensor]:  # fmt: skip
    """Return what a float64 copy of a host model has in these places, float32 with no more digits than `digits` has."""
    exact = deepcopy(model).double()
    if hasattr(exact, "set_experts_implementation"):
        exact.set_experts_implementation("eager")
    found: dict[Place, Tensor] = {}

    def keep(one: Place, x: Tensor) -> Tensor:
        found[one] = x
        return x

    for one in where:
        at(exact, one, lambda x, one=one: keep(one, x))  # type: ignore[misc]
    with torch.no_grad(), Float64():
        exact(input_ids=tokens, use_cache=False)
    return [found[one].to(digits).float() for one in where]  # not within Float64, which would keep the digits


_PARAMS: dict[str, Scalar] = {"batch": 2, "length": 64, "learning_rate": 2e-3}

# Rounding is a step function. On the first step all sides hold the same weights, and so the same codes: with weights alone quantised it
# is judged as sharply as any, and with activations too where those that are rounded are given. Else weights, later, and activations from
# the start differ by roundoffs, and now and then one lands on the other side of a step, on one device and not on the other; in float32 a
# run has a few of these or none, and one moves the updates of single parameters by per cents. What many of them do to loss and gradient
# norm is measured on reruns of the reference, and that is all that is asked of the run. The update of the one step is not compared:
# AdamW's first says little more than the gradient's signs, and one element whose gradient is as small as its error is 6 % of the update
# of 1,024, on one sound device and not on the other.
_FIRST: tuple[Promise, ...] = (Closeness(only=("first/log*",)), Exact(only=("first/codes_*",)), Parameters(prefix="grad/"))
_OPERANDS: tuple[Promise, ...] = (
    Closeness(only=("first/log*",)), Exact(only=("first/weight/*", "first/activation/*")), Parameters(prefix="grad/"),
)  # fmt: skip
_RUN: tuple[Promise, ...] = (SpecialValues(only=_SERIES), Trajectory(series=_SERIES), HeldOut())

CASES = (
    *on_tiny_families("qat-first", qat, _FIRST, {**_PARAMS, "steps": 1, "activations": False, "detailed": True}),
    *on_tiny_families("qat-operands", qat_operands, _OPERANDS, _PARAMS),
    *on_tiny_families("qat", qat, _RUN, {**_PARAMS, "steps": 4, "activations": True}),
)
