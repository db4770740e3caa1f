"""Have a device's random numbers the law that they are to have, and nothing to do with each other? Knows no operator.

A case gives two draws that follow each other, `first` and `second`, and the beginnings of two more: `anew` after the seed of `first`, and
`other` after another seed. n is the number of values in both draws. The tests, each at a level of 1e-8, some sixty in all, so that a sound
device fails fewer than one case in a million; draws have fixed seeds, so that one that passed passes again:

    support        every value is possible: uniform draws lie below 1, exponential ones above 0
    distribution   Kolmogorov-Smirnov against the exact law, or chi-square for integers
    tails          the counts beyond the quantiles 2^-1 ... 2^-12 of both ends, exactly binomial
    moments        mean and mean square of F(x) - 1/2
    independence   correlation of F(x) with the next values, with the position, and between the draws
    repetition     no sequence comes twice that is long enough for that never to happen by chance
    grain          of float32: as many different values as 22 random bits would give
    seeds          the same seed draws the same, another seed does not

Rounding: a device's value is a real draw moved by no more than `blur` (harness/checks/laws.py), so the share of values up to x lies, but
for chance, between F(x - blur) and F(x + blur). The statistic is how far it lies outside; for a sound device that is less than the plain
statistic of the real draws, whatever the rounding, so the level holds. The price is power against faults smaller than one unit in the
last place.

Power, at n = 65536: a normal draw whose mean is off by 0.04 deviations or whose deviation by 4 % (of bfloat16: 6 %), an exponential rate
off by 4 %, a probability of 1/2 off by 0.015, a correlation of 0.05 and a generator of 2^21 different values were each seen in 15 or more
of as many trials; half of the first four is seen in fewer than one of two.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.checks.chance import LEVEL, Statistic
from harness.checks.closeness import UNIT_ROUNDOFF
from harness.checks.evidence import Evidence
from harness.checks.independence import correlation, grain, repetition
from harness.checks.laws import LAWS, Continuous, Discrete
from harness.recording import Recording
from harness.verdict import Finding, Outcome

_LARGEST = {"float32": 2.0**128 - 2.0**104, "bfloat16": 2.0**128 - 2.0**120, "float16": 65504.0}
_TAILS = 2.0 ** -np.arange(1, 13)
_BEGINNING = 256  # values of `anew` and `other`
_CROWDED = 25  # expected draws in a cell of chi-square, at least: then its far tail is near enough


@dataclass(frozen=True)
class Distribution:
    """Draws of `law`, a name in LAWS, with parameters `args`. With `distinct` no value may come twice in a draw: a permutation."""

    law: str
    args: tuple[float, ...] = ()
    distinct: bool = False
    name: str = "distribution"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding a test; `reference` is the reference device's own statistic."""
        theirs = {test.name: test.value for test in self.tests(evidence.reference)}
        return [test.finding(self.name, theirs.get(test.name)) for test in self.tests(evidence.candidate)]

    def tests(self, recording: Recording) -> list[Statistic]:
        """Apply every test that there is for the law and the dtype."""
        law = LAWS[self.law](*self.args)
        drawn = recording.tensors
        found = statistics_of(law, drawn["first"], drawn["second"], recording.dtypes["first"])
        if self.distinct:
            found.append(_distinct(drawn["first"], drawn["second"]))
        return [*found, seeds_of(drawn["first"][:_BEGINNING], drawn["anew"][:_BEGINNING], drawn["other"][:_BEGINNING])]


def statistics_of(law: Continuous | Discrete, first: np.ndarray, second: np.ndarray, dtype: str) -> list[Statistic]:
    """Return the tests of two successive draws; where a value is impossible only that: the rest would say it again, less clearly."""
    both, length = np.concatenate([first, second]), len(first)
    possible = law.possible(both) if isinstance(law, Continuous) else law.cells(both) >= 0
    support = _support(both, possible, law.bounds)
    again = repetition(both if both.ndim == 1 else law.cells(both) if isinstance(law, Discrete) else both, length)
    if support.outcome is not Outcome.PASS:
        return [support, again]
    if isinstance(law, Discrete):
        cells = law.cells(both)
        return [support, _chi_square(cells, law.shares), correlation(cells / len(law.shares), length), again]
    values = np.clip(both.astype(np.float64), -_LARGEST[dtype], _LARGEST[dtype])  # infinity is a rounded draw where the law knows no end
    blur = law.blur(values, UNIT_ROUNDOFF[dtype])
    low, middle, high = (law.cdf(values + shift) for shift in (-blur, 0.0, blur))
    tests = [support, _kolmogorov(values, low, high), _tails(law, values, dtype), _moments(low, high), correlation(middle, length), again]
    return [*tests, grain(both)] if dtype == "float32" else tests


def _support(values: np.ndarray, possible: np.ndarray, bounds: str) -> Statistic:
    wrong = int(np.count_nonzero(~possible))
    example = f", for example {np.asarray(values[~possible][0]).tolist()}" if wrong else ""
    return Statistic("support", float(wrong), 0.0, f"{wrong} of {len(values)} values are not {bounds}{example}" if wrong else "")


