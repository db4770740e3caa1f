"""Power: against simulation, and against the threshold of the test."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from harness.detectable import detectable, fewest, power, threshold
from harness.paired import mcnemar, tango


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.05, 0.01, 0.05 / 9]))
def test_the_threshold_is_where_the_test_decides(b, c, alpha):
    assert (mcnemar(b, c) < alpha) == (b + c >= fewest(alpha) and abs(b - c) >= threshold(b + c, alpha))


@pytest.mark.parametrize(("n", "noise", "loss", "alpha"), [(200, 0.04, 0.03, 0.05), (80, 0.0, 0.1, 0.01), (500, 0.02, 0.0, 0.05)])
def test_power_is_what_simulation_finds(n, noise, loss, alpha):
    draws = np.random.default_rng(1).multinomial(n, [noise / 2 + loss, noise / 2, 1 - noise - loss], 20_000)[:, :2]
    pairs, counts = np.unique(draws, axis=0, return_counts=True)
    found = sum(int(k) for (b, c), k in zip(pairs, counts, strict=True) if mcnemar(int(b), int(c)) < alpha) / 20_000
    assert power(n, noise, loss, alpha) == pytest.approx(found, abs=0.011)


def test_the_detectable_loss_is_found_four_times_in_five():
    found = detectable(300, 0.02, 0.01)
    assert power(300, 0.02, found, 0.01) == pytest.approx(0.8, abs=1e-3)
    assert found > threshold(6, 0.01) / 300


def test_more_samples_show_less_and_noise_hides():
    shown = [detectable(n, 0.02, 0.05) for n in (100, 300, 1000, 3000)]
    assert shown == sorted(shown, reverse=True)
    assert detectable(300, 0.0, 0.05) < detectable(300, 0.02, 0.05) < detectable(300, 0.1, 0.05)


def test_too_few_samples_show_nothing():
    assert detectable(5, 0.0, 0.01) is None
    assert detectable(10, 1.0, 0.01) is None
    assert power(10, 0.0, 0.0, 0.05) == 0.0


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table in docs/accuracy.md whose head begins so."""
    lines = (Path(__file__).parents[2] / "docs" / "accuracy.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(heading))
    body = lines[start + 2 : start + 20]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body[: body.index("")]]


def equal_within(n: int, noise: float, margin: float) -> float:
    """Return how often sound devices are shown to be equal within a margin."""
    found = 0.0
    for m in range(int(n * noise + 6 * np.sqrt(n * noise + 1)) + 8):
        passing = [b for b in range(m + 1) if tango(n, b, m - b, 0.95).within(margin)]
        found += binom.pmf(m, n, noise) * binom.pmf(passing, m, 0.5).sum()
    return found


@pytest.mark.parametrize("row", rows("| samples | discordance"), ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_docs_table_is_what_is_computed(row):
    n, noise = int(row[0]), float(row[1].removesuffix(" %")) / 100
    found = []
    for alpha in (0.05, 0.05 / 12):
        found += [f"{100 * threshold(round(n * noise), alpha) / n:.1f}", f"{100 * detectable(n, noise, alpha):.1f}"]
    assert row[2:6] == found
    if n < 1000:
        assert row[6] == f"{100 * equal_within(n, noise, 0.03):.0f} %"


@pytest.mark.parametrize("row", rows("| gate | samples"), ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_docs_table_of_gates_is_what_is_computed(row):
    n = int(row[1].split()[0])
    if "±5" in row[0] or row[3] == "–":
        outside = np.abs(np.arange(n + 1) / n - 0.5) > 0.05 + 1e-12
        assert row[2] == f"{100 * binom.pmf(np.arange(n + 1), n, 0.5)[outside].sum():.0f} %"
    else:
        assert row[2:] == [f"{100 * power(n, 0.04, loss, 0.05):.0f} %" for loss in (0.0, 0.03, 0.05)]
