"""Tests of forward and backward by name: the product with the Jacobian, and leaving the operands alone."""

import torch

from suites.workloads.operators.differentiate import differentiate


def test_gradients_are_the_cotangent_times_the_jacobian() -> None:
    left, right, cotangent = torch.tensor([2.0, 3.0]), torch.tensor([5.0, 7.0]), torch.tensor([1.0, 10.0])
    outputs = differentiate(lambda left, right: left * right, {"left": left, "right": right}, cotangent)()
    assert {name: tensor.tolist() for name, tensor in outputs.items()} == {
        "out": [10.0, 21.0],
        "grad_left": [5.0, 70.0],
        "grad_right": [2.0, 30.0],
    }


def test_operands_stay_as_they_were() -> None:
    operand = torch.tensor([2.0])
    call = differentiate(lambda operand: operand * operand, {"operand": operand}, torch.ones(1))
    assert call()["grad_operand"].tolist() == call()["grad_operand"].tolist() == [4.0]
    assert operand.grad is None
    assert not operand.requires_grad
