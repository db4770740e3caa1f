"""Rollouts: completions that a model samples, the same on every device but for near-ties. Knows no reward and no training.

A device's own random numbers differ from another's, so the noise of sampling is drawn on the host and given. Prompts have one length:
padding on the left would reach transformers' DeepSeek-V4, whose compression does not know of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.case import Scalar, Step
from harness.checks.agreement import Agreement
from harness.checks.decoding import Decoding
from harness.checks.special_values import SpecialValues
from harness.errors import AssayError
from harness.inputs import Inputs, draw_bits
from suites.assets.language_model import LanguageModel, load
from suites.assets.tasks import documents
from suites.workloads.model import arithmetic, place, refuse_dropout
from suites.workloads.post_training.policy import k3, multiplicative_error
from suites.workloads.post_training.promises import on_tiny_families

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_GRID = 2.0**12  # noise is rounded to this grid, so that the last digit of a host's logarithm does not show


@dataclass(frozen=True)
class Rollout:
    """What was sampled after prompts [rows, length]: int64 `tokens` [rows, new], and of each what it was chosen by.

    `logits` [rows, new, vocabulary] and `logprobs` [rows, new] (log p of the token, in nats, at temperature 1) are float32, or
    float64 for the golden. `margins` [rows, new]: how far the best of logits + noise lies above the second best.
    """

    tokens: Tensor
    logits: Tensor
    logprobs: Tensor
    margins: Tensor


def gumbel(seed: int, name: str, shape: Sequence[int]) -> Tensor:
    """Return float32 draws g = -log(-log u) of the standard Gumbel law on the host, u uniform on (0, 1), the same on every machine.

    The largest of logits + g is then a sample of softmax(logits) (Gumbel-max; Maddison et al., A* sampling, NeurIPS 2014, section 2).
    """
    words = draw_bits(seed, name, int(np.prod(shape))) >> np.uint64(12)
    drawn = -np.log(-np.log((words.astype(np.float64) + 0.5) / 2.0**52))
    return torch.from_numpy(np.round(drawn * _GRID) / _GRID).reshape(tuple(shape)).float()


def roll_out(model: PreTrainedModel, prompts: Tensor, noise: Tensor, cache: bool = True) -> Rollout:
    """Sample a completion of each prompt, int64 [rows, length], with `noise` [rows, new, vocabulary], without a gradient.

    With `cache` each step sees one token and the stored keys and values, without it the whole prefix. The end of text does not end
    it, so that every device takes the same steps. Nothing is read back in the loop.
    """
    from transformers import DynamicCache

    state = DynamicCache(config=model.config) if cache else None
    ids, steps = prompts, []
    with torch.no_grad():
        for drawn in noise.unbind(1):
            logits = model(input_ids=ids, past_key_values=state, use_cache=cache, logits_to_keep=1).logits[:, -1].float()
            best = (logits + drawn).topk(2)
            token = best.indices[:, :1]
            logprob = functional.log_softmax(logits, -1).gather(-1, token)[:, 0]
            steps.append((token[:, 0], logits, logprob, best.values[:, 0] - best.values[:, 1]))
            ids = token if cache else torch.cat([ids, token], 1)
    return Rollout(*(torch.stack(parts, 1) for parts in zip(*steps, strict=True)))


def completion_logprobs(model: nn.Module, prompts: Tensor, tokens: Tensor) -> Tensor:
    """Return log p of each token of the completions [rows, new] after their prompts [rows, length], in nats, as training computes it.

    One pass over whole rows, float32 (float64 for the golden).
    """
    return completion_scores(model, prompts, tokens).gather(-1, tokens[..., None])[..., 0]


def completion_scores(model: nn.Module, prompts: Tensor, tokens: Tensor) -> Tensor:
    """Return log p of the whole vocabulary at each place of the completions, float32 [rows, new, vocabulary]."""
    new = tokens.shape[1]
    logits = model(input_ids=torch.cat([prompts, tokens], 1), use_cache=False, logits_to_keep=new + 1).logits
    return functional.log_softmax(logits[:, :-1].float(), -1)


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tensor:
    """Return int64 [prompts, length] on the host. Raises AssayError when the texts have different numbers of tokens."""
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    if len(lengths := {len(row) for row in rows}) > 1:
        raise AssayError(f"prompts of {min(lengths)} to {max(lengths)} tokens: rollouts are not padded; choose prompts of one length")
    return torch.tensor(rows, dtype=torch.int64)


def sampled_batches(
    language_model: LanguageModel, seed: int, prompts: int, samples: int, new_tokens: int, count: int
) -> list[dict[str, Tensor]]:  # fmt: skip
    """Sample on the host, in the model's float32, what it is then to be trained on: `count` batches of other prompts, host tensors.

    `prompts` [rows, length] int64, each `samples` times in succession, `tokens` [rows, new] int64, and `mask` [rows, new] bool: up to the
    first end of text, and that. Training needs the same tokens on both sides, so a device does not sample its own.
    """
    tokenizer, module = language_model.tokenizer, language_model.module
    asked = prompt_tokens(tokenizer, [document["prompt"] for document in documents("arithmetic", count * prompts)])
    begun = asked.repeat_interleave(samples, 0)
    shape = (len(begun), new_tokens, vocabulary(module))
    tokens = roll_out(module, begun, gumbel(seed, "sampled", shape)).tokens
    found = {"prompts": begun, "tokens": tokens, "mask": until_end(tokens, tokenizer.eos_token_id)}
    rows = prompts * samples
    return [{name: tensor[i * rows : (i + 1) * rows] for name, tensor in found.items()} for i in range(count)]


def until_end(tokens: Tensor, end: int | None) -> Tensor:
    """Return which tokens [rows, new] count: bool, true up to the first `end` of each row, and there; all where there is none."""
    ended = tokens == (-1 if end is None else end)
    return ended.cumsum(1) - ended.long() == 0


def vocabulary(model: PreTrainedModel) -> int:
    """Return how many tokens a model tells the scores of."""
    return int(model.get_output_embeddings().weight.shape[0])  # type: ignore[no-untyped-call]


def rollout(inputs: Inputs, /, *, model: str, prompts: int, samples: int, new_tokens: int, cache: bool = True) -> Step:
    """Sample `samples` completions of each of `prompts` sums, then find their log-probabilities as training does; work: new tokens.

    Outputs: `tokens`, `logits`, `margins` and `noise` (what was given) as in `Rollout`; the tokens' log-probabilities at rollout time
    (`rollout_logprobs`) and in one pass over whole rows (`train_logprobs`), [rows, new]; how far apart those are as `k3` and
    `multiplicative_error`, scalars. Details: the texts. Raises AssayError: model not to be loaded, or with dropout.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    tokenizer = language_model.tokenizer
    asked = prompt_tokens(tokenizer, [document["prompt"] for document in documents("arithmetic", prompts)])
    begun = inputs.given("prompts", asked.repeat_interleave(samples, 0))
    shape = (len(begun), new_tokens, vocabulary(language_model.module))
    noise = inputs.given("noise", gumbel(inputs.seed, "noise", shape))
    module = place(inputs, language_model.module, torch.float32)
    sampled: list[Tensor] = []

    def call() -> Mapping[str, Tensor]:
        with arithmetic(inputs, mixed=True):
            done = roll_out(module, begun, noise, cache)
            trained = completion_logprobs(module, begun, done.tokens).detach()
        sampled[:] = [done.tokens]
        return {
            "tokens": done.tokens, "logits": done.logits, "margins": done.margins, "noise": noise,
            "rollout_logprobs": done.logprobs, "train_logprobs": trained,
            "k3": k3(trained, done.logprobs).mean(), "multiplicative_error": multiplicative_error(trained, done.logprobs).mean(),
        }  # fmt: skip

    return Step(
        call, work=shape[0] * new_tokens, unit="tokens", details=lambda: {"completions": tokenizer.batch_decode(sampled[0].tolist())}
    )


CHECKS = (
    SpecialValues(), Decoding("tokens", "logits", noise="noise", beside=("rollout_logprobs", "train_logprobs", "margins")),
    Agreement("rollout_logprobs", "train_logprobs"),
)  # fmt: skip

_TINY: dict[str, Scalar] = {"prompts": 2, "samples": 2, "new_tokens": 16}

CASES = on_tiny_families("rollout", rollout, CHECKS, _TINY)
