"""Completions of prompts: padded rows with their masks, and how probable a model finds them. Knows no stage.

Rows are padded on the right, so that in a causal model no token sees padding; the attention mask is given all the same, because that
is what users do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.inputs import Inputs
from suites.assets.preferences import preferences
from suites.workloads.model import arithmetic
from suites.workloads.post_training.loop import Batch
from suites.workloads.post_training.selecting import replaying

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: The token ids of a prompt and of its completion.
Row = tuple[Sequence[int], Sequence[int]]


def padding_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token id that rows are padded with; where a tokenizer has none, the end of text, or 0. Masks hide it in any case."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(token) for token in known if isinstance(token, int)), 0)


def padded(rows: Sequence[Row], length: int, padding: int) -> dict[str, Tensor]:
    """Return host tensors [rows, length]: `tokens` int64, `attention_mask` int64 (1 at tokens), `completion_mask` bool (completions)."""
    tokens = torch.full((len(rows), length), padding)
    attended, completed = torch.zeros(len(rows), length, dtype=torch.int64), torch.zeros(len(rows), length, dtype=torch.bool)
    for i, (prompt, completion) in enumerate(rows):
        end = len(prompt) + len(completion)
        tokens[i, :end] = torch.tensor([*prompt, *completion])
        attended[i, :end] = 1
        completed[i, len(prompt) : end] = True
    return {"tokens": tokens, "attention_mask": attended, "completion_mask": completed}


def pair_batches(tokenizer: PreTrainedTokenizerBase, size: int, length: int, count: int) -> list[dict[str, Tensor]]:
    """Return `count` host batches of `size` preferences each, as `padded` gives them: the chosen completions first, then the rejected.

    Raises AssayError where the packaged text has too few of that length.
    """
    found, padding = preferences(tokenizer, count * size, length), padding_of(tokenizer)
    batches = []
    for begin in range(0, len(found), size):
        some = found[begin : begin + size]
        rows = [*((pair.prompt, pair.chosen) for pair in some), *((pair.prompt, pair.rejected) for pair in some)]
        batches.append(padded(rows, length, padding))
    return batches


def given(inputs: Inputs, batches: Sequence[Batch], prefix: str = "") -> list[Batch]:
    """Put host batches of equal keys on the device, each key as an input `<prefix><key>` of all batches."""
    placed = {key: inputs.given_all(prefix + key, [batch[key] for batch in batches]) for key in (batches[0] if batches else ())}
    return [{key: tensors[i] for key, tensors in placed.items()} for i in range(len(batches))]


def token_logprobs(model: nn.Module, batch: Batch) -> Tensor:
    """Return log p(token | what is before it), in nats, float32 [rows, length - 1]; 0 where the token is not of a completion."""
    with replaying(batch):
        scores = model(input_ids=batch["tokens"], attention_mask=batch["attention_mask"], use_cache=False).logits[:, :-1].float()
    chosen = functional.log_softmax(scores, -1).gather(-1, batch["tokens"][:, 1:, None])[..., 0]
    return chosen.masked_fill(~batch["completion_mask"][:, 1:], 0.0)


def logprobs(model: nn.Module, batch: Batch) -> Tensor:
    """Return log p(completion | prompt), in nats, float32 [rows]: the sum over the completion's tokens."""
    return token_logprobs(model, batch).sum(-1)


def with_reference(inputs: Inputs, model: nn.Module, batches: Sequence[Batch]) -> list[Batch]:
    """Return the batches with `reference` beside: the `token_logprobs` that the model as it is now gives them, without a gradient."""
    with torch.no_grad(), arithmetic(inputs, mixed=True):
        return [{**batch, "reference": token_logprobs(model, batch)} for batch in batches]


def log_ratios(model: nn.Module, batch: Batch) -> Tensor:
    """Return log p(completion | prompt) - log p_ref(completion | prompt), in nats, float32 [rows].

    Differences are taken token by token: the sums are a hundred times larger than what they differ by, and would round it away.
    """
    return (token_logprobs(model, batch) - batch["reference"]).sum(-1)
