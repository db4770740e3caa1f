"""The shared training loop."""

import pytest
import torch
from torch.nn import functional

from suites.workloads.post_training.loop import Objective, train
from suites.workloads.post_training.optimizers import OPTIMIZERS
from suites.workloads.post_training.sft import logits, next_token
from tests.suites.workloads.tiny_model import VOCABULARY, batches, inputs, run, tiny


def given(batch, length, steps):
    return [{"tokens": tokens} for tokens in batches(None, batch, length, steps)]


def objective(tokens):
    return Objective(next_token, tokens, first=logits)


def test_loss_is_the_mean_over_next_tokens():
    model, tokens = tiny().double(), batches(None, 2, 8, 1)[0]
    with torch.no_grad():
        logits = model(input_ids=tokens).logits
        expected = -sum(
            functional.log_softmax(logits[b, t], -1)[tokens[b, t + 1]] for b in range(2) for t in range(7)
        ) / 14  # fmt: skip
        assert next_token(model, {"tokens": tokens})["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert 0.5 < expected / torch.tensor(VOCABULARY).log() < 3


def test_learns_a_batch_that_repeats():
    losses = run(train(inputs(), tiny(), given(2, 16, 1), objective(32), learning_rate=1e-2, sketches=False), 30)["loss"]
    assert losses[-1] < 0.2 * losses[0]


def test_batches_repeat_after_the_last():
    step = train(inputs(), tiny(), given(2, 8, 3), objective(16), learning_rate=0.0, sketches=False)
    losses = run(step, 6)["loss"]
    assert torch.equal(losses[:3], losses[3:])
    assert len(set(losses.tolist())) == 3


def test_updates_do_not_depend_on_a_gradient_above_the_limit():
    """AdamW's first step depends on the direction only; the norm that is reported is the one before clipping."""
    outputs = run(train(inputs(), tiny(), given(2, 8, 1), objective(16), learning_rate=1e-3, sketches=True))
    norm = torch.sqrt(sum(outputs[name].square().sum() for name in outputs if name.startswith("grad/")))
    assert outputs["grad_norm"].item() > 1
    assert outputs["grad_norm"].item() == pytest.approx(norm.item(), rel=0.2)  # sketches are estimates


def test_clipping_shows_in_the_second_moment():
    model = tiny()
    step = train(inputs(), model, given(2, 8, 1), objective(16), learning_rate=0.0, sketches=False)
    step.call()
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in model.parameters()]))
    assert norm.item() == pytest.approx(1.0, rel=1e-4)


def test_without_sketches_nothing_but_the_series():
    step = train(inputs(), tiny(), given(2, 8, 1), objective(16), learning_rate=1e-3, sketches=False)
    assert set(run(step)) == {"loss", "grad_norm"}
    assert (step.work, step.unit) == (16, "tokens")


def test_frozen_parameters_stay():
    model = tiny()
    model.requires_grad_(False)
    model.model.norm.weight.requires_grad_()
    before = model.model.embed_tokens.weight.clone()
    outputs = run(train(inputs(), model, given(2, 8, 1), objective(16), learning_rate=1e-2, sketches=True))
    assert torch.equal(model.model.embed_tokens.weight, before)
    assert {name for name in outputs if "/" in name} == {"grad/model.norm.weight", "update/model.norm.weight"}


def test_in_detail_every_parameter_is_followed_from_step_to_step():
    model = tiny()
    step = train(
        inputs(), model, given(2, 8, 2), objective(16), learning_rate=1e-3, held_out=given(2, 8, 3)[2:], sketches=False, detailed=True
    )
    names = [name for name, _ in model.named_parameters()]
    outputs = run(step, 3)
    assert step.details() == {"parameters": names}
    assert outputs["grad_norms"].shape == outputs["update_norms"].shape == (3, len(names))
    torch.testing.assert_close(outputs["grad_norms"].square().sum(1).sqrt(), outputs["grad_norm"], rtol=1e-5, atol=0)
    assert outputs["first/logits"].shape == (2, 8, VOCABULARY)
    assert (outputs["first/logprobs"] < 0).all()
    assert outputs["held_out_loss"].shape == (2,)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_every_optimizer_learns_and_two_runs_are_alike(optimizer):
    losses = [
        run(train(inputs(), tiny(), given(2, 16, 1), objective(32), learning_rate=1e-2, optimizer=optimizer, sketches=False), 20)["loss"]
        for _ in range(2)
    ]
    assert torch.equal(*losses)
    assert losses[0][-1] < 0.5 * losses[0][0]
