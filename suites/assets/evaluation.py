"""lm-eval as it is used here: a task over documents or by name, a log of every sample. Knows no case, no device and no verdict.

Whoever answers requests is an lm-eval `LM`: `in_process` makes one of a model that lies on a device, `over_engine` one that asks an
engine, which may be a server.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import AssayError
from suites.assets.tasks import Document
from suites.serving.answering import loglikelihoods, texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.serving.engine import Engine

#: Architectures whose text changes when a prompt is padded on the left, as lm-eval does to make a batch of prompts (docs/deepseek-v4.md).
NO_LEFT_PADDING = ("deepseek_v4",)

_KEPT = 2000  # characters of a generated answer that are kept; its hash is of all
_BYTES = "bits_per_byte"
_FIRST = ("acc", "exact_match", "f1", _BYTES)  # metrics by which a task is scored, where it has several


@dataclass(frozen=True)
class Sample:
    """One question as it was answered. `score`: 1 or 0, a grade between, or bits per byte; log-likelihoods in nats, one a request."""

    doc_hash: str
    prompt_hash: str
    target: str | int
    answer: str | int | None
    answer_hash: str
    score: float
    loglikelihoods: tuple[float, ...]

    def kept(self, binary: bool) -> dict[str, object]:
        """Return what a recording keeps of it."""
        found = {"doc_hash": self.doc_hash, "prompt_hash": self.prompt_hash, "target": self.target, "answer": self.answer}
        judged: dict[str, object] = {"correct": int(self.score)} if binary else {"score": self.score}
        return {**found, **judged, "answer_hash": self.answer_hash, "loglikelihoods": list(self.loglikelihoods)}


@dataclass(frozen=True)
class Evaluation:
    """All samples of a task in order of document, by which metric they were scored, and after which of lm-eval's filters."""

    metric: str
    filter: str
    samples: tuple[Sample, ...]

    @property
    def binary(self) -> bool:
        """Whether each answer is right or wrong."""
        return all(sample.score in (0.0, 1.0) for sample in self.samples)


def in_process(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: int) -> Any:
    """Return an lm-eval model over a model that is placed already; its softmax is in float32. Raises AssayError: lm-eval missing.

    lm-eval falls back to the CPU in silence where it does not know a device's name, so it is given no name.
    """
    _needs_lm_eval()
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=module, tokenizer=tokenizer, batch_size=batch, softmax_dtype="float32")


