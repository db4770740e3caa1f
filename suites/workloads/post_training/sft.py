"""Supervised fine-tuning of all weights of a language model on real text, in plain PyTorch. Knows no device."""

import torch

from harness.case import Case, Scalar, Step
from harness.checks.parameters import Parameters
from harness.checks.special_values import SpecialValues
from harness.checks.trajectory import Trajectory
from harness.inputs import Inputs
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.model import place, refuse_dropout
from suites.workloads.training import train


def sft(inputs: Inputs, /, *, model: str, batch: int, length: int, steps: int, learning_rate: float, sketches: bool = True) -> Step:
    """Train every weight: one AdamW step a call, `batch` rows of `length` tokens each, work counted in tokens.

    Outputs and the loop itself: see `training.train`. After `steps` calls the batches repeat. Raises AssayError: model
    not to be loaded, or with dropout.
    """
    language_model = load(model)
    refuse_dropout(language_model.module, language_model.name)
    batches = inputs.given("tokens", token_batches(language_model.tokenizer, batch, length, steps))
    module = place(inputs, language_model.module, torch.float32)
    return train(inputs, module, batches, learning_rate=learning_rate, sketches=sketches)


# NaN among the gradients and updates is for Parameters to report: it names one parameter instead of all.
CHECKS = (
    SpecialValues(only=("loss", "grad_norm")),
    Trajectory(series=("loss", "grad_norm")),
    Parameters(prefix="grad/"),
    Parameters(prefix="update/"),
)


def _case(dtype: str, golden_of: str | None = None) -> Case:
    params: dict[str, Scalar] = {"model": "default", "batch": 2, "length": 64, "steps": 10, "learning_rate": 2e-5}
    return Case(
        f"post_training/sft[{dtype}]", "post_training", sft, dtype, CHECKS, params, rounds=10, golden_of=golden_of, fresh=True, timeout=900
    )


# The weights are float32 for both, so the inputs are the same and one golden serves.
CASES = (_case("float32"), _case("bfloat16", golden_of="post_training/sft[float32]"))
