"""Rows in company: in a batch, padded on the right or left, against each row alone and against the same batch again. Knows no device.

The golden of a row in company is the row alone, without padding and without a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.case import Promise, Scalar, Step
from harness.checks.batch_invariance import BatchInvariance
from harness.checks.closeness import Closeness
from harness.checks.divergence import Divergence
from harness.checks.same_bits import SameBits
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.inference.caches import DYNAMIC, new_cache
from suites.workloads.inference.families import PADDED, UNPADDED, on_families
from suites.workloads.inference.replaying import selecting
from suites.workloads.model import arithmetic, place

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SHORTER = 5  # tokens by which each row is shorter than the one before it, where there is padding


def batched(
    inputs: Inputs, /, *, model: str, batch: int, length: int, new_tokens: int, padding: str = "none", replay: bool = False
) -> Step:  # fmt: skip
    """Read `batch` rows of real text together, the last `new_tokens` of `length` one at a time, twice, and each row alone.

    With `padding` ("right", "left") row i is 5 i tokens shorter. Outputs: `together/logits`, `again/logits` and `alone/logits` [real tokens
    without each row's first, vocabulary] in float32 (float64 for the golden). Work is counted in real tokens, once. Raises AssayError
    when the model cannot be loaded, NotImplementedError for padding on the left of a family that does not bear it.
    """
    language_model = load(model)
    kind = language_model.module.config.model_type
    if padding == "left" and kind in UNPADDED:
        raise NotImplementedError(f"{kind}: transformers does not leave out padding on the left (transformers#45938)")
    rows = _Rows(token_batches(language_model.tokenizer, batch, length, 1)[0], padding, new_tokens)
    choosing = {
        "together": selecting(inputs, language_model.module, lambda module: rows.together(module, rows.tokens, rows.mask), replay, "batch"),
        "alone": selecting(inputs, language_model.module, lambda module: rows.alone(module, rows.tokens), replay, "rows"),
    }
    tokens, mask = inputs.given("tokens", rows.tokens), inputs.given("mask", rows.mask)
    module = place(inputs, language_model.module)

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            with choosing["alone"]():
                alone = rows.alone(module, tokens)
            if inputs.golden:
                return {f"{name}/logits": alone.clone() for name in ("together", "again", "alone")}
            found = {"alone/logits": alone}
            for name in ("together", "again"):
                with choosing["together"]():
                    found[f"{name}/logits"] = rows.together(module, tokens, mask)
            return found

    return Step(call, work=float(rows.mask.sum()), unit="tokens")


class _Rows:
    """Rows of text [batch, length] with a mask of what is real, and how they are read."""

    def __init__(self, text: Tensor, padding: str, new_tokens: int) -> None:
        batch, self.length = text.shape
        self.lengths = [self.length - (0 if padding == "none" else _SHORTER * row) for row in range(batch)]
        self.new_tokens, self.left, self.padded = new_tokens, padding == "left", padding != "none"
        self.tokens, self.mask = torch.zeros_like(text), torch.zeros_like(text)
        for row, real in enumerate(self.lengths):
            self.tokens[row, self.place(real)] = text[row, :real]
            self.mask[row, self.place(real)] = 1

    def place(self, real: int) -> slice:
        """Return where a row's `real` tokens lie."""
        return slice(self.length - real, None) if self.left else slice(None, real)

    def alone(self, module: PreTrainedModel, tokens: Tensor) -> Tensor:
        """Return the logits of each row by itself."""
        found = [
            module(input_ids=tokens[row : row + 1, self.place(real)], use_cache=False).logits[0, 1:]
            for row, real in enumerate(self.lengths)
        ]
        return torch.cat(found).float()

    def together(self, module: PreTrainedModel, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the same of all rows in one batch, the last tokens through a cache."""
        more = {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp_min(0)} if self.padded else {}
        cache, found = new_cache(module, DYNAMIC, self.length), []
        begin = self.length - self.new_tokens
        for first, last in [(0, begin), *((at, at + 1) for at in range(begin, self.length))]:
            now = {"attention_mask": mask[:, :last], "position_ids": more["position_ids"][:, first:last]} if more else {}
            found.append(module(input_ids=tokens[:, first:last], past_key_values=cache, use_cache=True, **now).logits)
        logits = torch.cat(found, 1)
        return torch.cat([logits[row, self.place(real)][1:] for row, real in enumerate(self.lengths)]).float()


_CHECKS: tuple[Promise, ...] = (
    SpecialValues(), Closeness(only=("together/*", "alone/*")), Divergence("together/logits"), SameBits("again", "together"),
    BatchInvariance("together", "alone"),
)  # fmt: skip
_PARAMS: dict[str, Scalar] = {"batch": 3, "length": 36, "new_tokens": 6}
_DEFINED = ("together/*",)

CASES = (
    *on_families("batched", batched, _CHECKS, _PARAMS, replays=True, defined=_DEFINED),
    *on_families("padded-right", batched, _CHECKS, {**_PARAMS, "new_tokens": 0, "padding": "right"}, replays=True, defined=_DEFINED),
    *on_families("padded-left", batched, _CHECKS, {**_PARAMS, "padding": "left"}, families=PADDED, replays=True, defined=_DEFINED),
)
