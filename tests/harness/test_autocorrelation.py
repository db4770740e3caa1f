"""What values in a row are worth."""

import numpy as np
import pytest

from harness.autocorrelation import effective, mean_variance, persistence


def autoregression(rng: np.random.Generator, rows: int, count: int, phi: float) -> np.ndarray:
    values = rng.normal(size=(rows, count))
    for i in range(1, count):
        values[:, i] = phi * values[:, i - 1] + (1 - phi * phi) ** 0.5 * values[:, i]
    return values


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6])
def test_what_a_value_keeps_of_the_last_is_found_from_many_short_series(phi: float) -> None:
    assert persistence(list(autoregression(np.random.default_rng(5), 40, 24, phi))) == pytest.approx(phi, abs=0.12)


def test_series_that_say_nothing_keep_nothing() -> None:
    assert persistence([np.zeros(20), np.arange(3.0)]) == 0
    assert persistence([np.arange(20.0) * 1e-6], floor=1e-3) == 0


def test_the_variance_of_a_mean_is_that_of_an_autoregression() -> None:
    means = autoregression(np.random.default_rng(6), 20_000, 10, 0.5).mean(axis=1)
    assert mean_variance(10, 0.5) == pytest.approx(float(means.var()), rel=0.05)


def test_independent_values_are_worth_their_number_and_others_less() -> None:
    assert effective(10, 0.0) == pytest.approx(10)
    assert 3 < effective(10, 0.5) < 5
