"""Task accuracy through lm-eval: every sample's answer and log-likelihoods kept. Knows no reference and no verdict.

The model is placed already, and where it sits is asserted before and after. The batch size is a parameter of the case, because it moves
log-likelihoods (by 3e-5 nats in float32, and by up to 0.17 in bfloat16); the softmax is done in float32 whatever the weights are. Every
prompt that comes with Assay has text in it (but for `pubmed`, whose texts are long): after a bare start token the log-likelihood of the
first word is badly conditioned in bfloat16.
"""

import re
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.checks.score import Score
from harness.errors import AssayError
from harness.inputs import Inputs
from suites.assets.asked_tasks import Asked, groups_of, loaded
from suites.assets.evaluation import Evaluation, batch_for, documents_of, evaluate, in_process, over_engine
from suites.assets.gguf import tokenizer_sha256
from suites.assets.language_model import load
from suites.serving.opened import behind

QUICK, FULL = 5.0, 3.0  # margins in points, of a quick look and of an answer
_TIMEOUT = 1800.0  # seconds
_ASKED = "asked/"  # in the id of a case that the command line asks for


def accuracy(inputs: Inputs, /, *, task: str, samples: int, model: str, batch: int) -> Step:
    """Answer the first `samples` questions of a task with a language model, `batch` requests at a time.

    `task` is one that comes with Assay, a file, or lm-eval's; see `answered` for outputs and details. A model that padding on the left
    changes generates one answer at a time. Raises AssayError: lm-eval missing, unknown task, too few questions, model not to be loaded.
    """
    if served := behind(inputs, model):
        questions = loaded(task, samples)
        _hash_tokenizer(inputs, served.tokenizer)
        return answered(inputs, over_engine(served.engine, served.tokenizer), questions, samples, served.facts)
    language_model = load(model)
    _hash_tokenizer(inputs, language_model.tokenizer)
    module = inputs.module("weights", language_model.module)
    assert_placed(module, inputs.device)
    questions = loaded(task, samples)
    size = batch_for(language_model.module.config.model_type, questions.task.OUTPUT_TYPE == "generate_until", batch)
    answerer = in_process(language_model.module, language_model.tokenizer, size)
    facts = {"model": language_model.name, "source": language_model.source, "batch": size}
    step = answered(inputs, answerer, questions, samples, facts)

    def call() -> Mapping[str, Tensor]:
        outputs = step.call()
        assert_placed(module, inputs.device)
        if answerer.device.type != inputs.device.type:
            raise AssayError(f"lm-eval ran on {answerer.device}, not on {inputs.device}; it does not know this device")
        return outputs

    return Step(call, work=step.work, unit=step.unit, details=step.details)


def _hash_tokenizer(inputs: Inputs, tokenizer: Any) -> None:
    digest = bytes.fromhex(tokenizer_sha256(tokenizer))
    inputs.given("tokenizer", torch.frombuffer(bytearray(digest), dtype=torch.uint8))


def answered(inputs: Inputs, answerer: Any, questions: Asked, samples: int, facts: Mapping[str, object]) -> Step:
    """Have an lm-eval model, in this process or before a server, answer the first `samples` questions; work is counted in samples.

    Outputs: `correct` int64 [samples], or `score` float64 [samples] where an answer is no right or wrong, and `loglikelihood` float64
    [requests] in nats, in order of sample and choice, where there are any. Details: `facts`, the metric, and every sample's hashes, target,
    answer and log-likelihoods.
    """
    inputs.given("documents", torch.frombuffer(bytearray(documents_of(questions.task, samples)), dtype=torch.uint8))
    found: list[Evaluation] = []

    def call() -> Mapping[str, Tensor]:
        found[:] = [evaluate(answerer, questions.task, samples)]
        return _outputs(found[0])

    def details() -> dict[str, object]:
        kept = [sample.kept(found[0].binary) for sample in found[0].samples]
        return {
            **facts, "task": questions.name, "groups": list(groups_of(questions.name)),
            "metric": found[0].metric, "filter": found[0].filter,
            "chance": questions.chance, "accuracy": fmean(sample.score for sample in found[0].samples), "samples": kept,
        }  # fmt: skip

    return Step(call, work=min(samples, len(questions.task.eval_docs)), unit="samples", details=details)


def _outputs(found: Evaluation) -> dict[str, Tensor]:
    scores = torch.tensor([sample.score for sample in found.samples], dtype=torch.float64)
    outputs = {"correct": scores.long()} if found.binary else {"score": scores}
    values = [value for sample in found.samples for value in sample.loglikelihoods]
    return {**outputs, "loglikelihood": torch.tensor(values, dtype=torch.float64)} if values else outputs


def assert_placed(module: nn.Module, device: torch.device) -> None:
    """Raise AssayError where a parameter is not on `device`."""
    places = {parameter.device for parameter in module.parameters()}
    if any(place.type != device.type or place.index not in (device.index, device.index or 0) for place in places):
        raise AssayError(f"the model is on {', '.join(map(str, places))}, not on {device}; nothing was measured there")


def asked(name: str, task: str, samples: int, margin: float, family: int, dtype: str) -> Case:
    """Return the case of a task that the command line asks for; `task` as `suites.assets.asked_tasks.located` gives it."""
    return case(f"{_ASKED}{name}", task, samples, margin, family, dtype)


def case_named(name: str) -> Case | None:
    """Return the case of that id where it is one that was asked for: a worker then fills in its parameters."""
    found = re.fullmatch(rf"accuracy/{_ASKED}(.+)\[(\w+)\]", name)
    return asked(found[1], "", 0, FULL, 1, found[2]) if found else None


def case(name: str, task: str, samples: int, margin: float, family: int, dtype: str = "float32", wide: bool = False) -> Case:
    """Return the case of a task. `margin` is in points; `family` tasks share the level of the test."""
    params: dict[str, Scalar] = {"task": task, "samples": samples, "model": "default", "batch": 16}
    checks = (Score(margin, family),)
    return Case(
        f"accuracy/{name}[{dtype}]", "accuracy", accuracy, dtype, checks, params, golden=False, timeout=_TIMEOUT, wide=wide, served=True
    )


# Of a quick look: task, samples, dtypes. Bfloat16 where a flip costs least.
_QUICK = (
    ("piqa", 80, ("float32",)),
    ("fiqa", 24, ("float32",)),
    ("grammar", 150, ("float32", "bfloat16")),
    ("arithmetic", 80, ("float32",)),
)
# Of the nightly job: enough samples for that margin at the discordance of bfloat16, 1 to 2 % (docs/accuracy.md has the odds).
_FULL = (
    ("piqa", 400), ("commonsenseqa", 400), ("school", 400), ("grammar", 600), ("arithmetic", 400), ("fiqa", 150),
    ("pubmed", 60),
)  # fmt: skip
_FAMILY = sum(len(dtypes) for _, _, dtypes in _QUICK) + len(_FULL)

CASES = (
    *(case(task, task, samples, QUICK, _FAMILY, dtype) for task, samples, dtypes in _QUICK for dtype in dtypes),
    *(case(f"{task}-{samples}", task, samples, FULL, _FAMILY, "bfloat16", wide=True) for task, samples in _FULL),
)
