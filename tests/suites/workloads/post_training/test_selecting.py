"""What models select, recorded and replayed."""

import pytest
import torch

from suites.assets.families import FAMILIES, tiny_module
from suites.workloads.post_training import selecting
from suites.workloads.post_training.distillation import CASES as DISTILLATION
from suites.workloads.post_training.dpo import CASES as DPO
from suites.workloads.post_training.grpo import CASES as GRPO
from suites.workloads.post_training.kto import CASES as KTO
from suites.workloads.post_training.lora import CASES as LORA
from suites.workloads.post_training.reward import CASES as REWARD
from suites.workloads.post_training.selecting import Selecting, exact_selections, replaying, with_selections
from suites.workloads.post_training.sft import CASES as SFT
from suites.workloads.post_training.sft import next_token
from tests.suites.workloads.tiny_model import inputs

TOKENS = torch.arange(48).reshape(2, 24) * 5 % 250
STAGES = {"sft": SFT, "lora": LORA, "dpo": DPO, "kto": KTO, "reward": REWARD, "grpo": GRPO, "distillation": DISTILLATION}
SELECTING = [name for name, family in FAMILIES.items() if family.selects]


def forward(model) -> torch.Tensor:
    return model(input_ids=TOKENS, use_cache=False).logits


def test_a_topk_is_recorded_and_left_alone() -> None:
    x = torch.tensor([[1.0, 5.0, 3.0]])
    with Selecting() as seen:
        values, indices = torch.topk(x, 2)
        x.topk(k=1, dim=-1)
        torch.topk(input=x, k=1)
    assert (values.tolist(), indices.tolist()) == ([[5.0, 3.0]], [[1, 2]])
    assert [c.tolist() for c in seen.chosen] == [[[1, 2]], [[1]], [[1]]]
    assert all(torch.equal(s, x) for s in seen.scores)


def test_a_selection_that_is_given_is_taken_with_the_scores_that_it_has() -> None:
    x = torch.tensor([[1.0, 5.0, 3.0]], requires_grad=True)
    with Selecting([torch.tensor([[0, 2]])]) as seen:
        values, indices = x.topk(2, dim=-1)
    assert (values.tolist(), indices.tolist()) == ([[1.0, 3.0]], [[0, 2]])
    assert seen.chosen[0].tolist() == [[1, 2]]  # what it would have taken
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert gradient.tolist() == [[1.0, 0.0, 1.0]]


@pytest.mark.parametrize("given", [[], [torch.tensor([[0]])]])
def test_selections_of_another_run_are_refused(given) -> None:
    with pytest.raises(ValueError, match="selection 0 has the shape"), Selecting(given):
        torch.ones(1, 3).topk(2)


def test_float64_takes_the_first_of_equals() -> None:
    class Ties(torch.nn.Module):
        def forward(self):
            return torch.tensor([[0.0, 7.0, 7.0, 7.0]]).topk(2).indices

    assert exact_selections(Ties(), lambda model: model())[0].tolist() == [[1, 2]]  # type: ignore[arg-type]


@pytest.mark.parametrize("family", SELECTING)
def test_replaying_a_models_own_selections_changes_nothing(family: str) -> None:
    model = tiny_module(f"tiny:{family}")
    with torch.no_grad():
        free = forward(model)
        with Selecting(exact_selections(model, forward)) as seen:
            replay = forward(model)
    assert seen.chosen
    torch.testing.assert_close(replay, free, rtol=1e-4, atol=1e-5)


def test_other_selections_change_the_result() -> None:
    model = tiny_module("tiny:qwen3_moe")
    with torch.no_grad():
        given = exact_selections(model, forward)
        with Selecting([(indices + 1) % 8 for indices in given]):
            other = forward(model)
        assert (other - forward(model)).abs().max() > 1e-3


def test_batches_carry_their_selections_as_inputs() -> None:
    given, model = inputs(), tiny_module("tiny:qwen3_moe")
    batches = with_selections(given, model, next_token, [{"tokens": TOKENS}, {"tokens": TOKENS + 1}], prefix="own_")
    assert [set(batch) for batch in batches] == [{"tokens", *(f"selection_{i}" for i in range(3))}] * 2
    assert "own_selection_1_2" in given.digests
    free = next_token(model, {"tokens": TOKENS})["loss"]
    torch.testing.assert_close(next_token(model, batches[0])["loss"], free)
    turned = {**batches[0], "selection_0": (batches[0]["selection_0"] + 3) % 8}
    assert abs(next_token(model, turned)["loss"] - free) > 1e-4


def test_a_batch_without_selections_is_left_alone() -> None:
    with replaying({"tokens": TOKENS}) as seen:
        assert torch.tensor([1.0, 5.0]).topk(1).indices.tolist() == [1]
    assert seen is None


@pytest.mark.parametrize(("stage", "cases"), STAGES.items())
def test_bfloat16_trains_families_that_select_with_their_selections_given(stage: str, cases) -> None:
    by_name = {case.id.removeprefix(f"post_training/{stage}/"): case for case in cases}
    replayed = by_name["qwen3_moe[bfloat16]"]
    assert replayed.params["replay"] is True
    assert replayed.golden_of is None
    assert "replay" not in by_name["qwen3_moe[float32]"].params
    assert "replay" not in by_name["llama[bfloat16]"].params


@pytest.mark.parametrize(("stage", "cases"), STAGES.items())
def test_every_stage_trains_with_the_selections_that_it_was_given(stage: str, cases, monkeypatch) -> None:
    """Other experts given, and the gradient is another one."""
    case = next(case for case in cases if case.id == f"post_training/{stage}/qwen3_moe[bfloat16]")
    short = {**case.params, **({"epochs": 1} if "epochs" in case.params else {}), "steps": 1, "detailed": False}

    def norm() -> float:
        return float(case.workload(inputs(torch.bfloat16), **short).call()["grad_norm"])

    own = norm()
    monkeypatch.setattr(selecting, "exact_selections", lambda *given: [(one + 1) % 8 for one in exact_selections(*given)])
    assert norm() != own
