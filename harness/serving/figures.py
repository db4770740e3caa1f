"""What the raw times of requests amount to: percentiles with intervals, rates, steady state, saturation. Knows no server and no verdict.

Percentiles have intervals by order statistics (Conover, Practical Nonparametric Statistics, 3.2), and are left out where there are too few
samples for one. Of an open loop every latency counts from the scheduled arrival, so that a stalled server is not asked less (coordinated
omission).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom, kendalltau

from harness.steady import State, steady

QUANTILES = (0.5, 0.95, 0.99)
_FEWEST = 60  # arrivals from which a growing queue can be told
_GROWTH = 2.0  # of the requests in the server, from the first third of arrivals to the last
_LATE = 0.1  # of the median time to first token that this client may be late itself


class Quantile(NamedTuple):
    """A percentile with its 95 % interval, in seconds; all None where there are too few samples."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Requests:
    """The raw times of one phase, seconds since it began, by request: float [n]; `token_at` [n, tokens] is NaN where nothing came.

    `failed` bool [n] did not end as they must, `refused` of them the server had no room for.
    """

    scheduled: np.ndarray
    sent: np.ndarray
    ended: np.ndarray
    token_at: np.ndarray
    count: np.ndarray
    failed: np.ndarray
    refused: np.ndarray

    def of(self, which: np.ndarray) -> "Requests":
        """Return those requests."""
        return Requests(*(part[which] for part in vars(self).values()))

    @property
    def latency(self) -> np.ndarray:
        """Seconds from when a request was due to its last token."""
        found: np.ndarray = self.ended - self.scheduled
        return found

    @property
    def first(self) -> np.ndarray:
        """Seconds from when a request was due to its first token (TTFT)."""
        found: np.ndarray = self.token_at[:, 0] - self.scheduled
        return found

    @property
    def each(self) -> np.ndarray:
        """Mean seconds of each further token (TPOT); NaN where there is none."""
        further = np.where(self.count > 1, self.count - 1.0, np.nan)
        found: np.ndarray = (self.ended - self.token_at[:, 0]) / further
        return found


def quantile(samples: np.ndarray, q: float) -> Quantile:
    """Return the q-quantile of independent samples with its interval, or nothing where either end of the interval is no sample."""
    ordered, n = np.sort(samples[np.isfinite(samples)]), int(np.isfinite(samples).sum())
    low, high = (int(binom.ppf(0.025, n, q)), int(binom.ppf(0.975, n, q)) + 1) if n else (0, 1)
    if low < 1 or high > n:
        return Quantile(None, None, None)
    return Quantile(float(ordered[int(np.ceil(q * n)) - 1]), float(ordered[low - 1]), float(ordered[high - 1]))


def settled(values: np.ndarray) -> int | None:
    """Return how many durations to leave out until the rest is steady (`harness.steady`); None where they never are, or are too few."""
    found = steady(values.tolist())
    return None if found.state is State.NONE else found.start


def grows(arrived: np.ndarray, ended: np.ndarray) -> bool | None:
    """Tell whether the requests in the server become more and more, at each arrival; None where there are too few to tell.

    They do where Kendall's tau is positive at 1 %, their mean number in the last third of arrivals is twice that in the first, and it is
    more by a twentieth of all. Of 100 arrivals at 70 % of what a server bears that calls 0.5 % (one place) or 3 % (sixteen) wrongly, at
    150 % it misses up to 1.5 %; at 90 to 110 % so short a look cannot tell (measured by simulation, tests/harness/serving/test_figures.py).
    """
    if len(arrived) < _FEWEST:
        return None
    order = np.argsort(arrived)
    inside = np.arange(1, len(order) + 1) - np.searchsorted(np.sort(ended), arrived[order], side="right")
    third = len(inside) // 3
    first, last = float(inside[:third].mean()), float(inside[-third:].mean())
    tau, p = kendalltau(np.arange(len(inside)), inside)
    return bool(tau > 0 and p < 0.01 and last > _GROWTH * first and last - first > len(inside) / 20)


def figures(requests: Requests, first_token: float, each_token: float) -> dict[str, Any]:
    """Return what one phase shows, JSON-able; seconds, and tokens or requests a second, of whole requests once they were steady.

    Goodput is the rate of requests with the first token within `first_token` and the others within `each_token` seconds each, on average.
    `gap` are percentiles of the time between tokens: those of one request resemble each other, so they have no interval.
    """
    whole = requests.of(~requests.failed)
    cut = settled(whole.latency)
    part = whole.of(np.arange(len(whole.sent)) >= (cut or 0))
    begun, last = part.scheduled.min(initial=np.inf), part.scheduled.max(initial=-np.inf)
    inside = (part.ended >= begun) & (part.ended <= last)
    good = inside & (part.first <= first_token) & ~(part.each > each_token)
    gaps = np.diff(part.token_at, axis=1)
    gaps, late = gaps[np.isfinite(gaps)], requests.sent - requests.scheduled

    def a_second(count: float) -> float | None:
        return float(count) / float(last - begun) if last > begun else None

    return {
        "requests": len(requests.sent), "failed": int((requests.failed & ~requests.refused).sum()), "refused": int(requests.refused.sum()),
        "cut": cut, "steady": len(part.sent), "grows": grows(requests.scheduled, requests.ended),
        "ttft": _all(part.first), "tpot": _all(part.each), "latency": _all(part.latency),
        "gap": [float(np.quantile(gaps, q)) if gaps.size else None for q in QUANTILES],
        "rate": a_second(inside.sum()), "tokens": a_second(part.count[inside].sum()), "goodput": a_second(good.sum()),
        "good": float(good.sum() / inside.sum()) if inside.any() else None,
        "late": float(np.quantile(late, 0.95)) if late.size else 0.0,
        "late_allowed": _LATE * float(np.nanmedian(part.first)) if np.isfinite(part.first).any() else 0.0,
    }  # fmt: skip


def _all(samples: np.ndarray) -> list[list[float | None]]:
    return [list(quantile(samples, q)) for q in QUANTILES]


def saturation(phases: Sequence[Mapping[str, Any]]) -> tuple[float | None, float | None]:
    """Return the highest arrival rate (requests a second) that was borne below the lowest at which the queue grew, and that one."""
    told = [p for p in phases if p["loop"] == "open" and (p["grows"] is not None or p["refused"])]
    tried = sorted((float(p["offered"]), bool(p["grows"] or p["refused"])) for p in told)
    over = min((rate for rate, grew in tried if grew), default=None)
    borne = [rate for rate, grew in tried if not grew and (over is None or rate < over)]
    return max(borne, default=None), over
