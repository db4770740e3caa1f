"""What an untrained model selects, by itself."""

import pytest
import torch

from suites.assets.families import FAMILIES, byte_tokenizer, tiny_module
from suites.assets.language_model import LanguageModel
from suites.workloads.post_training import selections as module
from suites.workloads.post_training.selections import CASES, selections
from tests.suites.workloads.tiny_model import inputs

SELECTING = [name for name, family in FAMILIES.items() if family.selects]


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
