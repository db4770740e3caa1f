"""The shape of an error: sound arithmetic has none, and each kind of fault has its own."""

import numpy as np
import pytest
import torch

from harness.checks.errors import Output, size_up
from harness.checks.structure import cause_of, cause_of_few, misshapen, structure_of
from harness.verdict import Cause

RNG = np.random.default_rng(0)
G = RNG.standard_normal((64, 96))
U = 2.0**-8


def bfloat16(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(x).bfloat16().float().numpy()


def shape(candidate: np.ndarray, reference: np.ndarray | None = None) -> Cause | None:
    one = Output(G, candidate, (bfloat16(G) if reference is None else reference,))
    found = misshapen(one, size_up([one])[0], U, 1)
    return found.cause if found else None


def test_rounding_to_nearest_has_no_structure() -> None:
    found = structure_of(bfloat16(G) - G, G)
    assert max(found.rows, found.columns) < 0.05 * U
    assert found.bias < 0.1 * U


def test_noise_of_twice_the_size_has_no_structure() -> None:
    assert shape((bfloat16(G) + 0.5 * U * G * RNG.uniform(-1, 1, G.shape)).astype(np.float32)) is None


@pytest.mark.parametrize("axis", [0, 1])
def test_a_statistic_that_is_rounded_shows_as_a_factor_of_rows_or_columns(axis: int) -> None:
    factor = 1 + 0.7 * U * RNG.choice([-1.0, 1.0], G.shape[axis])
    assert shape(bfloat16(G * (factor[:, None] if axis == 0 else factor))) is Cause.STATISTIC


def test_truncation_shows_as_a_bias() -> None:
    bits = torch.from_numpy(G.astype(np.float32)).view(torch.int32) & -65536
    assert shape(bits.view(torch.float32).numpy()) is Cause.ROUNDING


def test_what_an_accepted_side_does_too_is_no_fault() -> None:
    bits = (torch.from_numpy(G.astype(np.float32)).view(torch.int32) & -65536).view(torch.float32).numpy()
    assert shape(bits, bits) is None


def test_a_result_closer_than_the_accepted_one_is_left_alone() -> None:
    assert shape((G * (1 + 0.2 * U)).astype(np.float32)) is None


def faulty(kind: str) -> np.ndarray:
    x = G.copy()
    if kind == "tail of columns":
        x[:, -5:] = 0
    elif kind == "last row":
        x[-1] = 0
    elif kind == "one element":
        x[17, 3] *= 4
    elif kind == "scattered":
        x.reshape(-1)[RNG.choice(x.size, 40, replace=False)] *= 3
    elif kind == "another formula":
        x = np.tanh(x)
    elif kind == "coarse":
        x = x * (1 + 3e-4 * RNG.standard_normal(x.shape))
    elif kind == "row factors":
        x = x * (1 + 3e-4 * RNG.standard_normal((64, 1)))
    elif kind == "too small":
        x = x * (1 - 3e-4 * RNG.uniform(0.5, 1, x.shape))
    else:
        x[3, 4] = np.nan
    return x


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("tail of columns", Cause.TAIL), ("last row", Cause.TAIL), ("one element", Cause.SPARSE), ("scattered", Cause.SPARSE),
        ("another formula", Cause.VALUES), ("coarse", Cause.PRECISION), ("row factors", Cause.STATISTIC), ("too small", Cause.ROUNDING),
        ("not a number", Cause.SPECIAL),
    ],
)  # fmt: skip
def test_a_large_error_names_its_likely_cause(kind: str, cause: Cause) -> None:
    assert cause_of(Output(G, faulty(kind), (G,)), 1e-5) is cause


@pytest.mark.parametrize(("at", "cause"), [(576, Cause.TAIL), (300, Cause.SPARSE)])
def test_one_element_too_far_off_for_the_rms_to_show_is_told_by_its_place(at: int, cause: Cause) -> None:
    golden = np.random.default_rng(0).standard_normal(577)
    device = golden * (1 + 2.0**-9 * np.random.default_rng(1).uniform(-1, 1, 577))
    device[at] += 0.03
    assert cause_of_few(Output(golden, device, (golden,)), 2.0**-7) is cause
