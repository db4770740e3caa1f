"""The rules for one operator's results, alone: close, off, equal, unjudged, and what is excused."""

import pytest
import torch
from torch import Tensor

from harness.localise.call import Call
from harness.localise.figures import Figures, Truth, judge
from harness.verdict import Cause

torch.manual_seed(0)
GOLDEN = torch.randn(40, 30, dtype=torch.float64)
EXACT = GOLDEN.float()
CPU = torch.device("cpu")


def figures(ours: Tensor, theirs: Tensor = EXACT, golden: Tensor | None = GOLDEN, tie: bool = False, chain: int = 1) -> Figures:
    return judge([ours], [[theirs]], Truth(None if golden is None else [golden], chain, [tie]))


def test_the_same_bits_are_equal_whatever_float64_says() -> None:
    assert figures(EXACT, golden=None).state == "equal"
    assert figures(torch.full((3,), torch.nan), torch.full((3,), torch.nan), None).state == "equal"


def test_an_error_of_the_last_place_is_close_and_a_coarser_one_is_off() -> None:
    moved = torch.nextafter(EXACT, torch.randn(40, 30) * 9)
    assert figures(torch.where(torch.rand(40, 30) < 0.3, moved, EXACT)).state == "close"
    off = figures(EXACT.bfloat16().float())
    assert (off.state, off.cause) == ("off", Cause.PRECISION)
    assert off.ratio > 1000


def test_a_longer_sum_may_be_off_by_more() -> None:
    noisy = (GOLDEN * (1 + 2.0**-24 * 8 * torch.randn(40, 30))).float()
    assert figures(noisy).state == "off"
    assert figures(noisy, chain=4096).state == "close"


def test_a_wrong_end_of_rows_is_named_tail() -> None:
    spoilt = EXACT.clone()
    spoilt[:, 16:] = 0
    assert figures(spoilt).cause is Cause.TAIL


def test_without_float64_a_difference_is_not_judged() -> None:
    assert figures(EXACT * 2, golden=None).state == "unjudged"


def test_an_accepted_form_is_enough() -> None:
    coarse = EXACT.bfloat16().float()
    truth = Truth([GOLDEN], 1, [False])
    assert judge([coarse], [[EXACT]], truth).state == "off"
    assert judge([coarse * (1 + 2.0**-20)], [[EXACT], [coarse]], truth).state == "close"


def test_another_form_is_off() -> None:
    assert figures(EXACT.double()).cause is Cause.FORM
    assert figures(EXACT[:3]).cause is Cause.FORM


@pytest.mark.parametrize("fill", [0.0, 1e-3])
def test_few_elements_in_many_zeros_and_a_constant_are_judged_all_the_same(fill: float) -> None:
    golden = torch.zeros(100, 100, dtype=torch.float64)
    golden[3] = fill or 1.0
    right, spoilt = golden.float(), golden.float()
    spoilt[3, 5] = 0
    assert figures(spoilt, right, golden).state == "off"
    assert figures(torch.nextafter(right, right * 2), right, golden).state in ("close", "equal")
    stray = right.clone()
    stray[50, 50] = 1e-2
    assert figures(stray, right, golden).state == "off"


def test_nan_is_right_only_where_the_golden_or_the_reference_has_it() -> None:
    golden = GOLDEN.clone()
    golden[0, 0] = torch.nan
    right = golden.float()
    assert figures(right, EXACT, golden).state in ("equal", "close")
    lost = right.clone()
    lost[1, 1] = torch.inf
    assert figures(lost, right, golden).cause is Cause.SPECIAL


def test_overflow_of_a_narrow_dtype_is_expected() -> None:
    golden = GOLDEN * 1e5
    assert figures(golden.half(), torch.nextafter(golden.half(), torch.zeros(1).half()), golden).state in ("close", "equal")
    assert figures(golden.half().clamp(-65504, 65504), golden.half(), golden).cause is Cause.SPECIAL


def test_integers_are_exact_unless_float64_agrees_with_the_candidate() -> None:
    ours, theirs = torch.arange(9), torch.arange(9)
    theirs[4] = 0
    assert figures(ours, theirs, theirs).cause is Cause.INTEGERS
    assert figures(ours, theirs, ours).state == "close"


def selection(ours: list[int], theirs: list[int]) -> Figures:
    scores = torch.tensor([3.0, 5.0, 5.0, 1.0])
    call = Call(torch.ops.aten.topk.default, ([scores, len(ours)], {}), CPU)
    values = scores[torch.tensor(theirs)]
    return call.judge([scores[torch.tensor(ours)], torch.tensor(ours)], [values, torch.tensor(theirs)])


def test_of_equal_values_any_may_be_chosen_but_none_twice() -> None:
    assert selection([2, 1], [1, 2]).state == "close"
    assert selection([1, 0], [1, 2]).state == "off"
    assert selection([1, 0], [1, 2]).cause is Cause.CHOICE
    assert selection([1, 1], [1, 2]).state == "off"


def test_argmax_may_take_another_of_equal_values() -> None:
    scores = torch.tensor([[1.0, 7.0, 7.0], [2.0, 0.0, 1.0]])
    call = Call(torch.ops.aten.argmax.default, ([scores, 1], {}), CPU)
    assert call.judge([torch.tensor([2, 0])], [torch.tensor([1, 0])]).state == "close"
    assert call.judge([torch.tensor([0, 0])], [torch.tensor([1, 0])]).state == "off"


def test_complex_results_are_judged_by_their_parts() -> None:
    golden = torch.complex(GOLDEN, GOLDEN.flip(0))
    right = golden.to(torch.complex64)
    assert figures(right * (1 + 1e-3), right, golden).state == "off"
    assert figures(right * (1 + 2.0**-24), right, golden).state in ("close", "equal")
