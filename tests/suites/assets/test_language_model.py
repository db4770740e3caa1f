"""load and resolve: what is loaded, and one line for everything that cannot be."""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.errors import AssayError
from suites.assets import language_model
from suites.assets.language_model import load, resolve


def save_tiny(folder: Path) -> LlamaForCausalLM:
    """Save a model of one layer with bfloat16 weights and a tokenizer of characters."""
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, bos_token_id=1, eos_token_id=2
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({chr(96 + i): i for i in range(32)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="b").save_pretrained(folder)
    return model


@pytest.fixture
def hub_offline(monkeypatch):
    def ask(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(language_model, "hf_hub_download", ask)
    monkeypatch.setattr(language_model, "is_offline_mode", lambda: True)


def test_a_folder_is_loaded_in_float32_for_evaluation(tmp_path):
    saved = save_tiny(tmp_path / "tiny")
    resolve(str(tmp_path / "tiny"))
    loaded = load(str(tmp_path / "tiny"))
    assert (loaded.name, loaded.module.dtype, loaded.module.training) == ("tiny", torch.float32, False)
    assert loaded.module.config._attn_implementation == "sdpa"
    assert torch.equal(loaded.module.lm_head.weight, saved.lm_head.weight.float())
    assert loaded.tokenizer("cab").input_ids == [3, 1, 2]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (None, "no such folder"),
        ([], "no config.json"),
        (["config.json"], "needs safetensors, and has neither"),
        (["config.json", "pytorch_model.bin"], "needs safetensors; pickled weights are not loaded"),
    ],
)
def test_a_folder_that_cannot_be_loaded(tmp_path, files, wanted):
    folder = tmp_path / "model"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).write_text("{}")
    for function in (resolve, load):
        with pytest.raises(AssayError, match=wanted) as caught:
            function(str(folder))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64])
def test_broken_weights_are_one_line(tmp_path, content):
    save_tiny(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(AssayError, match="cannot be loaded") as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["someone/some-model", "some-model"])
def test_a_hub_that_is_switched_off(hub_offline, model):
    with pytest.raises(AssayError, match=r"neither a folder here nor in the local cache, and the Hugging Face hub is switched off"):
        resolve(model)


def test_a_malformed_id_is_one_line():
    with pytest.raises(AssayError, match="usable Hugging Face id") as caught:
        resolve("some--model..")
    assert "\n" not in str(caught.value)


@pytest.fixture
def conversions(monkeypatch, tmp_path):
    """A cache of our own and a converter that writes one file; returns the list of its calls."""
    calls = []

    def convert(_, folder):
        calls.append(folder)
        (folder / "model.safetensors").write_text("converted")

    monkeypatch.setattr(language_model, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(language_model, "package_file", lambda *_: tmp_path / "source")
    monkeypatch.setattr(language_model, "convert", convert)
    return calls


def test_the_default_is_converted_once(conversions, tmp_path):
    resolve("default")
    resolve("default")
    assert len(conversions) == 1
    (folder,) = (tmp_path / "models").iterdir()
    assert (folder / "model.safetensors").read_text() == "converted"
    assert "0.1.2" in folder.name


def test_a_faster_process_wins(conversions, monkeypatch, tmp_path):
    made = language_model.convert

    def slow(source, folder):
        made(source, folder)
        other = tmp_path / "models" / language_model._FOLDER
        other.mkdir()
        (other / "model.safetensors").write_text("the other's")

    monkeypatch.setattr(language_model, "convert", slow)
    resolve("default")
    (folder,) = (tmp_path / "models").iterdir()
    assert (folder / "model.safetensors").read_text() == "the other's"


def test_a_full_disk_leaves_nothing_behind(conversions, monkeypatch, tmp_path):
    def full(_, folder):
        (folder / "model.safetensors").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(language_model, "convert", full)
    with pytest.raises(AssayError, match="free some space"):
        resolve("default")
    assert list((tmp_path / "models").iterdir()) == []
