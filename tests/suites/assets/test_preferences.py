"""Preference pairs of real text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import AssayError
from suites.assets import preferences as module
from suites.assets.families import byte_tokenizer
from suites.assets.preferences import preferences
from tests.suites.workloads.post_training.text import passages

TOKENIZER = byte_tokenizer()


@pytest.fixture(autouse=True)
def text(monkeypatch):
    monkeypatch.setattr(module, "passages", passages)


def encoded(length):
    return [tuple(tokens) for tokens in TOKENIZER(passages(60))["input_ids"] if len(tokens) >= length]


@given(st.integers(1, 5), st.integers(8, 60), st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_each_is_a_passage_and_what_another_has_in_its_place(count, length, start):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "passages", passages)
        found = preferences(TOKENIZER, count, length, start)
    texts = encoded(length)
    assert len(found) == count
    for i, pair in enumerate(found, start):
        begin = len(pair.prompt)
        assert pair.prompt + pair.chosen == texts[i][: begin + len(pair.chosen)]
        assert pair.rejected == texts[i + 1][begin : begin + len(pair.rejected)]
        assert length // 4 <= begin <= length // 2
        for completion in (pair.chosen, pair.rejected):
            assert (length - begin) // 2 <= len(completion) <= length - begin


def test_lengths_differ_from_pair_to_pair():
    found = preferences(TOKENIZER, 8, 48)
    assert len({len(pair.prompt) for pair in found}) > 3
    assert any(len(pair.chosen) != len(pair.rejected) for pair in found)


def test_start_leaves_out_the_first():
    assert preferences(TOKENIZER, 2, 40, start=3) == preferences(TOKENIZER, 5, 40)[3:]


def test_too_few_passages_of_that_length():
    with pytest.raises(AssayError, match="2 preferences of 500 tokens asked for, of 12 passages 0 are so long; ask for fewer or shorter"):
        preferences(TOKENIZER, 2, 500)
