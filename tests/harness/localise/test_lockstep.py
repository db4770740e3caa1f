"""In step, exactly the operator that is wrong is found, first, with its place; a healthy pair finds none."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.localise.call import Call, Side
from harness.localise.lockstep import OutOfTime
from harness.verdict import Cause
from tests.harness.localise.sides import HEALTHY, compared, network, raising, train, wrong


def test_a_healthy_pair_has_no_offender_and_the_work_is_unchanged() -> None:
    alone, watched = network(), network()
    train(alone)
    found = compared(HEALTHY, lambda: train(watched))
    assert found.first is None
    assert found.counts["equal"] > 50
    assert set(found.counts) == {"equal", "view", "no value"}
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), watched.parameters(), strict=True))


@pytest.mark.parametrize(
    ("operator", "phase", "path"),
    [
        ("aten::_softmax", "forward", "1"),
        ("aten::addmm", "forward", "1.up"),
        ("aten::native_layer_norm", "forward", "1.norm"),
        ("aten::embedding", "forward", "0"),
        ("aten::_softmax_backward_data", "backward", "2"),
        ("aten::native_layer_norm_backward", "backward", "2.norm"),
        ("aten::embedding_dense_backward", "backward", "0"),
        ("aten::_log_softmax", "forward", ""),
    ],
)
def test_the_operator_that_is_wrong_is_named_with_its_place(operator: str, phase: str, path: str) -> None:
    def spoil(result):
        return tuple(r * 1.001 for r in result) if isinstance(result, tuple) else result * 1.001

    first = compared(wrong(operator, spoil), lambda: train(network())).first
    assert first is not None
    assert (first.operator, first.phase, first.path, first.figures.state) == (operator, phase, path, "off")


def test_an_update_is_placed_at_its_parameter() -> None:
    found = compared(wrong("aten::add_.Tensor", lambda result: result.mul_(1.001)), lambda: train(network()))
    assert found.first is not None
    assert (found.first.phase, found.first.path) == ("optimizer", "0.weight")


def test_an_error_is_not_passed_on() -> None:
    """The second layer gets the reference's input, so that only calls of the wrong operator are off."""
    found = compared(wrong("aten::_softmax", lambda result: result * 1.5), lambda: train(network()))
    assert {step.operator for step in found.offenders} == {"aten::_softmax"}
    assert found.counts["off"] == 2
    assert [step.path for step in found.offenders] == ["1", "2"]


def test_the_first_is_first_although_another_is_worse() -> None:
    factors = iter((1.001, 2.0))
    found = compared(wrong("aten::_softmax", lambda result: result * next(factors)), lambda: train(network()))
    assert found.first is not None
    assert found.first.path == "1"
    assert found.worst[0].path == "2"


def test_operands_of_the_first_offender_are_kept_as_they_were() -> None:
    weight = torch.ones(4, 4)

    def work() -> None:
        weight @ weight
        weight.zero_()

    found = compared(wrong("aten::mm", lambda r: r * 2), work)
    assert found.call is not None
    assert torch.equal(found.call.arguments[0][0], torch.ones(4, 4))


def test_operands_of_an_operator_in_place_are_those_before_it() -> None:
    x = torch.ones(300)
    found = compared(wrong("aten::mul_.Tensor", lambda r: r.mul_(1.5)), lambda: x.mul_(3.0))
    assert torch.equal(x, torch.full((300,), 3.0))
    assert found.call is not None
    assert torch.equal(found.call.arguments[0][0], torch.ones(300))


def test_random_operators_are_left_out_and_the_references_draw_is_used() -> None:
    x = torch.ones(100)
    torch.manual_seed(3)
    expected = torch.nn.functional.dropout(x) * 2
    torch.manual_seed(3)
    results = []
    found = compared(wrong("aten::native_dropout", lambda r: r), lambda: results.append(torch.nn.functional.dropout(x) * 2))
    assert found.counts["random"] >= 1
    assert found.first is None
    assert torch.equal(results[0], expected)


def test_what_the_candidate_lacks_is_listed_and_no_offender() -> None:
    side = raising("aten::_softmax", NotImplementedError("'softmax' is not implemented for 'Wrong'"))
    found = compared(side, lambda: train(network()))
    assert found.first is None
    assert [(name, n) for (name, _, _), n in found.refused.items()] == [("aten::_softmax", 2)]


def test_what_the_candidate_raises_is_an_offender_unless_another_is_off() -> None:
    found = compared(raising("aten::_softmax", RuntimeError("EZ9999: inner error")), lambda: train(network()))
    assert found.first is not None
    assert (found.first.operator, found.first.figures.state) == ("aten::_softmax", "raised")
    assert "EZ9999" in found.first.figures.message


def test_lists_that_are_written_to_are_compared() -> None:
    parts = [torch.ones(300), torch.ones(300)]

    def run(function, positional, keywords):
        result = function(*positional, **keywords)
        if function.name() == "aten::_foreach_mul_.Scalar":
            positional[0][1].add_(0.1)
        return result

    found = compared(Side("wrong", HEALTHY.device, HEALTHY.unsupported, run), lambda: torch._foreach_mul_(parts, 2.0))
    assert found.first is not None
    assert torch.equal(parts[1], torch.full((300,), 2.0))


def test_a_fused_attention_is_compared_through_the_public_function() -> None:
    q = torch.randn(1, 2, 20, 8, requires_grad=True)

    def work() -> None:
        torch.nn.functional.scaled_dot_product_attention(q, q * 2, q, is_causal=True).sum().backward()

    assert compared(HEALTHY, work).first is None
    first = compared(wrong("_attention", lambda r: (r[0] * 1.01, None)), work).first
    assert first is not None
    assert first.operator == "aten::_scaled_dot_product_flash_attention_for_cpu"


def test_special_values_name_their_cause() -> None:
    x = torch.tensor([1.0, 1000.0, -1.0] * 100)
    first = compared(wrong("aten::exp", lambda r: r.nan_to_num()), lambda: x.exp()).first
    assert first is not None
    assert first.figures.cause is Cause.SPECIAL


class Spoilt(TorchDispatchMode):
    """While on, a device whose softmax is wrong by a thousandth."""

    on = True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        return result * 1.001 if self.on and func.name() == "aten::_softmax" else result


def test_the_candidate_may_drive_and_is_then_judged_by_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What drives is run in place, so its fault is in PyTorch itself here, and is switched off for the other side."""
    device = Spoilt()
    monkeypatch.setattr(Call, "in_other_forms", lambda _: [])  # they would be spoilt too

    def sound(function, positional, keywords):
        device.on = False
        result = function(*positional, **keywords)
        device.on = True
        return result

    model, reference = network(), Side("sound", HEALTHY.device, HEALTHY.unsupported, sound)
    with device:
        found = compared(Side("spoilt", HEALTHY.device, HEALTHY.unsupported), lambda: train(model), reference, candidate_drives=True)
    assert found.driver == "spoilt"
    assert found.first is not None
    assert (found.first.operator, found.first.path) == ("aten::_softmax", "1")


def test_time_runs_out_with_a_word() -> None:
    with pytest.raises(OutOfTime, match="after 0 operators"):
        compared(HEALTHY, lambda: train(network()), seconds=-1.0)
