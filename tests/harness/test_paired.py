"""Paired comparison: intervals against their definition, exact p-values, coverage, and the correction for many tasks."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from harness.paired import bootstrap, holm, mcnemar, sign_flips, tango


def likelihood(only_reference, difference, n, b, c):
    """Return minus the log-likelihood of the counts, where p(c) = p(b) + difference."""
    parts = ((b, only_reference), (c, only_reference + difference), (n - b - c, 1 - 2 * only_reference - difference))
    return -sum(count * np.log(max(p, 1e-300)) for count, p in parts if count)


def score(difference, n, b, c):
    """Return the score statistic of a difference, its nuisance parameter found by maximising the likelihood numerically."""
    bounds = (max(0.0, -difference), (1 - difference) / 2)
    q = minimize_scalar(likelihood, bounds=bounds, args=(difference, n, b, c), method="bounded", options={"xatol": 1e-12}).x
    return (c - b - n * difference) / np.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(("n", "b", "c"), [(50, 14, 3), (100, 0, 1), (300, 4, 9), (30, 0, 30)])
def test_the_ends_of_tango_s_interval_are_just_not_rejected(n, b, c):
    found = tango(n, b, c, 0.95)
    assert found.mean == (c - b) / n
    for end, z in ((found.low, norm.ppf(0.975)), (found.high, -norm.ppf(0.975))):
        if abs(end) < 1:
            assert score(end, n, b, c) == pytest.approx(z, abs=1e-3)


def test_no_discordant_sample_leaves_an_interval():
    z2 = norm.ppf(0.95) ** 2
    assert (tango(100, 0, 0, 0.9).low, tango(100, 0, 0, 0.9).high) == (pytest.approx(-z2 / (100 + z2)), pytest.approx(z2 / (100 + z2)))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 200))
def test_tango_s_interval_is_odd_and_within_one(b, c, rest):
    one, other = tango(b + c + rest, b, c, 0.95), tango(b + c + rest, c, b, 0.95)
    assert -1 <= one.low <= one.mean <= one.high <= 1
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-9), pytest.approx(-other.low, abs=1e-9))


def test_more_discordant_samples_than_samples_are_refused():
    with pytest.raises(ValueError, match="3 and 4 discordant samples of 5"):
        tango(5, 3, 4, 0.95)


@pytest.mark.parametrize(("n", "noise", "difference"), [(150, 0.02, 0.02), (300, 0.04, 0.05), (80, 0.01, 0.05)])
def test_at_most_one_in_twenty_is_called_equivalent_at_the_margin(n, noise, difference):
    draws = np.random.default_rng(3).multinomial(n, [noise / 2 + difference, noise / 2, 1 - noise - difference], 4000)
    counts = {(int(b), int(c)) for b, c, _ in draws}
    equivalent = {pair for pair in counts if tango(n, *pair, 0.9).within(difference)}
    assert np.mean([(int(b), int(c)) in equivalent for b, c, _ in draws]) <= 0.06


def test_a_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(0.5, 2, 400)
    found = bootstrap(values)
    assert found == bootstrap(values)
    assert (found.low, found.high) == (
        pytest.approx(values.mean() - 1.96 * 0.1, abs=0.03),
        pytest.approx(values.mean() + 1.96 * 0.1, abs=0.03),
    )


def test_constant_differences_have_no_width():
    assert bootstrap(np.full(30, 0.25)) == bootstrap(np.full(40, 0.25))


def test_sign_flips_are_counted():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    means = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=4)]
    assert sign_flips(values) == pytest.approx(np.mean(np.array(means) >= 10))
    assert sign_flips(np.zeros(5)) == 1.0


def test_mcnemar_is_a_binomial_test():
    assert (mcnemar(0, 0), mcnemar(8, 0), mcnemar(3, 3)) == (1.0, pytest.approx(2 / 2**8), 1.0)


def test_holm_s_correction():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_corrects_no_less_than_not_at_all_and_no_more_than_bonferroni(p_values):
    corrected = holm(p_values)
    assert all(p <= q <= min(1.0, p * len(p_values)) for p, q in zip(p_values, corrected, strict=True))
    assert min(corrected) == min(1.0, min(p_values) * len(p_values))
