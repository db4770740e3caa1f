"""A model served in four and eight bits, by a round trip of weights and activations, layer by layer. Knows no device and no packed kernel.

The weights that are quantised are those of `suites/workloads/post_training/quantised.py`; router, compressor, embedding and head stay
as they are. They are rounded on the host, so all sides hold the same. Activations are rounded on the device, before each of these
layers. A roundoff may change a code, and one code is more than all roundoffs together; so the device is judged where each place is
given its numbers (what the model that is not quantised has there in float64, with the digits of the case's dtype), and a second, free
run tells what the format loses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from harness.case import Case, Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.divergence import Divergence
from harness.checks.signal_to_noise import SignalToNoise
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference.oracles.block_formats import FP8_ACTIVATIONS, FP8_WEIGHTS, MXFP4, MXFP8
from reference.oracles.hifloat8 import HIF8
from reference.oracles.integer_formats import INT4_GROUPS, INT8
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.inference.families import on_families
from suites.workloads.model import arithmetic, place
from suites.workloads.post_training.qat import exact_activations
from suites.workloads.post_training.quantised import Place, at, formats

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class RoundTrip(Protocol):
    """A number format, as far as it is needed here."""

    def round_trip(self, x: Tensor) -> Tensor:
        """Return what is left of x, in its shape and dtype."""


#: What weights and activations are kept in; an activation without a format stays as it is.
SERVED: Mapping[str, tuple[RoundTrip, RoundTrip | None]] = {
    "w8a8": (INT8, INT8), "w4a16": (INT4_GROUPS, None), "fp8-block": (FP8_WEIGHTS, FP8_ACTIVATIONS), "mxfp8": (MXFP8, MXFP8),
    "mxfp4": (MXFP4, MXFP4), "hif8": (HIF8, HIF8),
}  # fmt: skip


def quantised(inputs: Inputs, /, *, model: str, form: str, batch: int, length: int) -> Step:
    """Read `batch` rows of `length` tokens of real text with weights and activations in the format; work is counted in tokens.

    Outputs: `given/<layer>` and `free/<layer>` [batch, length - 1, ...], what each layer returns where activations are given and where
    they are not, and `logits` [batch * (length - 1), vocabulary] of the former; of the golden also `plain/<layer>`, without any
    quantisation. The first position is left out (see `prefill`). Raises AssayError: model not to be loaded, or without experts and MLP.
    """
    language_model = load(model)
    weights, activations = SERVED[form]
    host = token_batches(language_model.tokenizer, batch, length, 1)[0]
    chosen = list(formats(language_model.module))
    where = tuple(Place(layer, FP8_ACTIVATIONS) for layer in dict.fromkeys(name.rpartition(".")[0] for name in chosen))
    known = inputs.given_all("activations", exact_activations(language_model.module, where, host, inputs.dtype)) if activations else []
    tokens = inputs.given("tokens", host)
    plain = _exact(language_model.module) if inputs.golden else None
    module = place(inputs, _rounded(language_model.module, chosen, weights))
    acting = _Acting(activations)
    for number, one in enumerate(where):
        at(module, one, lambda x, number=number: acting(number, x))  # type: ignore[misc]

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            acting.given = known
            found, logits = _layers(module, tokens, "given")
            acting.given = ()
            free, _ = _layers(module, tokens, "free")
            kept = {**found, **free, **(_layers(plain, tokens, "plain")[0] if plain else {})}
            return {**kept, "logits": logits[:, 1:].flatten(0, 1).float()}

    return Step(call, work=batch * length, unit="tokens")


class _Acting:
    """What happens to an activation: it is replaced by what is `given`, if anything is, and rounded to the format, if there is one."""

    def __init__(self, form: RoundTrip | None) -> None:
        self.form = form
        self.given: Sequence[Tensor] = ()

    def __call__(self, number: int, x: Tensor) -> Tensor:
        """Return what the model goes on with in the place of that number."""
        x = self.given[number].to(x.dtype) if self.given else x
        return self.form.round_trip(x) if self.form else x


def _exact(module: PreTrainedModel) -> PreTrainedModel:
    """Return a float64 copy of a host model."""
    exact = deepcopy(module).double()
    if hasattr(exact, "set_experts_implementation"):
        exact.set_experts_implementation("eager")
    return exact


@torch.no_grad()
def _rounded(module: PreTrainedModel, chosen: Sequence[str], form: RoundTrip) -> PreTrainedModel:
    """Round the named weights of a host model, in place."""
    for name in chosen:
        weight = module.get_parameter(name)
        weight.copy_(form.round_trip(weight))
    return module


def _layers(module: PreTrainedModel, tokens: Tensor, prefix: str) -> tuple[dict[str, Tensor], Tensor]:
    """Run a model and return what each layer returns, without the first position, and the logits [batch, length, vocabulary]."""
    found: dict[str, Tensor] = {}
    with _watched(module, lambda number, states: found.__setitem__(f"{prefix}/{number:02d}", states[:, 1:].detach().float())):
        logits: Tensor = module(input_ids=tokens, use_cache=False).logits
    return found, logits


@contextmanager
def _watched(module: PreTrainedModel, see: Callable[[int, Tensor], None]) -> Iterator[None]:
    layers: Any = module.base_model.get_submodule("layers")

    def hook(number: int) -> Callable[[nn.Module, object, Any], None]:
        return lambda _, __, states: see(number, states[0] if isinstance(states, tuple) else states)

    handles = [layer.register_forward_hook(hook(number)) for number, layer in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


_CHECKS: tuple[Promise, ...] = (
    SpecialValues(only=("given/*", "logits")), Closeness(only=("given/*",), samples=True), Closeness(only=("logits",)),
    SignalToNoise("given", "free", "plain"), Divergence("logits"),
)  # fmt: skip
_PARAMS: dict[str, Scalar] = {"batch": 2, "length": 48}


def _cases() -> Iterator[Case]:
    for form in SERVED:
        yield from on_families(f"quantised-{form}", quantised, _CHECKS, {**_PARAMS, "form": form})


CASES = tuple(_cases())
