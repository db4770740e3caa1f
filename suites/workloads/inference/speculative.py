"""Speculative decoding: a draft proposes tokens, the model accepts those that it would have chosen. Greedy stays greedy. Knows no device.

After Leviathan, Kalman and Matias (arXiv 2211.17192) for greedy choice. The draft is the model itself with its weights in MXFP4, so it
is right often and not always. DeepSeek-V4 proposes with its own module for one more token (MTP), which transformers has not: there our
own definition runs (`reference/oracles/deepseek_v4`), the module put together of the model's own parts. The golden decodes plainly, in
float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.case import Case, Promise, Scalar, Step
from harness.checks.acceptance import Acceptance
from harness.checks.decoding import Decoding
from harness.checks.divergence import Divergence
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference.oracles.block_formats import MXFP4
from reference.oracles.deepseek_v4.config import SCORED, Config
from reference.oracles.deepseek_v4.model import MTP, forward, predict_further
from suites.assets.corpus import token_batches
from suites.assets.families import PREFIX
from suites.assets.language_model import load
from suites.workloads.inference.caches import DYNAMIC, copied, new_cache
from suites.workloads.inference.families import on_families
from suites.workloads.model import arithmetic, place
from suites.workloads.post_training.quantised import formats

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class _Count:
    """How many tokens were proposed, how many of them accepted, and how many were made wrong on purpose, so that a refusal is run."""

    proposed: int = 0
    accepted: int = 0
    spoilt: int = 0

    def told(self) -> dict[str, object]:
        """Return the counts by name."""
        return dict(vars(self))

    def anew(self) -> None:
        """Begin to count."""
        self.proposed = self.accepted = self.spoilt = 0


def assisted(inputs: Inputs, /, *, model: str, prompt: int, new_tokens: int, ahead: int) -> Step:
    """Continue a prompt greedily by `new_tokens` tokens, `ahead` proposed at a time, and plainly; work is counted in new tokens.

    Outputs: `tokens` int64 [new_tokens] and `logits` [new_tokens, vocabulary] in float32 (float64 for the golden) with the draft, and
    `plain_tokens` and `plain_logits` without. Details: how many tokens were proposed and accepted. Raises AssayError: model not to be
    loaded, or without experts and MLP.
    """
    language_model = load(model)
    start = inputs.given("tokens", token_batches(language_model.tokenizer, 1, prompt, 1))[0]
    draft = place(inputs, _drafting(language_model.module), name="draft")
    module = place(inputs, language_model.module)
    count = _Count()

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            plain = _plain(module, start, new_tokens)
            count.anew()
            rows = plain if inputs.golden else _speculated(module, draft, start, new_tokens, ahead, count)
            return _named(rows, plain)

    return Step(call, work=new_tokens, unit="tokens", details=count.told)


@torch.no_grad()
def _drafting(module: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of a host model with its experts, or MLP, and its other matrices in MXFP4."""
    draft = deepcopy(module)
    for name in formats(draft):
        draft.get_parameter(name).copy_(MXFP4.round_trip(draft.get_parameter(name)))
    return draft


def _named(rows: Tensor, plain: Tensor) -> dict[str, Tensor]:
    """Return logits [new_tokens, vocabulary] and the tokens that they choose, with a draft and plainly."""
    found = {"logits": rows.float(), "plain_logits": plain.float()}
    return {**found, "tokens": rows.argmax(-1), "plain_tokens": plain.argmax(-1)}


def _plain(module: PreTrainedModel, start: Tensor, count: int) -> Tensor:
    cache, ids, rows = new_cache(module, DYNAMIC, start.shape[1] + count), start, list[Tensor]()
    for _ in range(count):
        rows.append(module(input_ids=ids, past_key_values=cache, use_cache=True).logits[0, -1])
        ids = rows[-1].argmax().view(1, 1)
    return torch.stack(rows)


def _speculated(module: PreTrainedModel, draft: PreTrainedModel, start: Tensor, new_tokens: int, ahead: int, count: _Count) -> Tensor:
    """Return the logits of each new token, [new_tokens, vocabulary].

    `cache` holds all of `text` but its last token. A pass reads that token and the proposals; what was read of refused ones is dropped with
    the copy of the cache that has it, because not every family's cache can be cut.
    """
    cache, text = new_cache(module, DYNAMIC, start.shape[1] + new_tokens + ahead), start
    rows = [module(input_ids=text, past_key_values=cache, use_cache=True).logits[0, -1]]
    text = torch.cat([text, rows[-1].argmax().view(1, 1)], 1)
    while len(rows) < new_tokens:
        proposed = _proposed(draft, text, min(ahead, new_tokens - len(rows) - 1))
        if len(rows) == 1:
            count.spoilt += 1
            proposed[:, -1] = (proposed[:, -1] + 1) % module.config.vocab_size
        tried = copied(cache)
        given = torch.cat([text[:, -1:], proposed], 1)
        found = module(input_ids=given, past_key_values=tried, use_cache=True).logits[0]
        chosen = found.argmax(-1)
        alike = int((chosen[:-1] == proposed[0]).long().cumprod(0).sum())
        count.proposed += proposed.shape[1] - (len(rows) == 1)
        count.accepted += min(alike, proposed.shape[1] - (len(rows) == 1))
        if alike == proposed.shape[1]:
            cache = tried
        else:
            module(input_ids=given[:, : alike + 1], past_key_values=cache, use_cache=True)
        rows += list(found[: alike + 1])
        text = torch.cat([text, chosen[None, : alike + 1]], 1)
    return torch.stack(rows[:new_tokens])


