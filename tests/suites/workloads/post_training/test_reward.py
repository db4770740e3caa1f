"""A reward model on a tiny backbone."""

import numpy as np
import pytest
import torch

from suites.assets.families import FAMILIES, byte_tokenizer, tiny_module
from suites.workloads.post_training.completions import padded, pair_batches
from suites.workloads.post_training.reward import CASES, reward, reward_loss, rewards, with_head
from tests.suites.workloads.post_training.text import use_text
from tests.suites.workloads.post_training.trl_model import trl_trainer
from tests.suites.workloads.tiny_model import inputs, run

PARAMS = {"model": "tiny:llama", "pairs": 2, "length": 32, "steps": 4, "epochs": 2, "learning_rate": 2e-4}
ROWS = [([5, 6, 7], [8, 9]), ([5], [6, 7, 8, 9, 10])]


@pytest.fixture(autouse=True)
def text(monkeypatch):
    use_text(monkeypatch)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reward_is_the_heads_product_with_the_last_tokens_state(family):
    model = with_head(inputs(), tiny_module(f"tiny:{family}"))
    with torch.no_grad():
        found = rewards(model, padded(ROWS, 12, 0))
        for i, (prompt, completion) in enumerate(ROWS):
            states = model.backbone(input_ids=torch.tensor([[*prompt, *completion]])).last_hidden_state[0]
            expected = float(states[-1].double().numpy() @ model.head[0].double().numpy())
            assert found[i].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_its_preferences(family):
    step = reward(inputs(), **{**PARAMS, "model": f"tiny:{family}", "steps": 1, "epochs": 1}, sketches=False)
    found = run(step, 5)
    assert found["loss"][-1] < 0.7 * found["loss"][0]
    assert found["accuracy"][-1] == 1


def test_the_head_is_drawn_from_the_inputs_and_trained():
    given = inputs()
    outputs = run(reward(given, **PARAMS), 2)
    assert {"head", "weights", "tokens"} <= given.digests.keys()
    assert outputs["grad/head"].any()
    assert outputs["update/head"].any()
    assert not any("lm_head" in name for name in outputs)


def test_the_head_has_the_spread_of_the_paper():
    head = with_head(inputs(), tiny_module("tiny:llama")).head
    assert head.std().item() == pytest.approx(1 / np.sqrt(65), rel=0.25)


def test_loss_is_the_formula_written_out():
    model = with_head(inputs(), tiny_module("tiny:llama"))
    (batch,) = pair_batches(byte_tokenizer(), 3, 32, 1)
    with torch.no_grad():
        found, scores = reward_loss(model, batch), rewards(model, batch).double().numpy()
    assert found["loss"].item() == pytest.approx(np.mean(np.log1p(np.exp(scores[3:] - scores[:3]))), rel=1e-5)


def test_what_is_followed_and_compared():
    outputs = run(reward(inputs(), **PARAMS, detailed=True), 2)
    assert outputs["first/rewards"].shape == (4,)
    assert outputs["margins"].shape == (2, 2)
    assert outputs["held_out_loss"].shape == (2,)


def test_rewards_of_bfloat16_are_not_rounded_to_it():
    found = run(reward(inputs(torch.bfloat16), **PARAMS, detailed=True))
    assert found["first/rewards"].dtype is torch.float32
    assert not torch.equal(found["first/rewards"], found["first/rewards"].bfloat16().float())


def test_golden_is_float64_and_close():
    device, golden = inputs(), inputs(golden=True)
    ours, exact = run(reward(device, **PARAMS), 3), run(reward(golden, **PARAMS), 3)
    assert device.digests == golden.digests
    assert {tensor.dtype for tensor in exact.values()} == {torch.float64}
    torch.testing.assert_close(ours["loss"].double(), exact["loss"], rtol=1e-4, atol=0)


def test_trl_has_the_same_loss():
    pytest.importorskip("trl")
    from types import SimpleNamespace

    from trl import RewardTrainer

    model = with_head(inputs(), tiny_module("tiny:llama"))
    (batch,) = pair_batches(byte_tokenizer(), 3, 32, 1)
    trainer = trl_trainer(args=SimpleNamespace(center_rewards_coefficient=None))
    given = {"input_ids": batch["tokens"], "attention_mask": batch["attention_mask"]}
    with torch.no_grad():
        theirs = RewardTrainer.compute_loss(
            trainer, lambda input_ids, attention_mask, **_: SimpleNamespace(logits=model(input_ids, attention_mask)[:, None]), given
        )
        ours = reward_loss(model, batch)
    assert theirs.item() == pytest.approx(ours["loss"].item(), rel=1e-5)
    assert trainer._metrics["train"]["accuracy"] == [pytest.approx(ours["accuracy"].item())]


def test_cases_cover_the_families():
    assert {case.id.partition("[")[0] for case in CASES} == {f"post_training/reward/{family}" for family in FAMILIES}
