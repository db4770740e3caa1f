"""Sampling that two devices do alike."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from harness.errors import AssayError
from suites.assets.families import FAMILIES, byte_tokenizer, tiny_module
from suites.assets.language_model import load
from suites.workloads.float64 import Float64
from suites.workloads.post_training.rollout import (
    CASES,
    completion_logprobs,
    completion_scores,
    gumbel,
    prompt_tokens,
    roll_out,
    rollout,
    sampled_batches,
    until_end,
)
from tests.suites.workloads.tiny_model import inputs, run

PARAMS = {"model": "tiny:llama", "prompts": 2, "samples": 2, "new_tokens": 6}
PROMPTS = torch.arange(2 * 20).reshape(2, 20)


def noise(new=8, rows=2):
    return gumbel(0, "test", (rows, new, 259))


def test_the_noise_has_the_gumbel_law():
    drawn = gumbel(0, "law", (20000,)).double()
    assert stats.kstest(drawn.numpy(), "gumbel_r").pvalue > 1e-3
    assert torch.equal(drawn * 2**12, (drawn * 2**12).round())  # a grid on which no two hosts differ


def test_the_largest_of_logits_and_noise_is_a_sample_of_the_softmax():
    """A chi-square test: 20000 draws from 6 tokens."""
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, -2.0])
    chosen = (logits + gumbel(1, "softmax", (20000, 6))).argmax(-1)
    observed = torch.bincount(chosen, minlength=6).numpy()
    assert stats.chisquare(observed, 20000 * torch.softmax(logits.double(), 0).numpy()).pvalue > 1e-3
    assert stats.chisquare(observed, 20000 * torch.softmax(logits.double() / 1.1, 0).numpy()).pvalue < 1e-6  # it could have failed


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_cached_equals_uncached(name):
    """In float64, so that no expert or key is chosen by rounding."""
    model = tiny_module(f"tiny:{name}").double()
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    with Float64():
        cached, whole = (roll_out(model, PROMPTS, noise().double(), cache) for cache in (True, False))
    assert torch.equal(cached.tokens, whole.tokens)
    torch.testing.assert_close(cached.logits, whole.logits, rtol=0, atol=1e-12)


def test_tokens_are_those_of_the_largest_sum_and_margins_how_far_it_is_ahead():
    done = roll_out(tiny_module("tiny:llama"), PROMPTS, noise())
    scores = np.sort((done.logits + noise()).numpy(), -1)
    assert torch.equal((done.logits + noise()).argmax(-1), done.tokens)
    np.testing.assert_allclose(done.margins.numpy(), scores[..., -1] - scores[..., -2], rtol=1e-6)


def test_log_probabilities_are_those_of_training():
    model = tiny_module("tiny:qwen3")
    done = roll_out(model, PROMPTS, noise())
    torch.testing.assert_close(done.logprobs, completion_logprobs(model, PROMPTS, done.tokens), rtol=1e-6, atol=0)


def test_scores_are_of_the_place_before_the_token():
    model, tokens = tiny_module("tiny:llama"), torch.tensor([[3, 4], [5, 6]])
    with torch.no_grad():
        found = completion_scores(model, PROMPTS, tokens)
        row = model(input_ids=torch.cat([PROMPTS, tokens[:, :1]], 1)).logits[:, -1]
    torch.testing.assert_close(found[:, 1], torch.log_softmax(row, -1))
    assert found.exp().sum(-1).allclose(torch.ones(2, 2))


def test_the_end_of_text_counts_and_nothing_after_it():
    tokens = torch.tensor([[1, 9, 2, 9], [1, 2, 3, 4], [9, 9, 9, 9]])
    assert until_end(tokens, 9).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert until_end(tokens, None).all()


def test_batches_have_other_prompts_and_every_prompt_its_samples():
    first, second = sampled_batches(load("tiny:llama"), 0, prompts=2, samples=3, new_tokens=4, count=2)
    assert first["prompts"].shape == (6, 48)
    assert first["tokens"].shape == first["mask"].shape == (6, 4)
    assert len({tuple(row) for batch in (first, second) for row in batch["prompts"].tolist()}) == 4
    assert torch.equal(first["prompts"][0], first["prompts"][2])
    assert len({tuple(row) for row in first["tokens"].tolist()}) == 6


def test_prompts_of_several_lengths_are_refused():
    with pytest.raises(AssayError, match="2 to 3 tokens: rollouts are not padded"):
        prompt_tokens(byte_tokenizer(), ["12", "123"])


def test_rollouts_in_float64_are_those_of_the_device_where_nothing_is_near():
    device, golden = inputs(), inputs(golden=True)
    ours, exact = run(rollout(device, **PARAMS)), run(rollout(golden, **PARAMS))
    assert device.digests == golden.digests
    assert exact["margins"].min() > 1e-4
    assert torch.equal(ours["tokens"], exact["tokens"])
    assert exact["logits"].dtype is torch.float64
    torch.testing.assert_close(ours["logits"].double(), exact["logits"], rtol=0, atol=1e-6)


def test_two_ways_to_a_log_probability_are_told_apart():
    outputs = run(rollout(inputs(torch.bfloat16), **{**PARAMS, "new_tokens": 16}))
    apart = (outputs["train_logprobs"] - outputs["rollout_logprobs"]).double()
    assert outputs["k3"].item() == pytest.approx((apart.exp() - 1 - apart).mean().item(), rel=1e-2)
    assert outputs["multiplicative_error"].item() == pytest.approx(apart.abs().exp().mean().item(), rel=1e-6)
    assert 0 < outputs["k3"] < 1e-5


def test_details_tell_the_completions():
    step = rollout(inputs(), **PARAMS)
    tokens = step.call()["tokens"]
    assert step.details() == {"completions": byte_tokenizer().batch_decode(tokens.tolist())}
    assert step.work == tokens.numel() == 24


def test_cases_are_there_for_every_family():
    assert {case.params["model"] for case in CASES} == {f"tiny:{name}" for name in FAMILIES}
    assert math.prod(case.rounds for case in CASES) == 1
