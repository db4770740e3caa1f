"""The pieces that mutants are made of."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from suites.mutation.arithmetic import in_blocks, keep_bits, pairwise, reduced_last, restored, truncated

FLOATS = arrays(np.float32, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32).filter(lambda v: v == 0 or abs(v) > 1e-30))


@given(FLOATS)
@settings(deadline=None)
def test_other_orders_give_nearly_the_same_sum(values: np.ndarray) -> None:
    x, exact = torch.from_numpy(values), float(values.astype(np.float64).sum())
    room = 40 * 2.0**-24 * float(np.abs(values).astype(np.float64).sum())
    assert abs(float(pairwise(x)) - exact) <= room
    assert abs(float(in_blocks(x, 7)) - exact) <= room


@given(FLOATS)
@settings(deadline=None)
def test_bits_are_rounded_to_nearest_and_truncation_never_grows(values: np.ndarray) -> None:
    x = torch.from_numpy(values)
    assert bool(((keep_bits(x, 11) - x).abs() <= 2.0**-11 * x.abs()).all())
    assert torch.equal(keep_bits(x, 8), x.bfloat16().float())
    cut = truncated(x, torch.bfloat16).float()
    assert bool((cut.abs() <= x.abs()).all())
    assert bool(((cut - x).abs() <= 2.0**-7 * x.abs()).all())


def test_special_values_stay() -> None:
    x = torch.tensor([float("inf"), float("nan"), -float("inf")])
    assert torch.equal(torch.nan_to_num(keep_bits(x, 11)), torch.nan_to_num(x))
    assert torch.equal(torch.nan_to_num(truncated(x, torch.float16)), torch.nan_to_num(x.half()))


def test_a_reduction_is_taken_apart_and_put_together() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    for dim in (1, [0, 2], None, [-1]):
        for keepdim in (False, True):
            got = restored(reduced_last(x, dim).sum(-1), x, dim, keepdim)
            assert torch.equal(got, x.sum(dim, keepdim))
