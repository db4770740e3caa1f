"""Probability laws in closed form: what random operators are to draw from. Knows no operator and no test.

A float that a device draws is a real number rounded to its dtype, by whatever rounding, after a few operations in that dtype. `blur`
bounds by how much: a sound device's value lies no further from a real draw of the law. So every probability of a device's values is
bracketed by two of the law's, and no test needs to know how the device rounds.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Continuous:
    """A law with a density: distribution function, its inverse, possible values, and how large the numbers are whose rounding counts."""

    cdf: Function
    quantile: Function
    possible: Function
    bounds: str
    scale: Function = np.abs

    def blur(self, values: np.ndarray, roundoff: float) -> np.ndarray:
        """Return how far rounding may have moved each value: to a neighbour, in the operations that made it. `roundoff` is the dtype's."""
        return 2 * roundoff * (self.scale(values) + 2.0**-13)  # the last term: numbers near 0 lie on a grid


@dataclass(frozen=True)
class Discrete:
    """A law on integers: `cells` sorts values into cells 0 ... len(shares) - 1 of known probability; -1 where a value is impossible."""

    cells: Function
    shares: np.ndarray
    bounds: str


Law = Continuous | Discrete


def uniform(low: float, high: float, closed: float = 0.0) -> Continuous:
    """On [low, high), as PyTorch promises of uniform_ and rand; with `closed`, up to `high` itself."""
    end = "]" if closed else ")"
    return Continuous(
        lambda x: np.clip((x - low) / (high - low), 0.0, 1.0),
        lambda p: low + p * (high - low),
        lambda x: (x >= low) & ((x <= high) if closed else (x < high)),
        f"[{low:g}, {high:g}{end}",
        lambda x: np.abs(x) + (high - low),  # as fine a grid everywhere as at the end
    )


def normal(mean: float, std: float) -> Continuous:
    """Gauss's law."""
    law = stats.norm(mean, std)
    return Continuous(law.cdf, law.ppf, np.isfinite, "finite", lambda x: np.abs(x) + 2 * np.abs(x - mean))


def exponential(rate: float) -> Continuous:
    """On (0, inf): PyTorch promises that 0 is not drawn (torch.Tensor.exponential_)."""
    law = stats.expon(scale=1 / rate)
    return Continuous(law.cdf, law.ppf, lambda x: (x > 0) & np.isfinite(x), "(0, inf)", lambda x: 2 * np.abs(x))


def cauchy(median: float, sigma: float) -> Continuous:
    """Cauchy's law; of float16 infinity is a rounded draw."""
    law = stats.cauchy(median, sigma)
    return Continuous(law.cdf, law.ppf, lambda x: ~np.isnan(x), "not NaN", lambda x: np.abs(x) + 2 * np.abs(x - median))


def log_normal(mean: float, std: float) -> Continuous:
    """exp of a normal draw, whose own rounding it multiplies."""
    law = stats.lognorm(std, scale=np.exp(mean))
    return Continuous(law.cdf, law.ppf, lambda x: x > 0, "(0, inf)", lambda x: np.abs(x) * (2 + np.abs(np.log(np.maximum(x, 1e-30)))))


def integers(low: float, high: float) -> Discrete:
    """On the integers of [low, high), all alike: 64 cells by size times 8 by the last three bits, where there are so many."""
    first, span = int(low), int(high) - int(low)
    steps, bits = min(span, 64), 8 if span >= 1 << 12 else 1

    def cells(values: np.ndarray) -> np.ndarray:
        whole = (values == np.floor(values)) & (values >= low) & (values < high)
        offset = np.where(whole, values, first).astype(np.int64) - first
        return np.where(whole, np.minimum(offset // (span // steps), steps - 1) * bits + offset % bits, -1)

    return Discrete(cells, _shares(span, steps, bits), f"integers of [{low:.0f}, {high:.0f})")


def _shares(span: int, steps: int, bits: int) -> np.ndarray:
    """Return the shares of `steps` equal cells, the last with what is left over, times those that leave 0, 1, ... modulo `bits`."""
    edges = [*range(0, span // steps * steps, span // steps), span]

    def count(begin: int, end: int, rest: int) -> int:
        return (end - rest + bits - 1) // bits - (begin - rest + bits - 1) // bits

    return np.array([count(a, b, rest) / span for a, b in itertools.pairwise(edges) for rest in range(bits)])


def _counts(law: stats.rv_discrete, low: int, high: int, *args: float) -> Discrete:
    """Return a law on integers from `low` up, with all from `high` on in one cell."""
    shares = np.append(law.pmf(np.arange(low, high), *args), law.sf(high - 1, *args))

    def cells(values: np.ndarray) -> np.ndarray:
        whole = np.isfinite(values) & (values == np.floor(values)) & (values >= low)
        return np.where(whole, np.clip(np.where(whole, values, low), low, high) - low, -1).astype(np.int64)

    return Discrete(cells, shares, f"integers from {low}")


def bernoulli(p: float) -> Discrete:
    """1 with probability p, else 0."""
    return categories(1 - p, p)


def geometric(p: float) -> Discrete:
    """Trials up to the first success, 1 at least (torch.Tensor.geometric_)."""
    return _counts(stats.geom, 1, int(np.ceil(stats.geom.isf(1e-3, p))), p)


def poisson(rate: float) -> Discrete:
    """Poisson's law."""
    return _counts(stats.poisson, 0, int(stats.poisson.isf(1e-3, rate)), rate)


def categories(*weights: float) -> Discrete:
    """Indices with probabilities proportional to the weights; what has weight 0 never comes."""
    shares = np.array(weights) / sum(weights)

    def cells(values: np.ndarray) -> np.ndarray:
        known = np.isin(values, np.flatnonzero(shares))
        return np.where(known, np.where(known, values, 0), -1).astype(np.int64)

    return Discrete(cells, shares, f"indices of {len(weights)} weights, none whose weight is 0")


def pairs(*weights: float) -> Discrete:
    """Rows of two different indices, drawn one after the other with probabilities proportional to the weights of those that are left."""
    total, size = sum(weights), len(weights)
    joint = [0.0 if i == j else weights[i] / total * weights[j] / (total - weights[i]) for i in range(size) for j in range(size)]
    return _rows(joint, size, f"two different indices of {size}")


def permutations(size: float) -> Discrete:
    """Rows that are permutations of 0 ... size - 1, all alike."""
    count = int(size)
    allowed = {sum(index * count**place for place, index in enumerate(reversed(row))) for row in itertools.permutations(range(count))}
    return _rows([float(code in allowed) for code in range(count**count)], count, f"permutations of {count}")


def _rows(weights: Sequence[float], radix: int, bounds: str) -> Discrete:
    """Return a law on rows of indices, which are read as the digits of one number."""
    law = categories(*weights)

    def cells(values: np.ndarray) -> np.ndarray:
        rows = np.where((values >= 0) & (values < radix), values, 0).astype(np.int64)
        codes = rows @ radix ** np.arange(values.shape[1] - 1, -1, -1)
        return np.where(((values >= 0) & (values < radix)).all(axis=1), law.cells(codes), -1)

    return Discrete(cells, law.shares, bounds)


LAWS: Mapping[str, Callable[..., Law]] = {
    "uniform": uniform, "normal": normal, "exponential": exponential, "cauchy": cauchy, "log_normal": log_normal, "integers": integers,
    "bernoulli": bernoulli, "geometric": geometric, "poisson": poisson, "categories": categories, "pairs": pairs,
    "permutations": permutations,
}  # fmt: skip
