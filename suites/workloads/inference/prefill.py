"""A language model reads a prompt in one pass. Knows no device and no cache."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from harness.case import Case, Promise, Scalar, Step
from harness.checks.closeness import Closeness
from harness.checks.divergence import Divergence
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from reference import traffic
from suites.assets.corpus import token_batches
from suites.assets.language_model import load
from suites.workloads.costs import costed
from suites.workloads.inference.families import DTYPES, on_families
from suites.workloads.inference.replaying import selecting
from suites.workloads.model import arithmetic, place


def prefill(inputs: Inputs, /, *, model: str, batch: int, length: int, last_only: bool = False, replay: bool = False) -> Step:
    """Read `batch` prompts of `length` tokens of real text in one forward pass; work is counted in tokens.

    Outputs: `logits` [batch * (length - 1), vocabulary] in float32 (float64 for the golden) and `logprobs` [batch * (length - 2)], nats, of
    the tokens that follow; or, with `last_only`, what a server computes: the logits of the last position alone [batch, vocabulary]. The
    first position is left out: with nothing to attend to it is badly conditioned (in bfloat16 its error was eight times that of the
    others), and would drown them. Raises AssayError when the model cannot be loaded.
    """
    language_model = load(model)
    host = token_batches(language_model.tokenizer, batch, length, 1)[0]
    tokens = inputs.given("tokens", host)
    choosing = selecting(inputs, language_model.module, lambda module: module(input_ids=host, use_cache=False), replay)
    module = place(inputs, language_model.module)
    kept = 1 if last_only else length - 1

    def call() -> Mapping[str, Tensor]:
        with torch.no_grad(), arithmetic(inputs), choosing():
            logits: Tensor = module(input_ids=tokens, use_cache=last_only, logits_to_keep=kept).logits.float()
            found = {"logits": logits.flatten(0, 1)}
            return found if last_only else {**found, "logprobs": _following(logits, tokens)}

    step, config, size = Step(call, work=batch * length, unit="tokens"), module.config, inputs.dtype.itemsize
    needed = partial(traffic.operations, config, length, kept)
    return costed(step, lambda: batch * needed(), partial(traffic.forward, config, batch * length, size))


def _following(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-probability of each token after the second, [batch * (length - 2)]; the logits lack the first place."""
    return torch.log_softmax(logits[:, :-1], -1).gather(-1, tokens[:, 2:, None]).flatten()


_CHECKS: tuple[Promise, ...] = (SpecialValues(), Closeness(), Divergence("logits"))
_PARAMS: dict[str, Scalar] = {"batch": 1, "length": 64}

CASES = (
    *(Case(f"inference/prefill[{dtype}]", "inference", prefill, dtype, _CHECKS, {"model": "default", **_PARAMS}) for dtype in DTYPES),
    *on_families("prefill", prefill, _CHECKS, {**_PARAMS, "batch": 2}, replays=True, default=False),
)