def _kolmogorov(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> Statistic:
    """The largest distance of the empirical distribution function from the law's, beyond what rounding explains."""
    order, n = np.argsort(values, kind="stable"), len(values)
    above = np.arange(1, n + 1) / n - high[order]  # share of values up to x, minus the largest that a law may give
    below = low[order] - np.arange(n) / n
    distance = float(max(above.max(), below.max(), 0.0))
    at = values[order][int(above.argmax() if above.max() >= below.max() else below.argmax())]
    bound = float(stats.kstwo.isf(LEVEL, n))
    return Statistic(
        "distribution", distance, bound, f"the distribution function is {distance:.3g} off at {at:.4g}; chance explains {bound:.3g}"
    )


def _tails(law: Continuous, values: np.ndarray, dtype: str) -> Statistic:
    """The smallest probability of any count of values at or beyond a quantile, as -log10."""
    worst, told = 0.0, ""
    for sign, name in ((1, "up to"), (-1, "from")):
        for share in _TAILS:
            edge = law.quantile(share if sign > 0 else 1 - share)
            blur = float(law.blur(np.array([edge]), UNIT_ROUNDOFF[dtype])[0])
            count = int(np.count_nonzero(sign * values <= sign * edge))
            least, most = sorted(float(law.cdf(np.array(edge + s)) if sign > 0 else 1 - law.cdf(np.array(edge + s))) for s in (-blur, blur))
            chance = min(stats.binom.sf(count - 1, len(values), most), stats.binom.cdf(count, len(values), least))
            if -math.log10(max(chance, 1e-300)) > worst:
                worst = -math.log10(max(chance, 1e-300))
                told = f"{count} of {len(values)} values {name} {edge:.4g}, {share * len(values):.0f} expected"
    return Statistic("tails", worst, -math.log10(LEVEL), f"{told}: one in 10^{worst:.1f}")


def _moments(low: np.ndarray, high: np.ndarray) -> Statistic:
    """Mean and mean square of F(x) - 1/2, 0 and 1/12 for any continuous law, in standard deviations beyond what rounding explains."""
    a, b = low - 0.5, high - 0.5
    squares = np.stack([a * a, b * b])
    least = np.where((a < 0) & (b > 0), 0.0, squares.min(0))
    found = {
        "mean": max(a.mean(), -b.mean()) / math.sqrt(1 / 12 / len(a)),
        "spread": max(least.mean() - 1 / 12, 1 / 12 - squares.max(0).mean()) / math.sqrt(1 / 180 / len(a)),
    }
    name = max(found, key=lambda key: found[key])
    bound = float(stats.norm.isf(LEVEL))
    return Statistic("moments", max(0.0, found[name]), bound, f"{name} of F(x) is {found[name]:.1f} standard deviations off")


def _chi_square(cells: np.ndarray, shares: np.ndarray) -> Statistic:
    """Pearson's statistic divided by its degrees of freedom, over cells of which the rarest are pooled."""
    counts, wanted = np.bincount(cells, minlength=len(shares)), shares * len(cells)
    group = _pools(wanted)
    seen, expected = np.bincount(group, counts), np.bincount(group, wanted)
    seen, expected = seen[expected > 0], expected[expected > 0]
    freedom = max(1, len(expected) - 1)
    deviations = (seen - expected) / np.sqrt(expected)
    at = int(np.argmax(np.abs(deviations)))
    message = f"chi-square over {len(expected)} cells; the worst has {seen[at]:.0f} draws, {expected[at]:.0f} expected"
    return Statistic("distribution", float((deviations**2).sum()) / freedom, float(stats.chi2.isf(LEVEL, freedom)) / freedom, message)


def _pools(wanted: np.ndarray) -> np.ndarray:
    """Return the number of each cell's pool: from the rarest cell on, each pool takes cells until it expects enough draws."""
    pool, number, filled = np.zeros(len(wanted), dtype=np.int64), 0, 0.0
    left = float(wanted.sum())
    for cell in np.argsort(wanted, kind="stable"):
        pool[cell], filled, left = number, filled + wanted[cell], left - wanted[cell]
        if filled >= _CROWDED and left >= _CROWDED:
            number, filled = number + 1, 0.0
    return pool


def _distinct(first: np.ndarray, second: np.ndarray) -> Statistic:
    twice = sum(len(draw) - len(np.unique(draw)) for draw in (first, second))
    return Statistic("distinct", float(twice), 0.0, f"{twice} values came twice in a draw" if twice else "")


def seeds_of(first: np.ndarray, anew: np.ndarray, other: np.ndarray) -> Statistic:
    """Say whether the same seed draws the same values again, and another seed others."""
    wrong = [] if np.array_equal(first, anew) else ["the same seed draws another time other values"]
    wrong += ["another seed draws the same values"] if np.array_equal(first, other) else []
    return Statistic("seeds", float(len(wrong)), 0.0, "; ".join(wrong))
