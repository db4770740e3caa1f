"""The shared training loop."""

import pytest
import torch
from torch.nn import functional

from suites.workloads.training import next_token_loss, train
from tests.suites.workloads.tiny_model import VOCABULARY, batches, inputs, run, tiny


def test_loss_is_the_mean_over_next_tokens():
    model, tokens = tiny().double(), batches(None, 2, 8, 1)[0]
    with torch.no_grad():
        logits = model(input_ids=tokens).logits
        expected = -sum(
            functional.log_softmax(logits[b, t], -1)[tokens[b, t + 1]] for b in range(2) for t in range(7)
        ) / 14  # fmt: skip
        assert next_token_loss(model, tokens, torch.no_grad()).item() == pytest.approx(expected.item(), rel=1e-6)
    assert 0.5 < expected / torch.tensor(VOCABULARY).log() < 3


def test_learns_a_batch_that_repeats():
    losses = run(train(inputs(), tiny(), batches(None, 2, 16, 1), learning_rate=1e-2, sketches=False), 30)["loss"]
    assert losses[-1] < 0.2 * losses[0]


def test_batches_repeat_after_the_last():
    step = train(inputs(), tiny(), batches(None, 2, 8, 3), learning_rate=0.0, sketches=False)
    losses = run(step, 6)["loss"]
    assert torch.equal(losses[:3], losses[3:])
    assert len(set(losses.tolist())) == 3


def test_updates_do_not_depend_on_a_gradient_above_the_limit():
    """AdamW's first step depends on the direction only; the norm that is reported is the one before clipping."""
    outputs = run(train(inputs(), tiny(), batches(None, 2, 8, 1), learning_rate=1e-3, sketches=True))
    norm = torch.sqrt(sum(outputs[name].square().sum() for name in outputs if name.startswith("grad/")))
    assert outputs["grad_norm"].item() > 1
    assert outputs["grad_norm"].item() == pytest.approx(norm.item(), rel=0.2)  # sketches are estimates


def test_clipping_shows_in_the_second_moment():
    model = tiny()
    step = train(inputs(), model, batches(None, 2, 8, 1), learning_rate=0.0, sketches=False)
    step.call()
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in model.parameters()]))
    assert norm.item() == pytest.approx(1.0, rel=1e-4)


def test_without_sketches_nothing_but_the_series():
    step = train(inputs(), tiny(), batches(None, 2, 8, 1), learning_rate=1e-3, sketches=False)
    assert set(run(step)) == {"loss", "grad_norm"}
    assert (step.work, step.unit) == (16, "tokens")


def test_frozen_parameters_stay():
    model = tiny()
    model.requires_grad_(False)
    model.model.norm.weight.requires_grad_()
    before = model.model.embed_tokens.weight.clone()
    outputs = run(train(inputs(), model, batches(None, 2, 8, 1), learning_rate=1e-2, sketches=True))
    assert torch.equal(model.model.embed_tokens.weight, before)
    assert {name for name in outputs if "/" in name} == {"grad/model.norm.weight", "update/model.norm.weight"}
