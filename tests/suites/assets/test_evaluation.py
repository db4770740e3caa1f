"""lm-eval's logs read into samples: metric, filter, likelihoods, and tasks that cannot be had."""

import math
from contextlib import nullcontext
from pathlib import Path

import lm_eval.tasks
import pytest
from lm_eval.api.instance import Instance

from harness.errors import AssayError
from suites.assets import evaluation
from suites.assets.domains import DOMAINS
from suites.assets.evaluation import batch_for, evaluate, in_process, of_hub, over_documents, over_engine
from suites.assets.language_model import load
from suites.assets.tasks import Document
from suites.serving.in_process import InProcess


class Config:
    task = "t"


class Task:
    config = Config()
    eval_docs = ("a", "b")


def logged(doc, value, metric="exact_match", kind="strict", responses=("x",)):
    given = {"doc_id": doc, "filter": kind, "metrics": [metric], metric: value, "filtered_resps": list(responses), "target": "x"}
    return {**given, "doc_hash": f"d{doc}", "prompt_hash": f"p{doc}"}


def answer(monkeypatch, samples):
    monkeypatch.setattr(lm_eval, "simple_evaluate", lambda **_: {"samples": {"t": samples}})
    return evaluate(None, Task(), 5)


def test_samples_are_in_order_and_of_the_first_filter(monkeypatch):
    found = answer(monkeypatch, [logged(1, 0.0), logged(1, 1.0, kind="flexible"), logged(0, 1.0), logged(0, 1.0, kind="flexible")])
    assert (found.filter, found.metric, found.binary) == ("strict", "exact_match", True)
    assert [(s.doc_hash, s.score) for s in found.samples] == [("d0", 1.0), ("d1", 0.0)]


def test_lm_eval_s_own_likelihoods_become_bits_per_byte(monkeypatch):
    found = answer(monkeypatch, [logged(i, (-8.0 * math.log(2), 4), "bits_per_byte", responses=(-8.0 * math.log(2),)) for i in range(2)])
    assert [s.score for s in found.samples] == [2.0, 2.0]
    assert found.samples[0].loglikelihoods == (-8.0 * math.log(2),)
    assert not found.binary


def test_the_choice_is_that_with_the_highest_likelihood(monkeypatch):
    found = answer(monkeypatch, [logged(i, 1.0, "acc", responses=((-2.0, False), (-1.0, True))) for i in range(2)])
    assert (found.samples[0].answer, found.samples[0].loglikelihoods) == (1, (-2.0, -1.0))


def test_an_answer_is_kept_short_and_hashed_whole(monkeypatch):
    one = answer(monkeypatch, [logged(i, 1.0, responses=("y" * 5000,)) for i in range(2)]).samples[0]
    other = answer(monkeypatch, [logged(i, 1.0, responses=("y" * 5001,)) for i in range(2)]).samples[0]
    assert one.answer == other.answer == "y" * 2000
    assert one.answer_hash != other.answer_hash


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        ([logged(0, 1.0)], "answered 1 of 2 samples"),
        ([], "answered 0 of 2"),
        ([logged(i, ["?"], "mcc") for i in range(2)], "scores by mcc"),
    ],
)
def test_what_cannot_be_paired_is_refused(monkeypatch, samples, wanted):
    with pytest.raises(AssayError, match=wanted):
        answer(monkeypatch, samples)


@pytest.mark.parametrize(("model", "generates", "batch"), [("deepseek_v4", True, 1), ("deepseek_v4", False, 16), ("llama", True, 16)])
def test_only_what_left_padding_changes_goes_one_at_a_time(model, generates, batch):
    assert batch_for(model, generates, 16) == batch


class Manager:
    all_subtasks = ("gsm8k", "piqa")

    def __init__(self, error):
        self.error = error

    def load(self, names):
        raise self.error


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (KeyError("gsm8"), "gsm8: no task of lm-eval, none that comes with Assay, and no file; the nearest is 'gsm8k'"),
        (
            ConnectionError("Couldn't reach\n'openai/gsm8k' on the Hub"),
            "task gsm8 cannot be had .ConnectionError: Couldn't reach 'openai/gsm8k'",
        ),
    ],
)
def test_a_task_that_cannot_be_had_is_one_line(monkeypatch, error, wanted):
    monkeypatch.setattr(evaluation, "_manager", lambda _: Manager(error))
    with pytest.raises(AssayError, match=wanted) as caught:
        of_hub("gsm8")
    assert "\n" not in str(caught.value)


def test_the_domains_name_tasks_that_lm_eval_has():
    folder = Path(lm_eval.tasks.__file__).parent
    parts = (
        "mmlu/default",
        "ceval",
        "cmmlu/default",
        "kmmlu",
        "tmmluplus",
        "medqa",
        "medmcqa",
        "pubmedqa",
        "careqa",
        "arc",
        "sciq",
        "cmmlu",
    )
    files = [path for part in parts for path in (folder / part).rglob("*.yaml")]
    known = {
        line.split(":", 1)[1].strip(" \"'")
        for path in files
        for line in path.read_text().splitlines()
        if line.startswith(("task:", '"task":'))
    }
    assert {task for domain in DOMAINS.values() for task in domain.hub} <= known


@pytest.fixture(scope="module")
def model():
    return load("tiny:llama")


@pytest.fixture(scope="module")
def engine(model):
    return over_engine(InProcess(model.module, model.tokenizer, nullcontext), model.tokenizer)


def document(prompt="", choices=(), target="", text=""):
    return Document(prompt=prompt, choices=list(choices), answer=0, target=target, **({"text": text} if text else {}))


@pytest.mark.parametrize(
    "documents",
    [
        [document("The sky is", ["blue", "green and red"]), document("Two and ", ["three", "four"])],
        [document("1 + 1 =", target="2"), document("12 + 1 =", target="13")],
        [document("Say:", text="a few words"), document("And:", text="more")],
        [document(text="only a text"), document(text="and another one")],
    ],
)
def test_an_engine_answers_as_lm_eval_s_own_model_does(model, engine, documents):
    task = over_documents("t", documents)
    ours, theirs = (evaluate(lm, task, 2) for lm in (engine, in_process(model.module, model.tokenizer, 1)))
    for one, other in zip(ours.samples, theirs.samples, strict=True):
        assert (one.doc_hash, one.prompt_hash, one.answer) == (other.doc_hash, other.prompt_hash, other.answer)
        assert one.loglikelihoods == pytest.approx(other.loglikelihoods, abs=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-5)


def ask(engine, kind, *arguments):
    return getattr(engine, kind)([Instance(kind, {}, arguments, 0)])


def test_an_answer_ends_where_the_task_says(engine):
    whole = ask(engine, "generate_until", "Once", {"until": [], "max_gen_toks": 6})[0]
    assert len(whole) > 1
    for at in range(1, len(whole)):
        assert ask(engine, "generate_until", "Once", {"until": whole[at:], "max_gen_toks": 6})[0] == whole.split(whole[at:])[0]
