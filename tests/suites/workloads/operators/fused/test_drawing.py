"""What cases of fused operators draw: whole numbers, permutations, choices; and the gradients that they take."""

import pytest
import torch
from torch import Tensor

from suites.workloads.operators.fused.drawing import bits, experts_of_tokens, shuffled, whole
from suites.workloads.operators.fused.gradients import with_gradients
from tests.suites.workloads.operators.judging import inputs_of


def test_whole_numbers_are_in_their_range_and_of_their_type() -> None:
    drawn = whole(inputs_of(), "x", (50, 20), -3, 4, torch.int8)
    assert drawn.dtype == torch.int8
    assert sorted(drawn.unique().tolist()) == list(range(-3, 4))


def test_each_row_is_a_permutation_of_its_own() -> None:
    rows = shuffled(0, "x", 20, 9).tolist()
    assert all(sorted(row) == list(range(9)) for row in rows)
    assert len({tuple(row) for row in rows}) > 15


def test_a_token_chooses_no_expert_twice() -> None:
    experts = experts_of_tokens(inputs_of(), "x", 30, 6, 4)
    assert all(len(set(row)) == 4 for row in experts.tolist())
    assert experts.max() == 5


def test_the_share_of_bits() -> None:
    assert float(bits(inputs_of(), "x", (100, 100), 0.3).double().mean()) == pytest.approx(0.3, abs=0.02)


def test_gradients_go_through_the_outputs_that_have_a_cotangent() -> None:
    def function(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"product": x * y, "square": x * x, "sum": x + y}

    operands = {"x": torch.tensor([2.0]), "y": torch.tensor([3.0])}
    found = with_gradients(function, operands, {"product": torch.tensor([10.0]), "square": torch.tensor([1.0])})()
    assert {name: value.item() for name, value in found.items()} == {
        "product": 6.0, "square": 4.0, "sum": 5.0, "grad_x": 34.0, "grad_y": 20.0,
    }  # fmt: skip
    assert not any(value.requires_grad for value in found.values())
