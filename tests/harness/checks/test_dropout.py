"""Dropout: mask, scale and gradient."""

import numpy as np
import pytest

from harness.checks.dropout import Dropout
from harness.verdict import Cause, Finding, Outcome
from tests.harness.checks.build import evidence

N, P = 1 << 13, 0.25
Arrays = dict[str, np.ndarray]


def drawn(pixels: int = 1) -> Arrays:
    rng = np.random.default_rng(0)
    operand = (1 + rng.random((N, pixels))).astype(np.float32)
    masks = (rng.random((3, N, 1)) >= P).astype(np.float32)
    scale = np.float32(1 / (1 - P))
    first, second, other = (operand * mask * scale for mask in masks)
    grad = np.broadcast_to(masks[0] * scale, operand.shape).copy()
    return {"operand": operand, "first": first, "second": second, "grad": grad, "anew": first[:256], "other": other[:256]}


def failing(arrays: Arrays) -> dict[str, Finding]:
    return {f.subject: f for f in Dropout(P)(evidence(arrays, arrays, None)) if f.outcome is not Outcome.PASS}


@pytest.mark.parametrize("pixels", [1, 4])
def test_sound_dropout_passes(pixels: int) -> None:
    assert not failing(drawn(pixels))


def test_a_mask_that_is_kept_fails() -> None:
    arrays = drawn()
    arrays["second"] = arrays["first"]
    found = failing(arrays)
    assert found.keys() == {"repetition", "independence"}
    assert all(f.cause is Cause.RANDOM for f in found.values())


def test_another_rate_fails() -> None:
    arrays = drawn()
    for name in ("first", "second", "anew", "other"):
        arrays[name] = arrays[name].copy()
        arrays[name][::16] = 0
    assert "distribution" in failing(arrays)


def test_a_scale_that_is_off_by_a_thousandth_fails() -> None:
    arrays = drawn()
    arrays["first"] = arrays["first"] * np.float32(1.001)
    arrays["anew"] = arrays["first"][:256]
    assert failing(arrays).keys() == {"scale"}


@pytest.mark.parametrize("fault", ["mask", "scale"])
def test_a_gradient_with_another_mask_or_scale_fails(fault: str) -> None:
    arrays = drawn()
    arrays["grad"] = np.roll(arrays["grad"], 1) if fault == "mask" else arrays["grad"] * np.float32(1 - P)
    assert failing(arrays).keys() == {"gradient"}


def test_a_channel_dropped_in_part_fails() -> None:
    arrays = drawn(4)
    kept = int(np.flatnonzero(arrays["first"][:, 0])[0])
    arrays["first"][kept, 2] = 0
    arrays["grad"][kept, 2] = 0
    assert failing(arrays).keys() == {"channels"}
