"""Supervised fine-tuning of all weights of a language model on real text, in plain PyTorch. Knows no device."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.case import Case, Scalar, Step
from harness.inputs import ARITHMETIC, Inputs
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.costs import costed
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.promises import CHECKS, DETAILED, on_tiny_families
from suites.workloads.post_training.selecting import replaying, with_selections


def sft(
    inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int, learning_rate: float,
    optimizer: str = "adamw", sketches: bool = True, detailed: bool = False, replay: bool = False,
) -> Step:  # fmt: skip
    """Train every weight: one optimizer step a call, `batch` rows of `length` tokens each, work counted in tokens.

    Outputs and the loop itself: see `loop.train`. After `steps` calls the batches repeat; with `detailed` the two batches after them are
    held out. With `replay` the experts and keys that the untrained model selects in float64 are given, to be used throughout. Raises
    AssayError: model not to be loaded, or with dropout.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    tokens = inputs.given("tokens", token_batches(language_model.tokenizer, batch, length, steps))
    unseen = token_batches(language_model.tokenizer, batch, length, 2, start=steps) if detailed else ()
    held_out = [inputs.given(f"held_out_{i}", tokens) for i, tokens in enumerate(unseen)]
    batches: list[Batch] = [{"tokens": rows} for rows in (*tokens, *held_out)]
    if replay:
        batches = with_selections(inputs, language_model.module, logits, batches)
    # a large model's gradient norm moves by as much as itself when all weights move by a roundoff of bfloat16: its reruns move less
    module = place(inputs, language_model.module, torch.float32, moved_by=None if detailed else ARITHMETIC)
    step = train(
        inputs, module, batches[:steps], Objective(next_token, tokens=batch * length, first=logits), learning_rate=learning_rate,
        optimizer=optimizer, held_out=batches[steps:], sketches=sketches, detailed=detailed,
    )  # fmt: skip
    return costed(step, module.config, batch, length)


def next_token(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return `loss`: the mean next-token cross-entropy in nats of `tokens` [batch, length]."""
    with replaying(batch):
        scores = model(input_ids=batch["tokens"], use_cache=False).logits[:, :-1].float()
    return {"loss": functional.cross_entropy(scores.flatten(0, 1), batch["tokens"][:, 1:].flatten())}


def logits(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return `logits` [batch, length, vocabulary] and the `logprobs` [batch, length - 1] of the tokens that follow, in float32."""
    with replaying(batch):
        scores = model(input_ids=batch["tokens"], use_cache=False).logits.float()
    chosen = functional.log_softmax(scores[:, :-1], -1).gather(-1, batch["tokens"][:, 1:, None])
    return {"logits": scores, "logprobs": chosen[..., 0]}


def _case(dtype: str, golden_of: str | None = None) -> Case:
    params: dict[str, Scalar] = {"model": "default", "batch": 2, "length": 64, "steps": 10, "learning_rate": 2e-5}
    return Case(
        f"post_training/sft[{dtype}]", "post_training", sft, dtype, CHECKS, params,
        rounds=10, golden_of=golden_of, fresh=True, timeout=900, band=1,
    )  # fmt: skip


_TINY: dict[str, Scalar] = {"batch": 2, "length": 64, "steps": 8, "learning_rate": 2e-3, "detailed": True}
# Muon in float32 only: it makes all directions of a gradient equally long, those that bfloat16 has made noise of, too.
_TWO = ("llama", "deepseek_v4-flash")  # of AdamW's other ways: the optimizer sees no more than the parameters of a family

# The weights are float32 for both, so the inputs are the same and one golden serves.
CASES = (
    _case("float32"), _case("bfloat16", golden_of="post_training/sft[float32]"),
    *on_tiny_families("sft", sft, DETAILED, _TINY, replays=True),
    *(case for case in on_tiny_families("sft-muon", sft, DETAILED, {**_TINY, "optimizer": "muon"}) if case.dtype == "float32"),
    *on_tiny_families("sft-adamw-foreach", sft, DETAILED, {**_TINY, "optimizer": "adamw-foreach"}, families=_TWO),
    *on_tiny_families("sft-adamw-fused", sft, DETAILED, {**_TINY, "optimizer": "adamw-fused"}, families=_TWO),
)  # fmt: skip
