"""GRPO, against its formula written out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from suites.assets.families import byte_tokenizer, tiny_module
from suites.assets.verifiable import reward
from suites.workloads.post_training.grpo import CASES, decoded, grpo, grpo_loss, prepared
from suites.workloads.post_training.rollout import completion_logprobs
from tests.suites.workloads.tiny_model import inputs, run

PARAMS = {
    "model": "tiny:llama", "prompts": 2, "samples": 4, "new_tokens": 6, "steps": 4, "epochs": 2, "learning_rate": 1e-3, "clip": 0.2,
    "beta": 0.04,
}  # fmt: skip


def batch():
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randint(0, 256, (4, n), generator=generator) for name, n in (("prompts", 10), ("tokens", 5))}
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 4])[:, None]
    old, reference = (-5.5 + 0.3 * torch.randn(4, 5, generator=generator) for _ in range(2))
    return {**drawn, "mask": mask, "old": old, "reference": reference, "advantages": torch.tensor([1.0, -0.5, 0.3, -0.8])}


def test_loss_is_equation_3_of_the_paper():
    model, given = tiny_module("tiny:llama"), batch()
    with torch.no_grad():
        found = {name: value.item() for name, value in grpo_loss(0.2, 0.04)(model, given).items()}
        logprobs = completion_logprobs(model, given["prompts"], given["tokens"]).double().numpy()
    old, reference, advantages = (given[name].double().numpy() for name in ("old", "reference", "advantages"))
    objective = kl = 0.0
    for i, length in enumerate((5, 3, 1, 4)):
        for t in range(length):
            ratio, apart = np.exp(logprobs[i, t] - old[i, t]), reference[i, t] - logprobs[i, t]
            estimate = np.exp(apart) - apart - 1
            surrogate = min(ratio * advantages[i], np.clip(ratio, 0.8, 1.2) * advantages[i])
            objective += (surrogate - 0.04 * estimate) / length / 4
            kl += estimate / length / 4
    assert found["loss"] == pytest.approx(-objective, rel=1e-4)
    assert found["kl"] == pytest.approx(kl, rel=1e-4)
    assert 0 < found["clip_share"] < 1


def test_the_first_step_is_on_policy_and_later_ones_are_not():
    outputs = run(grpo(inputs(), **PARAMS), 4)
    assert outputs["ratio"][0].item() == pytest.approx(1, abs=1e-6)
    assert outputs["kl"][0].item() == pytest.approx(0, abs=1e-9)
    assert outputs["clip_share"][0] == 0
    assert (outputs["kl"][1:] > 1e-6).all()
    assert outputs["clip_share"][-1] > 0


def test_on_policy_the_loss_is_nought_and_its_gradient_is_not():
    """The advantages of a group sum to 0, and so does the loss; the gradient is that of - mean A log p."""
    model, given = tiny_module("tiny:llama"), batch()
    given = {**given, "mask": torch.ones(4, 5, dtype=torch.bool), "rewards": torch.tensor([1.0, 0.0, 0.5, 0.1])}
    with torch.no_grad():
        given = prepared(model, given, samples=4)
    loss = grpo_loss(0.2, 0.04)(model, given)["loss"]
    expected = -(given["advantages"][:, None] * completion_logprobs(model, given["prompts"], given["tokens"])).mean()
    weight = model.lm_head.weight
    ours, theirs = (torch.autograd.grad(value, weight)[0] for value in (loss, expected))
    assert abs(loss.item()) < 1e-6
    assert ours.norm() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_training_makes_what_was_rewarded_more_probable():
    step = grpo(inputs(), **{**PARAMS, "steps": 1, "epochs": 1, "beta": 0.0})
    losses = run(step, 6)["loss"]
    assert losses[-1] < losses[1] < -0.01


def test_rewards_are_those_of_the_texts():
    step = grpo(inputs(), **PARAMS)
    facts = step.details()
    assert np.shape(facts["rewards"]) == (2, 8)
    assert len(facts["completions"]) == 16
    found = [reward(text, "no number") for text in facts["completions"]]
    assert np.ravel(facts["rewards"]).tolist() == pytest.approx(found)
    assert len(set(found)) > 1


def test_text_after_the_end_has_no_part_in_the_reward():
    tokens = torch.tensor([[*byte_tokenizer().encode("12"), 258, *byte_tokenizer().encode("7")]])
    given = {"tokens": tokens, "mask": torch.tensor([[True, True, True, False]])}
    assert decoded(byte_tokenizer(), given) == ["12"]


def test_golden_is_float64_close_and_trains_on_the_same_tokens():
    device, golden = inputs(), inputs(golden=True)
    ours, exact = run(grpo(device, **PARAMS, detailed=True), 3), run(grpo(golden, **PARAMS, detailed=True), 3)
    assert device.digests == golden.digests
    assert {t.dtype for t in exact.values()} == {torch.float64}
    torch.testing.assert_close(ours["loss"].double(), exact["loss"], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(ours["first/advantages"].double(), exact["first/advantages"], rtol=1e-5, atol=1e-6)


def test_cases_take_several_steps_on_each_batch_and_clip():
    assert all(case.rounds == case.params["steps"] > case.params["epochs"] - 1 > 1 for case in CASES)
    tiny = next(case for case in CASES if case.id == "post_training/grpo/llama[float32]")
    outputs = run(tiny.workload(inputs(), **tiny.params), tiny.rounds)
    assert 0.02 < outputs["clip_share"].max() < 0.5


def test_bfloat16_has_the_inputs_of_float32():
    full, mixed = inputs(), inputs(torch.bfloat16)
    a, b = (run(grpo(each, **PARAMS)) for each in (full, mixed))
    assert full.digests == mixed.digests
    assert not torch.equal(a["grad/lm_head.weight"], b["grad/lm_head.weight"])
    assert replace(CASES[0], dtype="bfloat16").params == CASES[0].params
