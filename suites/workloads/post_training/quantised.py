"""What of a model is quantised and where, and a model that computes so. Knows no stage and no device.

As DeepSeek-V4 has it (arXiv 2606.19348, on FP4 quantization-aware training): weights of the experts are MXFP4 in the forward pass (of a
family without experts, those of its MLP), the other linear layers are FP8, weights in blocks of 128 x 128 and activations in blocks of
1 x 128; router, compressor, indexer weights, embedding and head are not quantised. V4's indexer multiplies queries and keys in MXFP4, and
its entries of keys and values are FP8 in blocks of 1 x 64 but for the part that the rotary turns, which is bfloat16. The master weights
are float32, and gradients pass straight through the rounding (Bengio, Leonard and Courville, arXiv 1308.3432). The scales are powers of
two under which nothing saturates, as in DeepSeek's code.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from harness.errors import AssayError
from reference.oracles.block_formats import FP8_ACTIVATIONS, FP8_ENTRIES, FP8_WEIGHTS, MXFP4, Format

_KEPT_WIDE = re.compile(r"lm_head$|\.gate$|\.compressor\.(indexer\.)?(kv|gate)_proj$|\.weights_proj$")
_EXPERTS = re.compile(r"\.experts\.(gate_up|down)_proj$")
_MLP = re.compile(r"\.mlp\.(gate|up|down)_proj\.weight$")
_SCORER = re.compile(r"\.compressor\.indexer\.scorer$")
_ENTRIES = re.compile(r"\.self_attn(\.compressor)?\.kv_norm$")


class StraightThrough(torch.autograd.Function):
    """The round trip through a format; the gradient of what comes out is taken for that of what went in."""

    @staticmethod
    def forward(_: Any, x: Tensor, form: Format) -> Tensor:
        """Return x after quantisation, in its own dtype; computed in float32 at least."""
        return form.round_trip(x.detach())

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Pass the gradient on."""
        return gradients[0], None


@dataclass(frozen=True)
class Place:
    """Where a model quantises an activation: the `argument` of a module, or what it returns where that is None.

    Of the last dimension the first `width` components are quantised; all of them without it.
    """

    module: str
    form: Format
    argument: int | None = 0
    width: int | None = None

    def rounded(self, x: Tensor) -> Tensor:
        """Return x after quantisation, straight through."""
        if self.width is None:
            return _through(x, self.form)
        return torch.cat([_through(x[..., : self.width], self.form), x[..., self.width :]], -1)


def formats(model: nn.Module) -> Mapping[str, Format]:
    """Return the format of each parameter that is quantised. Raises AssayError for a model without experts and MLP."""
    names = [name for name, _ in model.named_parameters()]
    four = _EXPERTS if any(_EXPERTS.search(name) for name in names) else _MLP
    found = {name: MXFP4 for name in names if four.search(name)}
    if not found:
        raise AssayError(f"{type(model).__name__}: no experts and no MLP to quantise to four bits; choose another model")
    linear = [f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Linear) and not _KEPT_WIDE.search(name)]
    return found | {name: FP8_WEIGHTS for name in linear if name not in found}


def places(model: nn.Module, chosen: Mapping[str, Format]) -> tuple[Place, ...]:
    """Return where activations are quantised: before each layer with a quantised weight, and before the experts as a whole.

    Of DeepSeek-V4 (`config` says how wide its heads and their turned part are) also queries and keys of the indexer, and what is not
    turned of the entries, which the norm before the rotary has already. Their turned part is bfloat16 where the arithmetic is: between its
    rotation and the attention function there is no module.
    """
    layers = [Place(layer, FP8_ACTIVATIONS) for layer in dict.fromkeys(name.rpartition(".")[0] for name in chosen)]
    names = [name for name, _ in model.named_modules()]
    scored = [Place(name, MXFP4, argument) for name in names if _SCORER.search(name) for argument in (0, 1)]
    if not scored:
        return tuple(layers)
    config: Any = model.config
    entries = [Place(name, FP8_ENTRIES, None, config.head_dim - config.qk_rope_head_dim) for name in names if _ENTRIES.search(name)]
    return (*layers, *scored, *entries)


class Quantised(nn.Module):
    """A model that computes with its weights as they are after quantisation; the weights themselves stay as they are, and are trained."""

    def __init__(self, model: nn.Module, chosen: Mapping[str, Format]) -> None:
        super().__init__()
        self.model, self.chosen = model, chosen

    def forward(self, **arguments: Any) -> Any:
        """Call the model; arguments and result are its own."""
        held = dict(self.model.named_parameters())
        weights = {name: _through(held[name], form) for name, form in self.chosen.items()}
        return functional_call(self.model, weights, args=(), kwargs=arguments)


def quantise_activations(model: nn.Module, where: Iterable[Place]) -> None:
    """From now on let the model quantise its activations in these places."""
    for place in where:
        at(model, place, place.rounded)


def at(model: nn.Module, place: Place, act: Callable[[Tensor], Tensor]) -> None:
    """From now on let `act` return what the model goes on with in a place; of several the first that was given acts first."""
    module, number = model.get_submodule(place.module), place.argument

    def before(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(act(value) if i == number else value for i, value in enumerate(given))

    if number is None:
        module.register_forward_hook(lambda _, __, result: act(result))
    else:
        module.register_forward_pre_hook(before)


def stored(entries: Tensor, turned: int) -> Tensor:
    """Return V4's entries [..., width] as its cache holds them: FP8 in blocks of 64, and bfloat16 the last `turned`; straight through."""
    still, moving = entries[..., :-turned], entries[..., -turned:]
    narrow = moving.detach().bfloat16().to(moving.dtype)
    return torch.cat([_through(still, FP8_ENTRIES), moving + (narrow - moving).detach()], -1)  # exact: they are nearly the same


def _through(x: Tensor, form: Format) -> Tensor:
    through: Callable[..., Tensor] = StraightThrough.apply
    return through(x, form)
