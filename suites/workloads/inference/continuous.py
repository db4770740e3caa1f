"""Continuous batching: sequences join and leave a running batch at every step, and each is to go on as it would alone. Knows no device.

The scheduler is iteration by iteration (Yu et al., Orca, OSDI 2022). A newcomer reads its prompt alone, then its rows join the running
cache; who is done leaves it, and the memory of its row with it. Families that bear padding on the left run sequences of any lengths
side by side: the shorter ones' places before their first token are masked. Of the others, sequences that hold equally many tokens run
side by side. The golden of a sequence in company is the sequence alone, without a cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.case import Promise, Scalar, Step
from harness.checks.batch_invariance import BatchInvariance
from harness.checks.closeness import Closeness
from harness.checks.same_bits import SameBits
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.inference.caches import DYNAMIC, joined, new_cache, parted
from suites.workloads.inference.families import UNPADDED, on_families
from suites.workloads.model import arithmetic, place

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


@dataclass
class Request:
    """A text to be read: it `arrives` at a step with a `prompt`, and goes on a token a step to its end. `rows` are its logits."""

    text: Tensor
    arrives: int
    prompt: int
    read: int = 0
    cache: Cache | None = None
    rows: list[Tensor] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all its tokens have been read."""
        return self.read == self.text.shape[1]


class Scheduler:
    """Reads sequences in one running batch of at most `most`; who comes when it is full waits, the longest waiting first."""

    def __init__(self, module: PreTrainedModel, most: int) -> None:
        self.module, self.most = module, most
        self.padded = module.config.model_type not in UNPADDED
        self.running: list[Request] = []
        self.together: list[int] = []  # how many sequences each forward pass of a step had

    def run(self, sequences: Sequence[Request]) -> None:
        """Read all sequences to their ends; their `rows` have the logits afterwards."""
        waiting, step = sorted(sequences, key=lambda one: one.arrives), 0
        while waiting or self.running:
            while waiting and waiting[0].arrives <= step and len(self.running) < self.most:
                self.join(waiting.pop(0))
            for group in self.groups():
                self.advance(group)
            self.running = [one for one in self.running if not one.done]
            step += 1

    def join(self, one: Request) -> None:
        """Read a newcomer's prompt into a cache of its own."""
        one.cache, one.read = new_cache(self.module, DYNAMIC, one.text.shape[1]), one.prompt
        one.rows = [self.module(input_ids=one.text[:, : one.prompt], past_key_values=one.cache, use_cache=True).logits[0]]
        self.running.append(one)

    def groups(self) -> list[list[Request]]:
        """Return who goes through the model together: all, or those that hold equally many tokens where the family bears no padding."""
        going = [one for one in self.running if not one.done]
        if self.padded:
            return [going] if going else []
        return [[one for one in going if one.read == length] for length in sorted({one.read for one in going})]

    def advance(self, group: Sequence[Request]) -> None:
        """Read one token of each sequence of a group in one pass."""
        self.together.append(len(group))
        longest = max(one.read for one in group)
        cache = joined([_padded(one, longest) for one in group])
        ids = torch.cat([one.text[:, one.read : one.read + 1] for one in group])
        held = torch.tensor([one.read for one in group], device=ids.device)[:, None]
        more = {}
        if self.padded:
            mask = (torch.arange(longest + 1, device=ids.device) >= longest - held).long()
            more = {"attention_mask": mask, "position_ids": held}
        logits = self.module(input_ids=ids, past_key_values=cache, use_cache=True, **more).logits
        for row, (one, own) in enumerate(zip(group, parted(cache, len(group)), strict=True)):
            one.rows.append(logits[row])
            one.read += 1
            one.cache = _without(own, longest + 1 - one.read) if self.padded else own


def _padded(one: Request, longest: int) -> Any:
    """Return a sequence's cache with zeros before its first token, up to the length of the longest."""
    assert one.cache is not None
    missing = longest - one.read
    if not missing:
        return one.cache
    (whole,) = parted(one.cache, 1)
    layers: Any = whole.layers
    for layer in layers:
        layer.keys, layer.values = (functional.pad(kept, (0, 0, missing, 0)) for kept in (layer.keys, layer.values))
    return whole


def _without(cache: Any, padding: int) -> Any:
    for layer in cache.layers:
        layer.keys, layer.values = (kept[:, :, padding:] for kept in (layer.keys, layer.values))
    return cache


def continuous(inputs: Inputs, /, *, model: str, sequences: int, most: int, prompt: int, length: int) -> Step:
    """Read `sequences` texts of different lengths that arrive one after the other, at most `most` at a time, and each alone.

    Sequence i arrives at step 2 i with `prompt + 2 i` tokens (3 i more where padding is borne) and ends after `length` to `length + 4`
    more. Outputs: `together/logits`, `again/logits` and `alone/logits` [tokens without each text's first, vocabulary] in float32
    (float64 for the golden). Details: how many sequences each pass had. Work is counted in tokens, once. Raises AssayError when the
    model cannot be loaded.
    """
    language_model = load(model)
    longest = prompt + 5 * sequences + length + 4
    texts = inputs.given("tokens", token_batches(language_model.tokenizer, sequences, longest, 1)[0])
    module = place(inputs, language_model.module)
    apart = 5 if module.config.model_type not in UNPADDED else 2
    prompts = [prompt + apart * i for i in range(sequences)]
    ends = [first + length + (3 * i) % 5 for i, first in enumerate(prompts)]
    passes: list[int] = []

    def together() -> Tensor:
        scheduler = Scheduler(module, most)
        coming = [Request(texts[i : i + 1, :end], 2 * i, first) for i, (first, end) in enumerate(zip(prompts, ends, strict=True))]
        scheduler.run(coming)
        passes[:] = scheduler.together
        return torch.cat([torch.cat(one.rows)[1:] for one in coming]).float()

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            alone = [module(input_ids=texts[i : i + 1, :end], use_cache=False).logits[0, 1:] for i, end in enumerate(ends)]
            found = torch.cat(alone).float()
            if inputs.golden:
                return {f"{name}/logits": found.clone() for name in ("together", "again", "alone")}
            return {"alone/logits": found, "together/logits": together(), "again/logits": together()}

    return Step(call, work=sum(ends), unit="tokens", details=lambda: {"sequences_a_pass": list(passes)})


_CHECKS: tuple[Promise, ...] = (
    SpecialValues(), Closeness(only=("together/*", "alone/*")), SameBits("again", "together"), BatchInvariance("together", "alone"),
)  # fmt: skip
_PARAMS: dict[str, Scalar] = {"sequences": 4, "most": 3, "prompt": 7, "length": 6}

CASES = on_families("continuous", continuous, _CHECKS, _PARAMS, defined=("together/*",))
