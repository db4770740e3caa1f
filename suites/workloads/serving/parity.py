"""A serving engine scores given text, continues prompts alone and in company, and reads text and conversations. Knows no server.

The reference answers the same questions in this process. Where an engine computes in bfloat16 so does the reference, and float64 says
how far either is off; what the engine was started with (quantization, another dtype) is not known, and shows as an error beyond roundoff.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness.case import Case, Scalar, Step
from harness.checks.company import Company
from harness.checks.continued import ALONE, Continued
from harness.checks.given_text import GivenText
from harness.checks.rendering import Rendering
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from harness.serving.engine import Continuation, Message
from suites.assets.corpus import token_batches
from suites.serving.opened import opened

DTYPES = ("bfloat16", "float16", "float32")
ENDPOINT = "endpoint"

_TEXTS = ("The capital of France is Paris.", "  Two spaces, a tab\tand a line\nend.", "数据库 – naïve café, 3.14 × 10⁻⁵ 🙂")
_TURNS: tuple[tuple[Message, ...], ...] = (
    ({"role": "user", "content": "What is the boiling point of water?"},),
    ({"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Capital of France?"}),
    ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "请用中文回答。"}),
)


def scored(inputs: Inputs, /, *, model: str, prompts: int, length: int) -> Step:
    """Score `prompts` texts of `length` tokens of real text; work is counted in tokens.

    Output: `logprob` [prompts, length - 2] in float32 (float64 for the golden), nats, of each token given those before it. The second
    token, which has only one before it, is left out as in `inference.prefill`. Details: in how many places the text's token is the
    likeliest. Raises AssayError when the model cannot be loaded.
    """
    side = opened(inputs, model)
    tokens = inputs.given("tokens", token_batches(side.tokenizer, prompts, length, 1)[0]).tolist()
    greedy: list[int] = []

    def call() -> Mapping[str, Tensor]:
        found = side.engine.score(tokens)
        greedy[:] = [sum(one.greedy) for one in found]
        return {"logprob": _floats(inputs, [one.logprobs[1:] for one in found])}

    return Step(call, work=prompts * length, unit="tokens", details=lambda: {**side.facts, "greedy": list(greedy)})


def continued(inputs: Inputs, /, *, model: str, prompts: int, length: int, new_tokens: int) -> Step:
    """Continue `prompts` prompts of real text greedily, alone; an endpoint also again, and all at a time. Work is counted in new tokens.

    Outputs, of each way that was asked (alone, again, together): `<way>_tokens` int64 [prompts, new_tokens] and, where told,
    `<way>_logprob` [prompts, new_tokens] in nats; in process `best` int64 and `best_logprob` [prompts, new_tokens, 64]: the likeliest
    tokens at each step. Details: the texts. Raises AssayError when the model cannot be loaded.
    """
    side = opened(inputs, model)
    tokens = inputs.given("tokens", token_batches(side.tokenizer, prompts, length, 1)[0]).tolist()
    texts: list[str] = []

    def call() -> Mapping[str, Tensor]:
        alone = side.engine.generate(tokens, new_tokens)
        texts[:] = [str(side.tokenizer.decode(list(one.tokens))) for one in alone]
        outputs = {**answers(inputs, ALONE, alone), **best_of(inputs, alone)}
        if side.remote:
            outputs |= answers(inputs, "again", side.engine.generate(tokens, new_tokens))
            outputs |= answers(inputs, "together", side.engine.generate(tokens, new_tokens, together=True))
        return outputs

    return Step(call, work=prompts * new_tokens, unit="tokens", details=lambda: {**side.facts, "texts": list(texts)})


def read(inputs: Inputs, /, *, model: str) -> Step:
    """Turn texts and conversations into tokens; work is counted in prompts.

    Output: `count` int64 [prompts]. Details: `read`, of each what it is, how many tokens, and which where they are told. Raises
    AssayError when the model cannot be loaded.
    """
    side = opened(inputs, model)
    turns = _TURNS if side.tokenizer.chat_template else ()
    names = [f"text {i}" for i in range(len(_TEXTS))] + [f"conversation {i}" for i in range(len(turns))]
    inputs.told("prompts", repr((_TEXTS, turns)))
    rows: list[dict[str, object]] = []

    def call() -> Mapping[str, Tensor]:
        found = side.engine.read(_TEXTS, turns)
        rows[:] = [{"what": name, "count": one.count, "ids": list(one.ids)} for name, one in zip(names, found, strict=True)]
        return {"count": torch.tensor([one.count for one in found])}

    return Step(call, work=len(names), unit="prompts", details=lambda: {**side.facts, "read": list(rows)})


def answers(inputs: Inputs, way: str, found: Sequence[Continuation]) -> dict[str, Tensor]:
    """Return tokens and, where every answer has them, log-probabilities as outputs of the way that they were asked for."""
    outputs = {f"{way}_tokens": torch.tensor([list(one.tokens) for one in found])}
    if all(len(one.logprobs) == len(one.tokens) for one in found):
        outputs[f"{way}_logprob"] = _floats(inputs, [one.logprobs for one in found])
    return outputs


def best_of(inputs: Inputs, found: Sequence[Continuation]) -> dict[str, Tensor]:
    """Return the likeliest tokens at each step, where the engine gives them."""
    if not all(one.best.size for one in found):
        return {}
    values = [torch.from_numpy(one.best_logprobs) for one in found]
    return {"best": torch.stack([torch.from_numpy(one.best) for one in found]), "best_logprob": torch.stack(values).to(_dtype(inputs))}


def _floats(inputs: Inputs, rows: Sequence[Sequence[float]]) -> Tensor:
    return torch.tensor([list(row) for row in rows], dtype=_dtype(inputs))


def _dtype(inputs: Inputs) -> torch.dtype:
    return torch.float64 if inputs.golden else torch.float32


def _cases(dtype: str) -> tuple[Case, ...]:
    prompts: dict[str, Scalar] = {"model": "default", "prompts": 4, "length": 64}
    new: dict[str, Scalar] = {**prompts, "length": 32, "new_tokens": 16}
    decoding = (
        SpecialValues((f"{ALONE}_logprob",)),
        Continued(),
        Continued("again", where=", asked again,"),
        Continued("together", where=" in company"),
        Company(),
    )
    return (
        Case(f"inference/served/score[{dtype}]", "inference", scored, dtype, (SpecialValues(), GivenText()), prompts, only_on=ENDPOINT),
        Case(f"inference/served/greedy[{dtype}]", "inference", continued, dtype, decoding, new, only_on=ENDPOINT),
        Case(
            f"inference/served/prompts[{dtype}]", "inference", read, dtype, (Rendering(),), {"model": "default"}, golden=False,
            only_on=ENDPOINT
        ),
    )  # fmt: skip


CASES = tuple(case for dtype in DTYPES for case in _cases(dtype))
