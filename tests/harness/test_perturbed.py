"""Perturbed reruns: the same case with everything that floats moved by up to one roundoff."""

import pytest
import torch
from torch import nn

from harness.inputs import Inputs
from harness.manner import MOVED, PERTURBED, Manner


def inputs(manner: Manner = Manner.PLAIN, dtype: torch.dtype = torch.float32) -> Inputs:
    return Inputs(0, dtype, torch.clone, torch.device("cpu"), manner.exact, moved=manner.moved)


def weights(manner: Manner) -> tuple[Inputs, torch.Tensor]:
    given = inputs(manner)
    linear = nn.Linear(40, 30, bias=False)
    with torch.no_grad():
        linear.weight.copy_(inputs().normal("w", (30, 40)))
    return given, given.module("m", linear).weight.detach()


def test_they_are_in_the_cases_own_arithmetic_and_move_differently_from_all_others() -> None:
    assert not any(manner.exact for manner in PERTURBED)
    numbers = [abs(manner.moved) for manner in (*PERTURBED, *MOVED)]
    assert len({manner.moved for manner in (*PERTURBED, *MOVED)}) == len(numbers)
    assert not {m.moved for m in PERTURBED} & {-m.moved for m in PERTURBED}


@pytest.mark.parametrize("manner", PERTURBED)
def test_weights_move_by_at_most_one_unit_in_the_last_place(manner: Manner) -> None:
    _, plain = weights(Manner.PLAIN)
    given, moved = weights(manner)
    assert moved.dtype is torch.float32
    steps = moved.view(torch.int32) - plain.view(torch.int32)
    assert steps.abs().max() == 1
    assert 0.3 < (steps != 0).float().mean() < 0.9
    assert given.digests == weights(Manner.PLAIN)[0].digests


def test_no_two_reruns_move_alike() -> None:
    first, second = (weights(manner)[1] for manner in PERTURBED[:2])
    assert (first != second).float().mean() > 0.2


def test_drawn_inputs_move_and_integers_do_not() -> None:
    x = torch.linspace(1, 2, 100)
    assert (inputs(PERTURBED[0]).given("x", x) != x).any()
    assert torch.equal(inputs(PERTURBED[0]).integers("i", (50,), 0, 9), inputs().integers("i", (50,), 0, 9))
    assert torch.equal(inputs(PERTURBED[0], torch.int64).integers("i", (50,), 0, 9), inputs().integers("i", (50,), 0, 9))


def test_a_moved_golden_moves_its_weights_too() -> None:
    _, plain = weights(Manner.GOLDEN)
    _, moved = weights(Manner.MOVED_1)
    assert moved.dtype is torch.float64
    share = (moved / plain - 1)[plain != 0].abs() * 2**24
    assert share.min() >= 0.5 - 1e-6
    assert share.max() <= 1 + 1e-6
