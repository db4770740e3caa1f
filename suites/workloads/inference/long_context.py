"""Long contexts, read in chunks through a cache, as far as memory goes. Knows no device.

A context that is predicted not to fit is not tried: a process that is killed for its memory says nothing. The prediction is a straight line
through the peaks of two shorter contexts, because a chunk of fixed length costs memory in proportion to what it looks back on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.case import Case, Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.divergence import Divergence
from harness.checks.reach import Reach
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.families import PREFIX
from suites.assets.language_model import load
from suites.workloads.inference.caches import DYNAMIC, bytes_of, new_cache
from suites.workloads.inference.families import ALL, DEFAULT, on_families
from suites.workloads.model import arithmetic, place

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

_CHUNK = 512
_SHOWN = 32  # places at the end whose logits are compared
_SHARE = 0.9  # of the memory that there is, which may be predicted to be used


def long_context(inputs: Inputs, /, *, model: str, length: int) -> Step:
    """Read `length` tokens of real text in chunks of 512, and compare the last 32 places; work is counted in tokens.

    Output: `logits` [32, vocabulary] in float32 (float64 for the golden). Details: the bytes of the cache. Raises AssayError when the model
    cannot be loaded, NotImplementedError when so long a context is predicted not to fit into memory.
    """
    language_model = load(model)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, 1, length, 1)[0])
    module = place(inputs, language_model.module)
    if not inputs.golden:
        _refuse(inputs, module, tokens)
    told: dict[str, object] = {}

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            logits, cache = _read(module, tokens)
            told["cache_bytes"] = bytes_of(cache)
            return {"logits": logits.float()}

    return Step(call, work=length, unit="tokens", details=lambda: told)


def reach(inputs: Inputs, /, *, model: str, most: int) -> Step:
    """Read 1,024 tokens, then twice as many, and so on up to `most` or to where the next is predicted not to fit.

    Output: none. Details: `read`, the longest; `fits`, how many tokens are predicted to fit; `peaks` in bytes by length; why it `stopped`.
    Raises AssayError when the model cannot be loaded.
    """
    language_model = load(model)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, 1, most, 1)[0])
    module = place(inputs, language_model.module)
    told: dict[str, object] = {}

    def call() -> Mapping[str, Tensor]:
        peaks: dict[int, int] = {}
        _peak(inputs)  # from now on
        length, stopped = 1024, f"{most} tokens were asked for"
        while length <= most:
            line = _line(peaks)
            if line and (text := _too_much(inputs, line, length)):
                stopped = text
                break
            with torch.no_grad(), arithmetic(inputs):
                _read(module, tokens[:, :length])
            peaks[length] = _peak(inputs)
            length *= 2
        told.update(read=max(peaks), fits=_fits(inputs, _line(peaks)), peaks={str(n): peak for n, peak in peaks.items()}, stopped=stopped)
        return {}

    return Step(call, details=lambda: told)


def _read(module: PreTrainedModel, tokens: Tensor) -> tuple[Tensor, Cache]:
    """Return the logits [32, vocabulary] of the last places, and the cache."""
    cache, found = new_cache(module, DYNAMIC, tokens.shape[1]), tokens.new_zeros(0)
    for part in torch.split(tokens, _CHUNK, 1):
        found = module(input_ids=part, past_key_values=cache, use_cache=True, logits_to_keep=min(_SHOWN, part.shape[1])).logits[0]
    return found, cache


def _peak(inputs: Inputs) -> int:
    room = inputs.room()
    return room[0] if room else 0


def _line(peaks: Mapping[int, int]) -> tuple[float, float] | None:
    """Return bytes and bytes a token of the line through the two longest contexts; None without two, or where nothing was seen to grow."""
    if len(peaks) < 2:
        return None
    (short, low), (long, high) = sorted(peaks.items())[-2:]
    slope = (high - low) / (long - short)
    return (high - slope * long, slope) if slope > 0 else None


def _too_much(inputs: Inputs, line: tuple[float, float], length: int) -> str:
    room = inputs.room()
    need = line[0] + line[1] * length
    if room is None or need <= _SHARE * room[1]:
        return ""
    return f"{length} tokens need about {need / 2**30:.1f} GiB by prediction, and there are {room[1] / 2**30:.1f} GiB"


def _fits(inputs: Inputs, line: tuple[float, float] | None) -> int | None:
    room = inputs.room()
    return int((_SHARE * room[1] - line[0]) / line[1]) if room and line else None


def _refuse(inputs: Inputs, module: PreTrainedModel, tokens: Tensor) -> None:
    """Read an eighth and a quarter of a context, and raise NotImplementedError where the whole is predicted not to fit."""
    length, peaks = tokens.shape[1], {}
    _peak(inputs)  # from now on
    for part in (length // 8, length // 4) if length >= 8 * _CHUNK else ():
        with torch.no_grad(), arithmetic(inputs):
            _read(module, tokens[:, :part])
        peaks[part] = _peak(inputs)
    line = _line(peaks)
    if line and (text := _too_much(inputs, line, length)):
        raise NotImplementedError(text)


_CHECKS: tuple[Promise, ...] = (SpecialValues(), Closeness(), Divergence("logits"))
_LENGTHS = (1024, 4096, 16384, 65536, 131072)
_LONG = ("llama", "deepseek_v3", "deepseek_v32", "deepseek_v4-flash")  # an attention each


def _cases() -> Iterator[Case]:
    """Yield a case a length: 1,024 on all families, wide; further ones take minutes."""
    for length in _LENGTHS:
        params: dict[str, Scalar] = {"length": length}
        for case in on_families(f"context-{length}", long_context, _CHECKS, params, families=ALL if length == 1024 else _LONG):
            yield replace(case, wide=True, long=length > 1024, timeout=3600.0)
    for family in (DEFAULT, *_LONG):
        name, model = ("inference/reach", DEFAULT) if family == DEFAULT else (f"inference/reach/{family}", PREFIX + family)
        yield Case(
            f"{name}[bfloat16]", "inference", reach, "bfloat16", (Reach(),), {"model": model, "most": 131072}, golden=False, wide=True,
            long=True, fresh=True, timeout=3600.0,
        )  # fmt: skip


CASES = tuple(_cases())