def _proposed(draft: PreTrainedModel, text: Tensor, ahead: int) -> Tensor:
    """Return what the draft would go on with, int64 [1, ahead]."""
    ids = text
    for _ in range(ahead):
        ids = torch.cat([ids, draft(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)], 1)
    return ids[:, text.shape[1] :]


def multi_token(inputs: Inputs, /, *, model: str, prompt: int, new_tokens: int) -> Step:
    """Continue a prompt greedily by our definition of DeepSeek-V4, with its module for one more token proposing, and plainly.

    Outputs, details and work: those of `assisted`. Every pass reads the whole text: the definition has no cache. Raises AssayError when
    there is no such model.
    """
    language_model = load(model)
    start = inputs.given("tokens", token_batches(language_model.tokenizer, 1, prompt, 1))[0]
    module = place(inputs, _with_module(language_model.module))
    config = Config.of(module.config)
    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    weights = {name.removeprefix("further."): weight for name, weight in weights.items()}
    count = _Count()

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs):
            plain, text = list[Tensor](), start
            for _ in range(new_tokens):
                plain.append(forward(weights, config, text).logits[0, -1])
                text = torch.cat([text, plain[-1].argmax().view(1, 1)], 1)
            count.anew()
            rows = torch.stack(plain) if inputs.golden else _further(weights, config, start, new_tokens, count)
            return _named(rows, torch.stack(plain))

    return Step(call, work=new_tokens, unit="tokens", details=count.told)


def _further(weights: Mapping[str, Tensor], config: Config, start: Tensor, new_tokens: int, count: _Count) -> Tensor:
    """Return the logits of each new token where the module for one more token proposes the one after the next."""
    text, rows, proposal = start, list[Tensor](), start[:, :0]
    while len(rows) < new_tokens:
        given = torch.cat([text, proposal], 1)
        passed = forward(weights, config, given)
        last = text.shape[1] - 1
        found = [passed.logits[0, last]]
        if proposal.numel():
            count.proposed += 1
            if int(found[0].argmax()) == int(proposal):
                count.accepted += 1
                found.append(passed.logits[0, last + 1])
        rows += found
        text = torch.cat([text, torch.stack([row.argmax() for row in found])[None]], 1)
        streams = passed.streams[:, : text.shape[1] - 1]
        streams = torch.cat([streams, streams[:, -1:]], 1)  # of the newest token, which the module does not ask for
        proposal = predict_further(weights, config, streams, text)[:, -2:-1].argmax(-1)
    return torch.stack(rows[:new_tokens])


@torch.no_grad()
def _with_module(module: PreTrainedModel) -> PreTrainedModel:
    """Return a host V4 with a module for one more token, `further.mtp.0...`, made of its own parts, so that it is right now and then.

    Its layer is the model's last with a score router, its norm and head of streams are the model's; it passes the next token's embedding on
    at its own size, with a little of the streams.
    """
    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    layers: Any = module.config.mlp_layer_types
    like = f"model.layers.{len(layers) - 1 - layers[::-1].index(SCORED)}."
    size = module.get_input_embeddings().weight.square().mean().sqrt()  # type: ignore[operator]
    width = module.config.hidden_size
    own = {name.removeprefix(like): weight for name, weight in weights.items() if name.startswith(like) and "compressor" not in name}
    own |= {"enorm.weight": size * torch.ones(width), "hnorm.weight": size * torch.ones(width), "norm.weight": weights["model.norm.weight"]}
    own |= {"e_proj.weight": torch.eye(width), "h_proj.weight": 0.1 * torch.eye(width)}
    own |= {f"hc_head_{name}": weights[f"model.hc_head.hc_{name}"] for name in ("fn", "base", "scale")}
    module.further = _Named({MTP + name: weight.detach().clone() for name, weight in own.items()})
    return module


class _Named(torch.nn.Module):
    """Holds weights under names with dots."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, weight in weights.items():
            self._parameters[name] = torch.nn.Parameter(weight, requires_grad=False)


_CHECKS: tuple[Promise, ...] = (
    SpecialValues(), Decoding("tokens", "logits"), Decoding("plain_tokens", "plain_logits", name="plain_decoding"),
    Divergence("logits", tokens="tokens"), Acceptance(),
)  # fmt: skip
_PARAMS: dict[str, Scalar] = {"prompt": 24, "new_tokens": 20}

CASES = (
    *on_families("speculative", assisted, _CHECKS, {**_PARAMS, "ahead": 3}),
    *(
        Case(
            f"inference/speculative-mtp/{family}[float32]", "inference", multi_token, "float32", _CHECKS,
            {"model": PREFIX + family, **_PARAMS},
        )
        for family in ("deepseek_v4-flash", "deepseek_v4-pro")
    ),
)  # fmt: skip
