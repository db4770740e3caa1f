"""The values of a case's operands (2, 5.1.2), drawn portably: the same bits on every machine. Knows no operator.

uniform    U[-5, 5]                      normal     N(mu, sigma), mu in [-100, 100], sigma in [1, 25], drawn anew for each operand
tiny       U[-0.001, 0.001]              outliers   one of the above with 0.1 % of its elements (at least one) times 1000
mild       N(mu, sigma), mu in [-5, 5], sigma in [0.1, 2]: the community's
"""

import numpy as np

from harness.inputs import draw_bits, draw_normal

OUTLIER, SHARE = 1000.0, 1000  # factor, and one element in so many
_NORMAL = {"normal": ((-100.0, 100.0), (1.0, 25.0)), "mild": ((-5.0, 5.0), (0.1, 2.0))}
_UNIFORM = {"uniform": 5.0, "tiny": 1e-3}
_TRIES = 64  # how often a tensor with values outside an operator's domain is drawn anew


def draw_uniform(seed: int, name: str, count: int, low: float, high: float) -> np.ndarray:
    """Return `count` float64 draws, uniform on [low, high)."""
    return low + (high - low) * ((draw_bits(seed, name, count) >> np.uint64(11)) * 2.0**-53)


def values(seed: int, name: str, count: int, distribution: str, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """Return `count` float64 values of an operand.

    [low, high] is the domain of the operator: outliers that leave it are drawn anew (5.1.2, rule 4), and after 64 tries confined to it;
    other distributions are confined at once.
    """
    if distribution != "outliers":
        return np.asarray(np.clip(_plain(seed, name, count, distribution), low, high))
    for attempt in range(_TRIES):
        stream = name if attempt == 0 else f"{name} again {attempt}"
        found = with_outliers(seed, stream, _plain(seed, stream, count, _base(seed, stream)))
        if not count or (found.min() >= low and found.max() <= high):
            return found
    return np.asarray(np.clip(found, low, high))


def _plain(seed: int, name: str, count: int, distribution: str) -> np.ndarray:
    if distribution in _UNIFORM:
        half = _UNIFORM[distribution]
        return draw_uniform(seed, name, count, -half, half)
    means, deviations = _NORMAL[distribution]
    mean, deviation = (float(draw_uniform(seed, f"{name} {which}", 1, *span)[0]) for which, span in (("mu", means), ("sigma", deviations)))
    return mean + deviation * draw_normal(seed, name, count)


def _base(seed: int, name: str) -> str:
    return ("uniform", "normal")[int(draw_bits(seed, f"{name} base", 1)[0]) & 1]


def with_outliers(seed: int, name: str, values: np.ndarray) -> np.ndarray:
    """Return a copy in which max(1, n // 1000) distinct elements, drawn at random, are multiplied by 1000; nothing where n is 0."""
    if not values.size:
        return values.copy()
    many = max(1, values.size // SHARE)
    at = np.argsort(draw_bits(seed, f"{name} outliers", values.size), kind="stable")[:many]
    noisy = values.copy()
    noisy[at] *= OUTLIER
    return noisy
