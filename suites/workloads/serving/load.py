"""What load does a serving engine bear? One user, many users, then arrivals at growing rates up to where the queue grows. Knows no server.

The reference in this process has no users: it says what the right answers are, because a fast wrong answer is worth nothing. Times are
compared where the reference is the Run of another endpoint.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from harness.case import Case, Scalar, Step
from harness.checks.continued import ALONE, Continued
from harness.checks.load import Load
from harness.inputs import Inputs
from harness.serving.figures import settled
from harness.serving.remote import Remote
from suites.assets.corpus import token_batches
from suites.serving.load import Asked, Phase, run
from suites.serving.opened import opened
from suites.workloads.serving.parity import DTYPES, ENDPOINT, answers, best_of


def load(
    inputs: Inputs,
    /,
    *,
    model: str,
    prompts: int,
    length: int,
    new_tokens: int,
    requests: int,
    users: int,
    rates: str,
    ttft: float,
    tpot: float,
) -> Step:
    """Answer `prompts` prompts of `length` tokens alone; an endpoint then under load, `requests` requests a phase.

    Phases: one user, `users` users, and arrivals at each of `rates`: shares of what the users were served a second ("50%"), or requests a
    second ("4"), with colons between. `ttft` and `tpot` are the seconds within which a request counts as good. Outputs: those of
    `parity.continued` asked alone; by request `load_phase`, `load_prompt`, `load_count`, `load_failure` (0, or 1 + an index into the detail
    `failures`) int64 [requests], `load_tokens` int64 [requests, new_tokens] (-1: none), and seconds since the phase began as float64:
    `load_scheduled`, `load_sent`, `load_ended` [requests], `load_token_at` [requests, new_tokens]. Raises AssayError when the model
    cannot be loaded.
    """
    side = opened(inputs, model)
    tokens = inputs.given("tokens", token_batches(side.tokenizer, prompts, length, 1)[0]).tolist()
    found: list[tuple[dict[str, object], list[Asked]]] = []

    def call() -> Mapping[str, Tensor]:
        engine = side.engine
        if not isinstance(engine, Remote):
            alone = engine.generate(tokens, new_tokens)
            return {**answers(inputs, ALONE, alone), **best_of(inputs, alone)}
        told = engine.endpoint.dialect.tells_ids
        alone_ = answers(inputs, ALONE, engine.generate(tokens, new_tokens)) if told else {}
        found[:] = _phases(engine, tokens, Phase(requests, users), rates, new_tokens, inputs.seed)
        return alone_ | _outputs([asked for _, asked in found], new_tokens, told)

    def details() -> dict[str, object]:
        failures = _failures([asked for _, asked in found])
        return {**side.facts, "phases": [phase for phase, _ in found], "failures": failures, "ttft": ttft, "tpot": tpot}

    return Step(call, details=details, timed=False)


def _phases(
    engine: Remote, prompts: Sequence[Sequence[int]], closed: Phase, rates: str, new_tokens: int, seed: int
) -> list[tuple[dict[str, object], list[Asked]]]:
    found: list[tuple[dict[str, object], list[Asked]]] = []
    for users in dict.fromkeys((1, closed.users)):
        alone = run(engine, prompts, Phase(closed.requests, users), new_tokens, seed)
        found.append(({"loop": "closed", "users": users}, alone))
    served = _served(found[-1][1])
    for number, words in enumerate(rates.split(":") if served else ()):
        rate = float(words.removesuffix("%")) / 100 * served if words.endswith("%") else float(words)
        asked = run(engine, prompts, Phase(closed.requests, rate=rate), new_tokens, seed + number)
        found.append(({"loop": "open", "offered": rate, "share": words if words.endswith("%") else ""}, asked))
    return found


def _served(asked: Sequence[Asked]) -> float:
    """Return how many requests a second were answered, once it was steady; 0 where none was."""
    ended = np.sort([one.ended for one in asked if not one.failure])
    ended = ended[(settled(np.diff(ended, prepend=0.0)) or 0) :]
    return float((len(ended) - 1) / (ended[-1] - ended[0])) if len(ended) > 1 and ended[-1] > ended[0] else 0.0


def _failures(phases: Sequence[Sequence[Asked]]) -> list[dict[str, str]]:
    """Return every kind of failure with the first message of it."""
    kinds = {one.failure: one.message for one in reversed(list(chain.from_iterable(phases))) if one.failure}
    return [{"kind": kind, "message": message} for kind, message in sorted(kinds.items())]


def _outputs(phases: Sequence[Sequence[Asked]], new_tokens: int, tells_ids: bool) -> dict[str, Tensor]:
    asked = list(chain.from_iterable(phases))
    codes = {failure["kind"]: number for number, failure in enumerate(_failures(phases), 1)}
    whole = {
        "load_phase": [number for number, phase in enumerate(phases) for _ in phase],
        "load_prompt": [one.prompt for one in asked], "load_count": [one.count for one in asked],
        "load_failure": [codes.get(one.failure, 0) for one in asked],
    }  # fmt: skip
    times = {name: [getattr(one, name) for one in asked] for name in ("scheduled", "sent", "ended")}
    arrived = [[*one.token_at, *[float("nan")] * (new_tokens - len(one.token_at))] for one in asked]
    outputs = {name: torch.tensor(values) for name, values in whole.items()}
    outputs |= {f"load_{name}": torch.tensor(values, dtype=torch.float64) for name, values in times.items()}
    outputs["load_token_at"] = torch.tensor(arrived, dtype=torch.float64)
    if tells_ids:
        outputs["load_tokens"] = torch.tensor([[*one.tokens, *[-1] * (new_tokens - len(one.tokens))] for one in asked])
    return outputs


def _case(dtype: str) -> Case:
    params: dict[str, Scalar] = {
        "model": "default", "prompts": 8, "length": 64, "new_tokens": 32, "requests": 100, "users": 16, "rates": "50%:70%:90%:110%:150%",
        "ttft": 2.0, "tpot": 0.1,
    }  # fmt: skip
    checks = (Continued("load", rows="load_prompt", where=" under load"), Load())
    return Case(
        f"performance/served/load[{dtype}]", "performance", load, dtype, checks, params, only_on=ENDPOINT, timeout=3600.0,
        vouched_by=f"inference/served/greedy[{dtype}]",
    )  # fmt: skip


CASES = tuple(_case(dtype) for dtype in DTYPES)
