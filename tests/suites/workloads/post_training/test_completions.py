"""Padded completions, and how probable they are."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given as given_examples
from hypothesis import settings
from hypothesis import strategies as st
from torch.nn import functional

from suites.assets.families import FAMILIES, byte_tokenizer, tiny_module
from suites.workloads.post_training.completions import (
    given,
    log_ratios,
    logprobs,
    padded,
    padding_of,
    pair_batches,
    token_logprobs,
    with_reference,
)
from tests.suites.workloads.post_training.text import use_text
from tests.suites.workloads.tiny_model import inputs, tiny

ROWS = [([5, 6, 7], [8, 9]), ([5], [6, 7, 8, 9, 10])]


def answering(logits):
    """A model whose logits are given."""
    return lambda **_: SimpleNamespace(logits=logits)


@given_examples(
    st.lists(st.tuples(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.lists(st.integers(1, 50), max_size=5)), min_size=1)
)
@settings(max_examples=40, deadline=None)
def test_rows_are_padded_on_the_right_and_masked(rows):
    batch = padded(rows, 10, 99)
    for i, (prompt, completion) in enumerate(rows):
        assert batch["tokens"][i].tolist() == [*prompt, *completion] + [99] * (10 - len(prompt) - len(completion))
        assert batch["tokens"][i][batch["completion_mask"][i]].tolist() == completion
        assert batch["tokens"][i][batch["attention_mask"][i].bool()].tolist() == [*prompt, *completion]


def test_padding_is_what_a_tokenizer_has():
    assert padding_of(byte_tokenizer()) == 256
    assert padding_of(SimpleNamespace(pad_token_id=None, eos_token_id=2)) == 2
    assert padding_of(SimpleNamespace(pad_token_id=None, eos_token_id=None)) == 0


def test_logprobs_are_those_of_the_completions_tokens():
    model, batch = tiny().double(), padded(ROWS, 7, 0)
    with torch.no_grad():
        found = logprobs(model, batch)
        for i, (prompt, completion) in enumerate(ROWS):
            alone = torch.tensor([[*prompt, *completion]])
            scores = functional.log_softmax(model(input_ids=alone).logits[0].double(), -1)
            expected = sum(scores[len(prompt) + k - 1, token] for k, token in enumerate(completion))
            assert found[i].item() == pytest.approx(expected.item(), rel=1e-6)


def test_no_gradient_at_prompts_and_padding():
    logits = torch.randn(2, 7, 20, requires_grad=True)
    batch = padded(ROWS, 7, 0)
    logprobs(answering(logits), batch).sum().backward()
    moved = logits.grad.abs().sum(-1) > 0
    assert torch.equal(moved[:, :-1], batch["completion_mask"][:, 1:])  # logits tell of the token that comes after
    assert not moved[:, -1].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_stands_in_the_padding_has_no_influence(family):
    """Neither what it is nor how long it is, in any family."""
    model, rows = tiny_module(f"tiny:{family}"), [(list(range(20, 33)), list(range(60, 70))), (list(range(5)), list(range(40, 58)))]
    with torch.no_grad():
        found = [token_logprobs(model, padded(rows, length, padding)) for length, padding in ((32, 256), (32, 17), (44, 256))]
    assert (found[0] != 0).sum() == 28
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[2][:, :31], found[0], rtol=1e-5, atol=1e-5)
    assert not found[2][:, 31:].any()


def test_infinite_scores_outside_completions_do_not_spread():
    logits = torch.zeros(2, 7, 20)
    logits[0, 0], logits[1, 6] = float("-inf"), float("nan")
    assert logprobs(answering(logits), padded(ROWS, 7, 0)).isfinite().all()


def test_pairs_come_chosen_first(monkeypatch):
    use_text(monkeypatch)
    batches = pair_batches(byte_tokenizer(), 3, 40, 2)
    assert [batch["tokens"].shape for batch in batches] == [(6, 40)] * 2
    for batch in batches:
        for chosen, rejected, done in zip(*batch["tokens"].chunk(2), batch["completion_mask"][:3], strict=True):
            prompt = int(done.nonzero()[0])
            assert torch.equal(chosen[:prompt], rejected[:prompt])
            assert not torch.equal(chosen, rejected)


def test_given_batches_are_hashed_by_key():
    put = inputs()
    batches = [padded(ROWS, 7, 0), padded(ROWS, 8, 1)]
    placed = given(put, batches, "x_")
    assert put.digests.keys() == {"x_tokens", "x_attention_mask", "x_completion_mask"}
    assert all(torch.equal(placed[i][key], batches[i][key]) for i in range(2) for key in batches[i])


def test_the_reference_is_the_model_as_it_is_and_has_no_gradient():
    model, batch = tiny(), padded(ROWS, 7, 0)
    (found,) = with_reference(inputs(), model, [batch])
    assert torch.equal(found["reference"], token_logprobs(model, batch).detach())
    assert not log_ratios(model, found).any()
    assert not found["reference"].requires_grad
