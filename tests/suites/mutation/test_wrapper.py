"""What replaces an operator's result: by name, forward and backward, in place, into `out`, and never by a defect of its own."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Case, Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.mutation.wrapper import Mutant, Seeded, seeded


def mutant(*operators: str, function: Any) -> Mutant:
    return Mutant("m", operators, function, "", (Cause.VALUES,))


def plus_one(right: Any, **_: Any) -> Any:
    return right() + 1


X = torch.arange(6.0).reshape(2, 3)


def test_a_named_operator_returns_what_the_mutant_says() -> None:
    with Seeded(mutant("aten::mul", function=plus_one)) as mode:
        assert torch.equal(X * 2, torch.arange(6.0).reshape(2, 3) + X + 1)
        assert torch.equal(X + 0, X)
    assert mode.struck == {"aten::mul.Tensor": 1}
    assert mode.seen["aten::add.Tensor"] >= 1


def test_an_overload_can_be_named_alone() -> None:
    with Seeded(mutant("aten::sum.dim_IntList", function=plus_one)):
        assert float(X.sum()) == 15
        assert X.sum(1).tolist() == [4, 13]


def test_in_place_and_out_are_written_where_they_should_be() -> None:
    target, out = X.clone(), torch.empty(0)
    with Seeded(mutant("aten::mul", function=plus_one)):
        same = target.mul_(2)
        torch.mul(X, 3, out=out)
    assert same is target
    assert target.tolist() == [[1, 3, 5], [7, 9, 11]]
    assert out.tolist() == [[1, 4, 7], [10, 13, 16]]


def test_backward_operators_are_struck_too() -> None:
    x = X.clone().requires_grad_()
    with Seeded(mutant("aten::_softmax_backward_data", function=lambda right, **_: torch.ones_like(right()))):
        F.softmax(x, -1).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_an_argument_can_be_replaced_by_its_name_and_defaults_are_filled_in() -> None:
    def other(right: Any, alpha: Any = 1, **_: Any) -> Any:
        return right(alpha=alpha + 1)

    with Seeded(mutant("aten::add", function=other)):
        assert torch.equal(X + X, X * 3)


def test_a_mutant_that_stumbles_gives_the_right_result_and_is_told_of() -> None:
    def broken(right: Any, **_: Any) -> Any:
        raise IndexError("a defect")

    with Seeded(mutant("aten::mul", function=broken)) as mode:
        assert torch.equal(X * 2, X + X)
    assert not mode.struck
    assert list(mode.stumbled) == ["aten::mul.Tensor: IndexError: a defect"]


def test_what_the_operator_refuses_is_still_refused() -> None:
    with Seeded(mutant("aten::mm", function=plus_one)) as mode, pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        X @ X
    assert not mode.stumbled


def test_state_lasts_as_long_as_the_mutant_is_on() -> None:
    mode = Seeded(mutant("aten::neg", function=lambda right, **_: right() * right.count()))
    for expected in (-1, -2, -3):
        with mode:
            assert float(torch.ones(()).neg()) == expected


def doubled(inputs: Inputs, /) -> Step:
    x = inputs.normal("x", (3,)) * 1  # set-up is no part of what is timed
    return Step(lambda: {"out": x * 2}, finish=lambda: {"last": x * 3})


def test_only_the_step_of_a_case_runs_under_a_mutant_and_its_definition_stays() -> None:
    case = Case("operators/doubled[float32]", "operators", doubled, "float32", ())
    mode = Seeded(mutant("aten::mul", function=lambda right, **_: torch.zeros_like(right())))
    struck = seeded(case, mode)
    assert (struck.key(), struck.module) == (case.key(), case.module)
    step = struck.workload(Inputs(0, torch.float32, lambda x: x, torch.device("cpu")))
    assert step.finish is not None
    outputs: list[Tensor] = [step.call()["out"], step.finish()["last"]]
    assert not any(out.any() for out in outputs)
    assert mode.struck == {"aten::mul.Tensor": 2}
