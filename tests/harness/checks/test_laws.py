"""Laws in closed form."""

import numpy as np
import pytest

from harness.checks.laws import LAWS, Continuous, Discrete

CONTINUOUS = {"uniform": (-2.0, 6.0), "normal": (3.0, 0.5), "exponential": (0.5,), "cauchy": (1.0, 2.0), "log_normal": (0.5, 0.75)}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_quantiles_invert_the_distribution_function(name: str) -> None:
    law = LAWS[name](*CONTINUOUS[name])
    assert isinstance(law, Continuous)
    shares = np.linspace(0.01, 0.99, 21)
    assert law.cdf(law.quantile(shares)) == pytest.approx(shares)
    assert law.possible(law.quantile(shares)).all()


@pytest.mark.parametrize(
    ("name", "args", "impossible"),
    [
        ("uniform", (0.0, 1.0), [1.0, -1e-9, np.nan]),
        ("exponential", (1.0,), [0.0, -1.0, np.inf, np.nan]),
        ("log_normal", (0.0, 1.0), [0.0, np.nan]),
        ("normal", (0.0, 1.0), [np.inf, np.nan]),
        ("cauchy", (0.0, 1.0), [np.nan]),
    ],
)
def test_impossible_values(name: str, args: tuple[float, ...], impossible: list[float]) -> None:
    law = LAWS[name](*args)
    assert isinstance(law, Continuous)
    assert not law.possible(np.array(impossible)).any()


def test_a_closed_interval_has_its_end() -> None:
    law = LAWS["uniform"](0.125, 0.375, 1.0)
    assert isinstance(law, Continuous)
    assert law.possible(np.array([0.125, 0.375])).all()


@pytest.mark.parametrize(
    ("name", "args", "values", "wrong"),
    [
        ("integers", (-5.0, 20.0), range(-5, 20), [-6, 20, 0.5, np.nan]),
        ("integers", (0.0, 5000.0), range(5000), [-1, 5000]),
        ("bernoulli", (0.25,), [0, 1], [2, -1, 0.5, np.nan]),
        ("geometric", (0.25,), range(1, 200), [0, 1.5, np.inf, np.nan]),
        ("poisson", (4.0,), range(100), [-1, 0.5]),
        ("categories", (1.0, 0.0, 3.0), [0, 2], [1, 3, -1]),
    ],
)
def test_cells_take_what_is_possible(name: str, args: tuple[float, ...], values: list[int], wrong: list[float]) -> None:
    law = LAWS[name](*args)
    assert isinstance(law, Discrete)
    cells = law.cells(np.array(values))
    assert ((cells >= 0) & (cells < len(law.shares))).all()
    assert law.shares.sum() == pytest.approx(1)
    assert (law.cells(np.array(wrong)) == -1).all()


def test_shares_of_integers_are_counts() -> None:
    law = LAWS["integers"](7.0, 5007.0)
    assert isinstance(law, Discrete)
    counts = np.bincount(law.cells(np.arange(7, 5007)), minlength=len(law.shares))
    assert counts / 5000 == pytest.approx(law.shares)


def test_the_largest_integers_of_64_bits_have_cells() -> None:
    law = LAWS["integers"](0.0, 2.0**63)
    assert isinstance(law, Discrete)
    assert law.cells(np.array([0, 2**62, 2**63 - 2**40])).tolist() == [0, 32 * 8, 63 * 8]


def test_rows_are_pairs_without_repetition_and_permutations() -> None:
    pairs, permutations = LAWS["pairs"](1.0, 2.0, 1.0), LAWS["permutations"](3.0)
    assert isinstance(pairs, Discrete)
    assert isinstance(permutations, Discrete)
    rows = np.array([[0, 1], [1, 0], [1, 1], [0, 3]])
    cells = pairs.cells(rows)
    assert pairs.shares[cells[:2]] == pytest.approx([1 / 4 * 2 / 3, 2 / 4 * 1 / 2])
    assert cells[2:].tolist() == [-1, -1]
    assert permutations.shares[permutations.cells(np.array([[2, 0, 1]]))] == pytest.approx([1 / 6])
    assert permutations.cells(np.array([[2, 2, 1]])).tolist() == [-1]


def test_a_rounded_value_lies_within_the_blur() -> None:
    rng = np.random.default_rng(0)
    for name, args in CONTINUOUS.items():
        law = LAWS[name](*args)
        assert isinstance(law, Continuous)
        real = law.quantile(0.0005 + 0.999 * rng.random(2000))
        half = real.astype(np.float16).astype(np.float64)
        assert (np.abs(half - real) <= law.blur(half, 2.0**-11)).all()
