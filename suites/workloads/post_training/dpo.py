"""Direct preference optimization (Rafailov et al., NeurIPS 2023; arXiv 2305.18290) in plain PyTorch. Knows no device."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.inputs import Inputs
from suites.assets.language_model import load
from suites.workloads.model import place, refuse_dropout
from suites.workloads.post_training.bradley_terry import CHECKS, bradley_terry
from suites.workloads.post_training.completions import given, log_ratios, pair_batches, token_logprobs, with_reference
from suites.workloads.post_training.loop import Batch, Objective, train
from suites.workloads.post_training.promises import on_tiny_families
from suites.workloads.post_training.selecting import with_selections


def dpo(
    inputs: Inputs, /, *, model: str, pairs: int, length: int, steps: int, epochs: int, learning_rate: float, beta: float,
    sketches: bool = True, detailed: bool = False, replay: bool = False,
) -> Step:  # fmt: skip
    """Train every weight: one optimizer step a call on `pairs` preferences, rows of `length` tokens each, work counted in tokens.

    There are `steps // epochs` different batches, and one more that is held out. The reference is the untrained model, whose
    log-probabilities are computed here, on the same device. `beta` ties the model to it. `replay` as in `sft`.
    Outputs and the loop itself: see `dpo_loss`, `both_logprobs` and `loop.train`. Raises AssayError: model not to be
    loaded, or with dropout; too little text of that length.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    batches = given(inputs, pair_batches(language_model.tokenizer, pairs, length, steps // epochs + 1))
    if replay:
        batches = with_selections(inputs, language_model.module, token_logprobs, batches)
    module = place(inputs, language_model.module, torch.float32)
    *batches, held_out = with_reference(inputs, module, batches)
    objective = Objective(dpo_loss(beta), tokens=2 * pairs * length, first=both_logprobs)
    return train(inputs, module, batches, objective, learning_rate=learning_rate, held_out=[held_out], sketches=sketches, detailed=detailed)


def dpo_loss(beta: float) -> Callable[[nn.Module, Batch], Mapping[str, Tensor]]:
    """Return an objective's `loss`, for batches of chosen, then rejected rows (`with_reference`).

    A completion's implicit reward is beta (log p(y|x) - log p_ref(y|x)), equation 5 without the part that cancels; the loss is equation 7.
    It returns what `bradley_terry` does.
    """

    def loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        return bradley_terry(beta * log_ratios(model, batch))

    return loss


def both_logprobs(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Return `chosen_logprobs` and `rejected_logprobs`, float32 [pairs, length - 1], as `token_logprobs` gives them."""
    chosen, rejected = token_logprobs(model, batch).chunk(2)
    return {"chosen_logprobs": chosen, "rejected_logprobs": rejected}


_REAL: dict[str, Scalar] = {"model": "default", "pairs": 2, "length": 48, "steps": 4, "epochs": 2, "learning_rate": 5e-6, "beta": 0.1}
_TINY: dict[str, Scalar] = {"pairs": 2, "length": 48, "steps": 6, "epochs": 3, "learning_rate": 1e-3, "beta": 0.1, "detailed": True}

CASES = (
    Case(
        "post_training/dpo[float32]", "post_training", dpo, "float32", CHECKS, _REAL, rounds=4, fresh=True, timeout=900, band=1, wide=True
    ),
    *on_tiny_families("dpo", dpo, CHECKS, _TINY, replays=True),
)  # fmt: skip
