"""Portable draws, rounding, hashing."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.inputs import Inputs, draw_bits, draw_integers, draw_normal, sha256_of


def make(dtype=torch.float32, golden=False, seed=0) -> Inputs:
    return Inputs(seed, dtype, lambda t: t, torch.device("cpu"), golden)


def test_bits_are_those_of_splitmix64() -> None:
    # reference values of SplitMix64 with state 0, from the algorithm's definition in plain Python integers
    def splitmix(state: int) -> int:
        mask = (1 << 64) - 1
        z = state * 0x9E3779B97F4A7C15 & mask
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    key = int.from_bytes(hashlib.sha256(b"7:x").digest()[:8], "little")
    assert draw_bits(7, "x", 3).tolist() == [splitmix((key + i) % (1 << 64)) for i in (1, 2, 3)]


def test_the_first_draws_never_change() -> None:
    assert draw_integers(0, "x", 6, 0, 1000).tolist() == [826, 497, 748, 148, 680, 22]
    assert draw_normal(0, "x", 3).tolist() == [-1.036224365234375, -0.97796630859375, -0.3773651123046875]


def test_normal_has_mean_zero_and_variance_one() -> None:
    draws = draw_normal(1, "moments", 400_000)
    assert abs(draws.mean()) < 0.01
    assert abs(draws.var() - 1) < 0.01
    assert np.abs(draws).max() <= 6


def test_normal_does_not_depend_on_the_chunk() -> None:
    assert np.array_equal(draw_normal(2, "x", 300_000)[:1000], draw_normal(2, "x", 1000))


@given(low=st.integers(-100, 100), span=st.integers(1, 1 << 32), seed=st.integers(0, 1 << 40))
def test_integers_stay_in_range(low: int, span: int, seed: int) -> None:
    draws = draw_integers(seed, "n", 50, low, low + span)
    assert draws.min() >= low
    assert draws.max() < low + span


@given(names=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_streams_differ_by_name(names: list[str]) -> None:
    assert not np.array_equal(draw_bits(0, names[0], 8), draw_bits(0, names[1], 8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_golden_sees_the_rounded_numbers(dtype: torch.dtype) -> None:
    device, golden = make(dtype), make(dtype, golden=True)
    x, wide = device.normal("x", (5, 3)), golden.normal("x", (5, 3))
    assert x.dtype is dtype
    assert wide.dtype is torch.float64
    assert torch.equal(x.double(), wide)
    assert device.digests == golden.digests


def test_digests_tell_content_dtype_and_shape_apart() -> None:
    x = torch.arange(6, dtype=torch.float32)
    assert len({sha256_of(x), sha256_of(x.reshape(2, 3)), sha256_of(x.int()), sha256_of(x + 1)}) == 4


def test_a_single_element_of_any_stride_is_hashed() -> None:
    assert sha256_of(torch.arange(6.0).reshape(2, 3)[:1, 0]) == sha256_of(torch.zeros(1))


def test_an_input_has_one_name() -> None:
    inputs = make()
    inputs.normal("x", (2,))
    with pytest.raises(ValueError, match="twice"):
        inputs.normal("x", (2,))


def test_a_module_is_rounded_hashed_and_widened() -> None:
    linear = torch.nn.Linear(3, 2)
    state = {k: v.clone() for k, v in linear.state_dict().items()}
    golden = make(torch.bfloat16, golden=True)
    widened = golden.module("weights", linear)
    assert torch.equal(widened.weight, state["weight"].bfloat16().double())
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(state)
    device = make(torch.bfloat16)
    device.module("weights", other)
    assert device.digests == golden.digests


def test_buffers_keep_their_dtype_and_are_hashed() -> None:
    def made(frequency: float) -> torch.nn.Module:
        module = torch.nn.Linear(3, 2)
        torch.nn.init.ones_(module.weight)
        torch.nn.init.zeros_(module.bias)
        module.register_buffer("inv_freq", torch.tensor([frequency]), persistent=False)
        return module

    one, other = make(torch.bfloat16), make(torch.bfloat16)
    rounded = one.module("weights", made(0.1))
    other.module("weights", made(0.2))
    assert rounded.weight.dtype is torch.bfloat16
    assert rounded.inv_freq.dtype is torch.float32
    assert one.digests != other.digests


def test_a_fused_operator_is_the_devices_own_but_for_the_golden() -> None:
    def plain() -> str:
        return "plain"

    def own() -> str:
        return "own"

    def fused(golden: bool, found: object) -> str:
        return Inputs(0, torch.float32, lambda t: t, torch.device("cpu"), golden, lambda name: found).fused("npu_x", plain)()

    assert [fused(False, own), fused(True, own), fused(False, None)] == ["own", "plain", "plain"]
    assert make().fused("npu_x", plain) is plain
