"""Probes of matrix products and convolutions: which bits of operands and of sums survive. Knows no device."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.checks.fingerprint.fact import DIGITS
from harness.checks.fingerprint.products import exponent, operand_values, rounding_terms, small_term, sum_terms
from harness.checks.fingerprint.rounding import fused_operands
from harness.inputs import Inputs
from suites.workloads.fingerprint.probing import Probe, allowed, cases, probing

_TERMS = 512  # a sum's length: several blocks of any matrix unit
_WIDTH = 64  # the other sides of a product, so that it is one for the matrix unit
_CHANNELS = 16


def product(inputs: Inputs, /) -> Step:
    """Multiply matrices that hold the probes' values among zeros and ones."""
    name = str(inputs.dtype).removeprefix("torch.")
    place = _placer(inputs)
    values = operand_values(DIGITS[name]).ravel()
    probes = {
        **_operand_probes(place, values, exponent(name)),
        **_sum_probes(place, name),
        **_order_probes(place, fused_operands(DIGITS[name])),
    }
    return probing(probes, allowed=allowed(inputs.device), small_terms=_TERMS - 2)


def _placer(inputs: Inputs) -> Callable[[str, np.ndarray], Tensor]:
    return lambda name, values: inputs.given(name, torch.from_numpy(np.ascontiguousarray(values)).to(inputs.dtype))


def _spread(values: np.ndarray) -> np.ndarray:
    """Return [len(values), _WIDTH] with each value in a row of its own, at another place of it."""
    rows = np.zeros((len(values), _WIDTH))
    rows[np.arange(len(values)), np.arange(len(values)) % _WIDTH] = values
    return rows


def _operand_probes(place: Callable[[str, np.ndarray], Tensor], values: np.ndarray, e: int) -> dict[str, Probe]:
    """The values as left and as right operand (returned as [values, 64]), products of two, and the range."""
    rows, ones = place("values", _spread(values)), place("ones", np.ones((_WIDTH, _WIDTH)))
    columns = place("values_right", _spread(values).T)
    sparse = values[: len(values) // 2]
    low = np.zeros((len(sparse), _WIDTH))
    low[:, 0] = sparse
    low_left, low_right = place("low_left", low), place("low_right", low.T)
    up, down = place("up", np.eye(_WIDTH) * 2.0**e), place("down", np.eye(_WIDTH) * 2.0**-e)
    return {
        "left": lambda: rows @ ones,
        "right": lambda: (ones @ columns).T.contiguous(),
        "cross": lambda: low_left @ low_right,
        "range": lambda: torch.diagonal(up @ down).clone(),
    }


def _sum_probes(place: Callable[[str, np.ndarray], Tensor], name: str) -> dict[str, Probe]:
    """Sums as products with ones: big + small - big in the first three terms, and in the first, the middle and the last one."""
    big, small = sum_terms(name)
    near, far = (_in_places(np.stack([np.full_like(small, big), small, np.full_like(small, -big)], 1), at) for at in ((0, 1, 2), _apart(3)))
    many = np.full((1, _TERMS), small_term(name))
    many[0, 0], many[0, -1] = big, -big
    rounding = _in_places(rounding_terms(name).reshape(-1, 4), (0, 1, _TERMS // 2, _TERMS - 1))
    ones = place("many_ones", np.ones((_TERMS, _WIDTH)))
    rows = {key: place(key, value) for key, value in (("near", near), ("far", far), ("many", many), ("rounding", rounding))}

    def sums(key: str) -> Probe:
        return lambda: rows[key] @ ones

    return {key: sums(key) for key in rows}


def _apart(count: int) -> tuple[int, ...]:
    return tuple(round(i * (_TERMS - 1) / (count - 1)) for i in range(count))


def _in_places(terms: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Return [rows, _TERMS] zeros with the terms of each row in those places."""
    rows = np.zeros((len(terms), _TERMS))
    rows[:, places] = terms
    return rows


def _order_probes(place: Callable[[str, np.ndarray], Tensor], operands: tuple[float, float, float]) -> dict[str, Probe]:
    """a * a - c, with the product as the last of two terms and as the first."""
    a, c, _ = operands
    left, right = np.zeros((_WIDTH, _WIDTH)), np.zeros((_WIDTH, _WIDTH))
    left[:, 0], left[:, 1], right[0], right[1] = -c, a, 1.0, a
    last = place("product_last_left", left), place("product_last_right", right)
    turned = np.roll(left[:, :2], 1, axis=1), np.roll(right[:2], 1, axis=0)
    left[:, :2], right[:2] = turned
    first = place("product_first_left", left), place("product_first_right", right)
    return {"product_last": lambda: last[0] @ last[1], "product_first": lambda: first[0] @ first[1]}


def convolution(inputs: Inputs, /) -> Step:
    """Convolve 3x3 images whose centres hold the probes' values, among zeros and ones."""
    name = str(inputs.dtype).removeprefix("torch.")
    place = _placer(inputs)
    values = operand_values(DIGITS[name]).ravel()
    sparse = values[: len(values) // 2]
    spread = _spread(values).reshape(len(values), 4, _CHANNELS).sum(1)  # each value in one of 16 channels
    images, kernels = place("images", _centred(spread)), place("kernels", _centred(spread))
    low = np.zeros((len(sparse), _CHANNELS))
    low[:, 0] = sparse
    low_images, low_kernels = place("low_images", _centred(low)), place("low_kernels", _centred(low))
    ones = place("ones", np.ones((_CHANNELS, _CHANNELS, 3, 3)))
    e = exponent(name)
    up, down = place("up", np.full((_CHANNELS, 1, 3, 3), 2.0**e)), place("down", _centred(np.full((_CHANNELS, 1), 2.0**-e)))
    return probing(
        {
            "left": lambda: F.conv2d(images, ones).flatten(1),
            "right": lambda: F.conv2d(ones, kernels).flatten(1).T.contiguous(),
            "cross": lambda: F.conv2d(low_images, low_kernels).flatten(1),
            "range": lambda: F.conv2d(up, down).flatten(),
        },
        allowed=allowed(inputs.device),
    )


def _centred(values: np.ndarray) -> np.ndarray:
    """Return [rows, channels, 3, 3] with the values in the centres, and zeros around them."""
    images = np.zeros((*values.shape, 3, 3))
    images[:, :, 1, 1] = values
    return images


CASES = (*cases(product, "product", "products"), *cases(convolution, "convolution", "convolution"))
