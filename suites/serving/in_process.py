"""The engine in this process: a placed model, one prompt at a time. Knows no server and no case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.serving.engine import Continuation, Engine, Ids, Message, NotServed, Read, Scored

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BEST = 64  # likeliest tokens that are kept of each step: what is not among them is no near-tie


@dataclass(frozen=True)
class InProcess:
    """See `Engine`. `arithmetic` is the context in which the model runs; the softmax is in float32, or float64 there."""

    module: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    arithmetic: Callable[[], AbstractContextManager[object]]

    def score(self, prompts: Sequence[Ids], *, together: bool = False) -> list[Scored]:
        """See `Engine`."""
        del together
        return [self._score(prompt) for prompt in prompts]

    def generate(self, prompts: Sequence[Ids], new_tokens: int, *, together: bool = False, to_the_end: bool = False) -> list[Continuation]:
        """See `Engine`. What is asked together is answered one after the other: it is the answer that is wanted of a reference."""
        del together
        return [self._continue(prompt, new_tokens, to_the_end) for prompt in prompts]

    def read(self, texts: Sequence[str], conversations: Sequence[Sequence[Message]]) -> list[Read]:
        """See `Engine`. Raises NotServed where the tokenizer has no chat template."""
        rows = [list(self.tokenizer(text)["input_ids"]) for text in texts]
        for turns in conversations:
            if not self.tokenizer.chat_template:
                raise NotServed("the tokenizer has no chat template")
            told = self.tokenizer.apply_chat_template([dict(turn) for turn in turns], add_generation_prompt=True, tokenize=False)
            rows.append(list(self.tokenizer(told, add_special_tokens=False)["input_ids"]))
        return [Read(len(ids), tuple(map(int, ids))) for ids in rows]

    def _score(self, prompt: Ids) -> Scored:
        with torch.no_grad(), self.arithmetic():
            ids = torch.tensor([list(prompt)], device=self.module.device)
            told = torch.log_softmax(self.module(input_ids=ids, use_cache=False).logits[0, :-1].float(), -1)
            values = told.gather(1, ids[0, 1:, None])[:, 0]
            return Scored(tuple(values.tolist()), tuple((values >= told.amax(-1)).tolist()))

    def _continue(self, prompt: Ids, new_tokens: int, to_the_end: bool) -> Continuation:
        with torch.no_grad(), self.arithmetic():
            rows = self._rows(torch.tensor([list(prompt)], device=self.module.device), new_tokens, to_the_end)
        told = torch.stack(rows)
        values, ids = told.topk(min(_BEST, told.shape[-1]), -1)
        tokens = told.argmax(-1)
        chosen = told.gather(1, tokens[:, None])[:, 0]
        best = ids.cpu().numpy(), values.cpu().numpy()
        return Continuation(tuple(tokens.tolist()), tuple(chosen.tolist()), len(tokens), (), *best)

    def _rows(self, ids: Tensor, new_tokens: int, to_the_end: bool) -> list[Tensor]:
        """Return the log-probabilities [vocabulary] of each step."""
        from transformers import DynamicCache

        cache, rows = DynamicCache(config=self.module.config), list[Tensor]()
        for _ in range(new_tokens):
            logits = self.module(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
            rows.append(torch.log_softmax(logits.float(), -1))
            ids = rows[-1].argmax().view(1, 1)
            if to_the_end and int(ids) == self.tokenizer.eos_token_id:
                break
        return rows


_: type[Engine] = InProcess
