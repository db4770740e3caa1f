"""What models select, recorded and replayed."""

import pytest
import torch

from suites.assets.families import FAMILIES, byte_tokenizer, tiny_module
from suites.assets.language_model import LanguageModel
from suites.workloads.post_training import selections as module
from suites.workloads.post_training.loop import Objective
from suites.workloads.post_training.selections import CASES, Selecting, exact_selections, replayed, selections
from suites.workloads.post_training.sft import CASES as SFT
from suites.workloads.post_training.sft import next_token
from tests.suites.workloads.tiny_model import inputs

TOKENS = torch.arange(48).reshape(2, 24) * 5 % 250
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
    given = inputs()
    model = tiny_module("tiny:qwen3_moe")
    objective, batches = replayed(
        given, model, Objective(next_token, tokens=48, first=next_token), [{"tokens": TOKENS}, {"tokens": TOKENS + 1}]
    )
    assert {name for name in batches[0] if "selection" in name} == {f"{kind}_selection_{i}" for kind in ("loss", "first") for i in range(3)}
    assert {name for name in batches[1] if "selection" in name} == {f"loss_selection_{i}" for i in range(3)}
    assert "loss_selection_1_2" in given.digests
    free = next_token(model, {"tokens": TOKENS})["loss"]
    torch.testing.assert_close(objective.loss(model, batches[0])["loss"], free)
    turned = {**batches[0], "loss_selection_0": (batches[0]["loss_selection_0"] + 3) % 8}
    assert abs(objective.loss(model, turned)["loss"] - free) > 1e-4


@pytest.mark.parametrize("family", ["deepseek_v4-flash", "deepseek_v3"])
def test_selections_are_named_by_where_they_are_made(family: str, monkeypatch) -> None:
    name = f"tiny:{family}"
    monkeypatch.setattr(module, "load", lambda _: LanguageModel(tiny_module(name), byte_tokenizer(), name, "drawn"))
    outputs = selections(inputs(), model=name, batch=2, length=24).call()
    places = {key.removeprefix("chosen/") for key in outputs if key.startswith("chosen/")}
    assert any(place.endswith(".mlp.gate") for place in places)
    assert any(place.endswith(".indexer") for place in places) == (family != "deepseek_v3")
    for place in places:
        scores, chosen = outputs[f"scores/{place}"], outputs[f"chosen/{place}"]
        assert scores.ndim == chosen.ndim == 2
        assert chosen.dtype is torch.int64
        assert torch.equal(scores.gather(1, chosen).sort().values, scores.topk(chosen.shape[1]).values.sort().values)


def test_every_family_that_selects_has_its_cases() -> None:
    assert {case.params["model"] for case in CASES} == {f"tiny:{family}" for family in SELECTING}
    assert {case.dtype for case in CASES} == {"float32", "bfloat16"}


def test_bfloat16_trains_families_that_select_with_their_selections_given() -> None:
    by_name = {case.id: case for case in SFT}
    replaying = by_name["post_training/sft/qwen3_moe[bfloat16]"]
    assert replaying.params["replay"] is True
    assert replaying.golden_of is None
    assert "replay" not in by_name["post_training/sft/qwen3_moe[float32]"].params
    assert by_name["post_training/sft/llama[bfloat16]"].golden_of == "post_training/sft/llama[float32]"
