"""The tiny families are whole, the real ones as large as published."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.errors import AssayError
from suites.assets.families import FAMILIES, PREFIX, byte_tokenizer, tiny_module
from suites.assets.language_model import load, resolve

BILLIONS = {
    "DeepSeek-V4-Flash": 284, "DeepSeek-V4-Pro": 1573,
    "DeepSeek-V3.2": 671.9, "DeepSeek-V3": 671.0, "Qwen3-8B": 8.19, "Qwen3-30B-A3B": 30.5,
    "Llama-3.1-8B": 8.03,
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tiny_member_begins_near_chance_and_is_the_same_each_time(name: str) -> None:
    first, second = (tiny_module(PREFIX + name) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    tokens = torch.arange(64)[None] % 256
    loss = first(input_ids=tokens, labels=tokens).loss.item()
    assert loss == pytest.approx(torch.log(torch.tensor(259.0)).item(), abs=0.3)
    assert sum(p.numel() for p in first.parameters()) < 1_000_000


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, listed in FAMILIES.items() for name in listed.real])
def test_a_real_member_has_the_published_number_of_parameters(family: str, name: str) -> None:
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(FAMILIES[family].real_config(name))
    assert sum(p.numel() for p in module.parameters()) / 1e9 == pytest.approx(BILLIONS[name], rel=0.002)


@pytest.mark.parametrize("name", ["deepseek_v4-flash", "deepseek_v4-pro"])
def test_hash_routing_sends_a_token_to_different_experts(name: str) -> None:
    tables = [buffer for key, buffer in tiny_module(PREFIX + name).named_buffers() if key.endswith("tid2eid")]
    assert tables
    assert all((table.sort(1).values.diff(dim=1) > 0).all() for table in tables)


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(AssayError, match="tiny:nothing: no such family; there are tiny:deepseek_v4-flash"):
        resolve("tiny:nothing")
    with pytest.raises(AssayError, match="no such published model"):
        FAMILIES["llama"].real_config("Llama-9")


def test_the_bytes_are_the_tokens() -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(tokenizer.encode("Grün: 漢字")) == "Grün: 漢字"
    assert len(tokenizer.encode("Grün")) == 5
    assert (len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id) == (259, 258, 256)


def test_a_tiny_model_is_loaded_like_any_other() -> None:
    loaded = load("tiny:llama")
    assert (loaded.name, loaded.module.training) == ("tiny:llama", False)
