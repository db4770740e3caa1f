"""Passages and packed batches."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.errors import AssayError
from suites.assets import corpus
from suites.assets.corpus import passages, token_batches


@pytest.fixture(autouse=True)
def text(monkeypatch, tmp_path):
    rows = ["abc", "de ", "abc", "fgh"]
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps({"passage": row}) + "\n" for row in rows))
    monkeypatch.setattr(corpus, "package_file", lambda *_: tmp_path / "dev.jsonl")
    corpus._all_passages.cache_clear()
    yield
    corpus._all_passages.cache_clear()


@pytest.fixture
def tokenizer():
    inner = Tokenizer(models.WordLevel({c: i for i, c in enumerate("|abcdefgh")}, unk_token="|"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="|")


def test_passages_are_distinct_and_in_order():
    assert passages(3) == ["abc", "de", "fgh"]


def test_more_passages_than_there_are():
    with pytest.raises(AssayError, match="4 passages asked for, BoolQ has 3"):
        passages(4)


def test_rows_are_packed_without_padding(tokenizer):
    batches = token_batches(tokenizer, batch=2, length=2, steps=2)
    assert batches.dtype == torch.int64
    assert batches.tolist() == [[[1, 2], [3, 0]], [[4, 5], [0, 6]]]


def test_start_leaves_out_steps(tokenizer):
    assert torch.equal(token_batches(tokenizer, 2, 2, 1, start=1), token_batches(tokenizer, 2, 2, 2)[1:])


def test_more_tokens_than_there_are(tokenizer):
    with pytest.raises(AssayError, match="12 tokens asked for, the passages have 11"):
        token_batches(tokenizer, 1, 4, 2, start=1)
