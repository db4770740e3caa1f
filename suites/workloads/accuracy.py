"""Task accuracy through lm-eval: local questions, every sample's log-likelihoods and answer kept. Knows no reference and no verdict.

lm-eval falls back to the CPU in silence where it does not know a device's name, so it is given a model that is already placed,
and where it sits is asserted before and after. The batch size is a parameter of the case, because it moves log-likelihoods
(by 3e-5 nats in float32, and by up to 0.17 in bfloat16); the softmax is done in float32 whatever the weights are. Every
prompt has text in it: after a bare start token the first word's log-likelihood is badly conditioned in bfloat16.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.case import Case, Scalar, Step
from harness.checks.score import Score
from harness.errors import AssayError
from harness.inputs import Inputs
from suites.assets.gguf import tokenizer_sha256
from suites.assets.language_model import load
from suites.assets.tasks import Document, documents


def accuracy(inputs: Inputs, /, *, task: str, samples: int, model: str, batch: int) -> Step:
    """Answer the first `samples` questions of a local task with a language model, `batch` requests at a time.

    Outputs: `correct` int64 [samples] and, for multiple choice, `loglikelihood` float64 [requests] in nats, in order of sample
    and choice. Details: every sample's hashes, target, answer and log-likelihoods. Work is counted in samples. Raises AssayError:
    lm-eval missing, unknown task, too few questions, model not to be loaded.
    """
    try:
        from lm_eval.models.huggingface import HFLM  # here, because lm-eval is an extra and slow to import
    except ImportError as error:
        raise AssayError(f"accuracy needs lm-eval ({error}); run: pip install 'ascend-assay[accuracy]'") from error
    chosen = documents(task, samples)
    text = "".join(json.dumps(document, sort_keys=True) + "\n" for document in chosen).encode()
    inputs.given("documents", torch.frombuffer(bytearray(text), dtype=torch.uint8))
    language_model = load(model)
    digest = bytes.fromhex(tokenizer_sha256(language_model.tokenizer))
    inputs.given("tokenizer", torch.frombuffer(bytearray(digest), dtype=torch.uint8))
    module = inputs.module("weights", language_model.module)
    _assert_placed(module, inputs.device)
    lm = HFLM(pretrained=module, tokenizer=language_model.tokenizer, batch_size=batch, softmax_dtype="float32")
    logged: list[dict[str, Any]] = []

    def call() -> Mapping[str, Tensor]:
        logged[:] = _evaluate(lm, task, chosen)
        _assert_placed(module, inputs.device)
        if lm.device.type != inputs.device.type:
            raise AssayError(f"lm-eval ran on {lm.device}, not on {inputs.device}; it does not know this device")
        outputs = {"correct": torch.tensor([int(sample["acc"]) for sample in logged], dtype=torch.int64)}
        values = [value for sample in logged for value in _loglikelihoods(sample)]
        return {**outputs, "loglikelihood": torch.tensor(values, dtype=torch.float64)} if values else outputs

    def details() -> dict[str, object]:
        right = sum(int(sample["acc"]) for sample in logged)
        return {
            "task": task, "metric": "acc", "accuracy": right / len(logged), "samples": [_summary(sample) for sample in logged],
            "model": language_model.name, "source": language_model.source,
        }  # fmt: skip

    return Step(call, work=samples, unit="samples", details=details)


def _evaluate(lm: Any, task: str, chosen: list[Document]) -> list[dict[str, Any]]:
    """Return lm-eval's log of every sample, in order of document."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    # the defaults would take 11 s to index; the standard errors are not used
    manager = TaskManager(include_defaults=False)
    results = simple_evaluate(model=lm, tasks=[_definition(task, chosen)], task_manager=manager, log_samples=True, bootstrap_iters=0)
    if results is None:
        raise AssayError("lm-eval gave no result in this process; run without a distributed launcher")
    logged: list[dict[str, Any]] = sorted(results["samples"][task], key=lambda sample: int(sample["doc_id"]))
    if len(logged) != len(chosen):
        raise AssayError(f"lm-eval answered {len(logged)} of {len(chosen)} samples of {task}; check its version")
    return logged


def _definition(task: str, chosen: list[Document]) -> dict[str, Any]:
    """Return an lm-eval task over documents in memory. lm-eval puts a space between the prompt and each choice."""
    from datasets import Dataset

    free_text = not chosen[0]["choices"]
    rows = [{k: v for k, v in document.items() if v != []} for document in chosen]
    common: dict[str, Any] = {
        "task": task, "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)}, "test_split": "test",
        "doc_to_text": "prompt", "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    if not free_text:
        return {**common, "output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "answer"}
    return {
        **common, "output_type": "generate_until", "doc_to_target": "target", "process_results": _exact,
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
    }  # fmt: skip


def _exact(document: Mapping[str, Any], results: list[str]) -> dict[str, int]:
    return {"acc": int(results[0].strip() == document["target"])}


def _loglikelihoods(sample: Mapping[str, Any]) -> list[float]:
    """Return the log-likelihood of each choice in nats; none for free text."""
    responses = sample["filtered_resps"]
    return [] if isinstance(responses[0], str) else [float(value) for value, _ in responses]


def _summary(sample: Mapping[str, Any]) -> dict[str, object]:
    values = _loglikelihoods(sample)
    answer: object = values.index(max(values)) if values else sample["filtered_resps"][0].strip()
    kept = {key: sample[key] for key in ("doc_hash", "prompt_hash", "target")}
    return {**kept, "answer": answer, "correct": int(sample["acc"]), "loglikelihoods": values}


def _assert_placed(module: nn.Module, device: torch.device) -> None:
    places = {parameter.device for parameter in module.parameters()}
    if any(place.type != device.type or place.index not in (device.index, device.index or 0) for place in places):
        raise AssayError(f"the model is on {', '.join(map(str, places))}, not on {device}; nothing was measured there")


def _case(task: str, samples: int, dtype: str = "float32") -> Case:
    params: dict[str, Scalar] = {"task": task, "samples": samples, "model": "default", "batch": 16}
    return Case(f"accuracy/{task}[{dtype}]", "accuracy", accuracy, dtype, (Score(),), params, golden=False, timeout=600)


CASES = (
    _case("piqa", 80),
    _case("commonsenseqa", 60),
    _case("grammar", 150),
    _case("grammar", 150, "bfloat16"),
    _case("arithmetic", 80),
)
