"""Training that is meant to help, with a tiny model: what is trained, what is held out, and what is told of it."""

from dataclasses import replace

import pytest
import torch

from harness.checks.evidence import Evidence
from harness.checks.improvement import Improvement
from suites.assets.arithmetic import sums
from suites.assets.families import byte_tokenizer, tiny_module
from suites.workloads.post_training.completions import logprobs, padded
from suites.workloads.post_training.real_work import CASES, real_dpo, real_grpo, real_sft, worth
from tests.harness.checks.build import case, recording
from tests.suites.workloads.tiny_model import inputs, run

TINY = {"model": "tiny:llama", "learning_rate": 2e-3}
GRPO = {**TINY, "prompts": 2, "samples": 3, "new_tokens": 3, "steps": 2, "lessons": 70, "clip": 0.2}


def scored(model, lessons, answer="answer"):
    tokenizer = byte_tokenizer()
    rows = [(tokenizer.encode(s.prompt), tokenizer.encode(getattr(s, answer))) for s in lessons]
    with torch.no_grad():
        return logprobs(model, padded(rows, max(len(p) + len(c) for p, c in rows), 256))


def test_the_cases_wait_to_be_asked_for_and_need_no_golden() -> None:
    assert [c.id for c in CASES] == [f"post_training/real-{stage}[float32]" for stage in ("sft", "dpo", "grpo")]
    assert all(c.long and c.fresh and not c.golden and c.rounds == c.params["steps"] for c in CASES)


def test_sft_scores_sums_that_it_does_not_train_on() -> None:
    outputs = run(real_sft(inputs(), **TINY, batch=4, steps=3, held_out=20), 3)
    held_out = sums(2, 20, 12)
    torch.testing.assert_close(outputs["held_out"][0], scored(tiny_module("tiny:llama"), held_out), rtol=1e-5, atol=1e-5)
    assert outputs["held_out"].shape == (2, 20)
    assert (outputs["held_out"][1] > outputs["held_out"][0]).all()  # of 259 bytes few stand in answers, which is soon learnt


def test_sft_minimizes_the_answers_alone() -> None:
    outputs = run(real_sft(inputs(), **TINY, batch=4, steps=1, held_out=20), 1)
    expected = -scored(tiny_module("tiny:llama"), sums(2, 4)).sum() / 16  # a space, two digits and the end of the line, four times
    torch.testing.assert_close(outputs["loss"][0], expected, rtol=1e-5, atol=0)


def test_dpo_begins_at_log_2_and_scores_margins() -> None:
    outputs = run(real_dpo(inputs(), **TINY, pairs=3, steps=4, held_out=20, beta=0.1), 4)
    held_out, model = sums(2, 20, 12, example=True), tiny_module("tiny:llama")
    torch.testing.assert_close(outputs["loss"][0], torch.tensor(2.0).log(), rtol=1e-6, atol=0)
    margins = scored(model, held_out) - scored(model, held_out, "wrong")
    torch.testing.assert_close(outputs["held_out"][0], margins, rtol=1e-4, atol=1e-5)


def test_grpo_scores_the_reward_to_be_expected() -> None:
    outputs = run(real_grpo(inputs(), **GRPO), 2)
    held_out = sums(1, 30, 70, example=True)
    torch.testing.assert_close(outputs["held_out"][0], scored(tiny_module("tiny:llama"), held_out).exp(), rtol=1e-4, atol=0)
    assert outputs["reward"].shape == (2,)


def test_grpo_learns_from_what_the_model_of_that_moment_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reward that the model can reach by chance (a completion that begins in ASCII), it rises."""
    seen = []

    def ascii_first(text: str, _: str) -> float:
        seen.append(text)
        return float(text[:1].isascii())

    monkeypatch.setattr("suites.workloads.post_training.real_work.worth", ascii_first)
    outputs = run(real_grpo(inputs(), **{**GRPO, "samples": 12, "steps": 16, "learning_rate": 1e-2}), 16)
    assert len(set(seen)) > 100
    assert outputs["reward"][:3].mean() < 0.7
    assert outputs["reward"][-5:].mean() > 0.8


@pytest.mark.parametrize(
    ("text", "value"), [(" 7\n", 1.0), (" 7\n\n", 1.0), (" 7", 0.0), (" 71\n", 0.0), ("7\n", 0.0), ("", 0.0), (" 8\n", 0.0)]
)
def test_an_answer_is_worth_something_if_it_is_all_that_the_line_says(text: str, value: float) -> None:
    assert worth(text, " 7\n") == value


def test_the_check_reads_what_the_stage_tells() -> None:
    outputs = run(real_sft(inputs(), **TINY, batch=4, steps=3, held_out=20), 3)
    (check,) = (c for c in CASES[0].checks if isinstance(c, Improvement))
    side = recording({"held_out": outputs["held_out"].numpy()})
    better, as_good = check(Evidence(replace(case()), side, side))
    assert (better.outcome, as_good.outcome) == ("pass", "pass")