def over_engine(engine: Engine, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return an lm-eval model over an engine, in this process or behind an endpoint; prompts become tokens here. Raises AssayError."""
    _needs_lm_eval()
    from lm_eval.api.model import TemplateLM

    class Answering(TemplateLM):  # type: ignore[misc]  # lm-eval has no types
        """Answers one request by one question to the engine."""

        @property
        def eot_token_id(self) -> int:
            return int(tokenizer.eos_token_id or 0)

        @property
        def prefix_token_id(self) -> int:  # that of lm-eval's own models: before a text without a context
            return self.eot_token_id if tokenizer.bos_token_id is None else int(tokenizer.bos_token_id)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
            return list(tokenizer.encode(string, add_special_tokens=bool(add_special_tokens)))

        def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
            return loglikelihoods(engine, [(context, continuation) for _, context, continuation in requests])

        def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
            pairs = [([self.prefix_token_id], self.tok_encode(request.args[0])) for request in requests]
            return [value for value, _ in loglikelihoods(engine, pairs)]

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return texts(engine, tokenizer, [request.args for request in requests])

    return Answering()


def batch_for(model_type: str, generates: bool, batch: int) -> int:
    """Return how many requests may share a batch: one where prompts would be padded on the left and the architecture does not bear that."""
    return 1 if generates and model_type in NO_LEFT_PADDING else batch


def over_documents(name: str, chosen: Sequence[Document]) -> Any:
    """Return an lm-eval task over documents in memory. lm-eval puts a space between the prompt and each choice."""
    _needs_lm_eval()
    return _manager(False).load([_definition(name, chosen)])["tasks"][name]


@lru_cache(maxsize=4)
def of_hub(name: str) -> Any:
    """Return one of lm-eval's own tasks, or one that a YAML file defines, with its data. Raises AssayError: unknown, no data, broken."""
    _needs_lm_eval()
    from datasets.exceptions import DatasetsError

    manager = _manager(not Path(name).is_file())
    try:
        tasks = manager.load([name])["tasks"]
    except KeyError:
        raise AssayError(f"{name}: {unknown(name, manager.all_subtasks)}") from None
    except (DatasetsError, OSError, ValueError, TypeError, RuntimeError, ImportError, AttributeError) as error:
        remedy = "it comes from the Hugging Face hub: connect once, or give a file of documents (docs/accuracy.md)"
        raise AssayError(f"task {name} cannot be had ({type(error).__name__}: {' '.join(str(error).split())[:200]}); {remedy}") from error
    if len(tasks) != 1:
        raise AssayError(f"{name} is {len(tasks)} tasks ({', '.join(sorted(tasks)[:5])}, ...); name them one by one")
    return next(iter(tasks.values()))


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that there is no such task, and which is nearest."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return "no task of lm-eval, none that comes with Assay, and no file" + (f"; the nearest is {near[0]!r}" if near else "")


def evaluate(answerer: Any, task: Any, samples: int) -> Evaluation:
    """Have `answerer`, an lm-eval model, answer the first `samples` documents of a task (all, if it has fewer).

    Raises AssayError: lm-eval gave no result, or not of every sample, or scores by something that has no value a sample.
    """
    from lm_eval import simple_evaluate

    # the defaults would take 11 s to index; the standard errors are not used
    results = simple_evaluate(
        model=answerer, tasks=[task], task_manager=_manager(False), limit=samples, log_samples=True, bootstrap_iters=0
    )  # fmt: skip
    if results is None:
        raise AssayError("lm-eval gave no result in this process; run without a distributed launcher")
    name = task.config.task
    logged = results["samples"][name]
    first = logged[0]["filter"] if logged else ""
    chosen = sorted((sample for sample in logged if sample["filter"] == first), key=lambda sample: int(sample["doc_id"]))
    expected = min(samples, len(task.eval_docs))
    if not chosen or len(chosen) != expected:
        raise AssayError(f"lm-eval answered {len(chosen)} of {expected} samples of {name}; check its version")
    metric = _metric(chosen[0], name)
    return Evaluation(metric, str(first), tuple(_sample(sample, metric) for sample in chosen))


def documents_of(task: Any, samples: int) -> bytes:
    """Return the first documents of a task as canonical JSON, a line each, to be hashed."""
    rows = (task.eval_docs[i] for i in range(min(samples, len(task.eval_docs))))
    return "".join(json.dumps(row, sort_keys=True, default=str) + "\n" for row in rows).encode()


def _needs_lm_eval() -> None:
    try:
        import lm_eval  # noqa: F401  # here, because lm-eval is an extra and slow to import
    except ImportError as error:
        raise AssayError(f"accuracy needs lm-eval ({error}); run: pip install 'ascend-assay[accuracy]'") from error


@lru_cache(maxsize=2)
def _manager(defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=defaults)


def _definition(name: str, chosen: Sequence[Document]) -> dict[str, Any]:
    from datasets import Dataset

    rows = [{k: v for k, v in document.items() if v != []} for document in chosen]
    common: dict[str, Any] = {
        "task": name, "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)}, "test_split": "test",
        "doc_to_text": "prompt", "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    if chosen[0]["choices"]:
        return {**common, "output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "answer"}
    if chosen[0].get("text"):
        likely = {**common, "metric_list": [{"metric": _BYTES, "aggregation": "mean", "higher_is_better": False}], "process_results": _bits}
        if chosen[0]["prompt"]:
            rows = [{**row, "continuation": f" {row['text']}"} for row in rows]  # lm-eval puts no space here
            return {**likely, "output_type": "loglikelihood", "doc_to_target": "continuation"}
        return {**likely, "output_type": "loglikelihood_rolling", "doc_to_target": "text"}
    return {
        **common, "output_type": "generate_until", "doc_to_target": "target", "process_results": _exact,
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
    }  # fmt: skip


def _exact(document: Mapping[str, Any], results: list[str]) -> dict[str, int]:
    return {"acc": int(results[0].strip() == document["target"])}


def _bits(document: Mapping[str, Any], results: list[Any]) -> dict[str, float]:
    value = results[0][0] if isinstance(results[0], tuple) else results[0]
    return {_BYTES: _per_byte(float(value), len(document["text"].encode()))}


def _per_byte(loglikelihood: float, size: int) -> float:
    return -loglikelihood / (size * math.log(2))


def _metric(sample: Mapping[str, Any], task: str) -> str:
    """Return the metric by which a task is scored: one that each sample has a number of."""
    offered = [name for name in (*_FIRST, *sample["metrics"]) if name in sample["metrics"] and _value(sample, name) is not None]
    if not offered:
        raise AssayError(f"{task}: scores by {', '.join(sample['metrics'])}, which give no number a sample; choose another task")
    return str(offered[0])


def _value(sample: Mapping[str, Any], metric: str) -> float | None:
    value = sample[metric]
    if metric == _BYTES and isinstance(value, (tuple, list)):  # lm-eval's own: log-likelihood and size
        return _per_byte(float(value[0]), int(value[1]))
    return float(value) if isinstance(value, (int, float)) else None


def _sample(sample: Mapping[str, Any], metric: str) -> Sample:
    responses = sample["filtered_resps"]
    text = responses[0] if isinstance(responses[0], str) else None
    values = () if text is not None else tuple(float(r[0] if isinstance(r, (tuple, list)) else r) for r in responses)
    answer: str | int | None = text.strip()[:_KEPT] if text is not None else values.index(max(values)) if len(values) > 1 else None
    score = _value(sample, metric)
    assert score is not None
    target = sample["target"] if isinstance(sample["target"], (str, int)) else str(sample["target"])
    hashed = hashlib.sha256(json.dumps([text, list(map(repr, values))]).encode()).hexdigest()
    kept = target[:_KEPT] if isinstance(target, str) else target
    return Sample(str(sample["doc_hash"]), str(sample["prompt_hash"]), kept, answer, hashed, score, values)
