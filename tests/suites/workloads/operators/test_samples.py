"""Many samples of one operator: results, gradients, refusals, in words and by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.inputs import Inputs
from suites.workloads.operators.samples import Calls, Sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch warns of some of its own samples


def calls(operator: Callable[..., Any], *samples: Sample, golden: bool = False, form_only: bool = False) -> Calls:
    inputs = Inputs(0, torch.float32, torch.clone, torch.device("cpu"), golden)
    return Calls(inputs, operator, samples, form_only)


def leaf(*shape: int) -> Tensor:
    return torch.linspace(0.5, 1.5, int(torch.tensor(shape).prod())).reshape(shape).requires_grad_()


def test_results_and_gradients_are_named_by_sample() -> None:
    made = calls(lambda a, b: (a * b, a + b), Sample((leaf(3), leaf(3)), {}), Sample((torch.ones(2), torch.ones(2)), {}))
    assert list(made()) == ["000.0", "000.1", "000.grad0", "000.grad1", "001.0", "001.1"]


def test_a_gradient_is_that_of_a_cotangent_that_every_dtype_holds() -> None:
    given = calls(lambda x: x * 3, Sample((leaf(4),), {}))()["000.grad0"] / 3
    assert torch.equal((given * 16).round(), given * 16)
    assert given.abs().max() <= 4


def test_the_golden_is_float64_even_where_the_operator_asks_for_less() -> None:
    outputs = calls(lambda x: x.to(torch.bfloat16).float().sum(dtype=torch.float32), Sample((leaf(5),), {}), golden=True)()
    assert outputs["000.0"].dtype is torch.float64
    assert outputs["000.0"].item() == pytest.approx(5.0, abs=1e-12)


def test_a_sample_that_raises_does_not_take_the_others_with_it() -> None:
    def picky(x: Tensor) -> Tensor:
        if x.numel() == 1:
            raise IndexError("too\nsmall")
        return x

    made = calls(picky, Sample((torch.ones(1),), {}), Sample((torch.ones(2),), {}))
    assert list(made()) == ["001.0"]
    assert made.details()["raised"] == {"000": {"unsupported": False, "message": "IndexError: too small"}}


def test_what_the_device_says_of_every_sample_is_the_case_s_own_error() -> None:
    def lacking(x: Tensor) -> Tensor:
        raise NotImplementedError("no such kernel")

    with pytest.raises(NotImplementedError, match="no such kernel"):
        calls(lacking, Sample((torch.ones(1),), {}))()


def test_complex_sparse_and_plain_numbers_become_tensors() -> None:
    sparse = torch.eye(2).to_sparse()
    outputs = calls(lambda x: (torch.complex(x, x), sparse, 3, True), Sample((torch.ones(2),), {}))()
    assert [tuple(outputs[f"000.{k}"].shape) for k in range(4)] == [(2, 2), (2, 2), (), ()]


def test_form_only_keeps_dtype_and_shape_and_nothing_else() -> None:
    outputs = calls(torch.empty_like, Sample((leaf(3, 4),), {}), form_only=True)()
    assert outputs["000.0"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(("rate", "draws"), [(0.5, True), (0.0, False)])
def test_a_sample_knows_whether_it_draws(rate: float, draws: bool) -> None:
    q = torch.randn(1, 1, 4, 8)
    attention = torch.nn.functional.scaled_dot_product_attention
    before = torch.get_rng_state()
    sample = Sample((q, q, q), {"dropout_p": rate}).tried(attention)
    assert sample.draws is draws
    assert draws or torch.equal(before, torch.get_rng_state())


def test_a_call_is_told_in_shapes() -> None:
    assert Sample((torch.ones(2, 3), [1, 2]), {"dim": -1}).words() == "(float32[2, 3], (1, 2), dim=-1)"


def test_nested_operands_are_placed_and_hashed() -> None:
    inputs = Inputs(0, torch.float32, torch.clone, torch.device("cpu"))
    made = Calls(inputs, torch.cat, [Sample(([torch.ones(2), torch.zeros(1)],), {})])
    assert list(inputs.digests) == ["calls", "samples"]
    assert len(inputs.placed) == 2
    assert made()["000.0"].tolist() == [1, 1, 0]


def test_what_indices_pick_is_kept_beside_them() -> None:
    outputs = calls(lambda x: torch.sort(x, dim=1), Sample((torch.tensor([[2.0, 1.0], [3.0, 4.0]]),), {}))()
    assert outputs["000.1~picked1"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    flat = calls(torch.argmax, Sample((torch.tensor([2.0, 5.0, 1.0]),), {}))()
    assert flat["000.0~picked"].item() == 5.0


def test_indices_that_fit_nothing_pick_nothing() -> None:
    outputs = calls(lambda x: (x, torch.tensor([9, 9])), Sample((torch.ones(3),), {}))()
    assert [name for name in outputs if "~" in name] == []
