"""An engine behind lm-eval answers as the model in the process does."""

from contextlib import nullcontext

import pytest

from harness.errors import AssayError
from harness.serving.engine import NotServed, Scored
from suites.assets.evaluation import evaluate, in_process, over_documents, over_engine
from suites.assets.families import byte_tokenizer, tiny_module
from suites.serving.answering import loglikelihoods, texts
from suites.serving.in_process import InProcess


@pytest.fixture(scope="module")
def engine() -> InProcess:
    return InProcess(tiny_module("tiny:llama"), byte_tokenizer(), nullcontext)


CHOICES = [{"prompt": "The sky is", "choices": [" blue", " seven"], "answer": 0, "target": ""} for _ in range(2)]
WRITTEN = [{"prompt": f"{n} plus 1 is", "choices": [], "target": "x"} for n in range(3)]


@pytest.mark.parametrize(("name", "documents"), [("choices", CHOICES), ("written", WRITTEN)])
def test_a_task_has_the_same_answers_from_an_engine_as_from_the_model(engine, name: str, documents) -> None:
    task = over_documents(name, documents)
    ours = evaluate(over_engine(engine, engine.tokenizer), task, len(documents))
    theirs = evaluate(in_process(engine.module, engine.tokenizer, 1), task, len(documents))
    assert [sample.answer for sample in ours.samples] == [sample.answer for sample in theirs.samples]
    for mine, its in zip(ours.samples, theirs.samples, strict=True):
        assert mine.loglikelihoods == pytest.approx(its.loglikelihoods, abs=1e-4)
        assert mine.prompt_hash == its.prompt_hash


def test_a_continuation_is_greedy_where_each_token_was_the_likeliest(engine) -> None:
    prompt = list(b"Some text")
    found = list(engine.generate([prompt], 3)[0].tokens)
    assert [greedy for _, greedy in loglikelihoods(engine, [(prompt, found), (prompt, [found[0], (found[1] + 1) % 200])])] == [True, False]


def test_an_engine_that_does_not_tell_the_likeliest_cannot_answer() -> None:
    class Silent:
        def score(self, prompts, *, together=False):
            return [Scored((-1.0,), ()) for _ in prompts]

    with pytest.raises(NotServed, match="was the likeliest"):
        loglikelihoods(Silent(), [([1], [2])])


def test_text_ends_at_the_first_stop_and_is_never_drawn(engine) -> None:
    whole = texts(engine, engine.tokenizer, [("Hello", {"max_gen_toks": 5})])[0]
    assert texts(engine, engine.tokenizer, [("Hello", {"max_gen_toks": 5, "until": [whole[2]]})]) == [whole[: whole.index(whole[2])]]
    with pytest.raises(AssayError, match="at random"):
        texts(engine, engine.tokenizer, [("Hello", {"do_sample": True, "temperature": 0.7})])
