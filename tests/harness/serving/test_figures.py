"""Percentiles that hold what they claim, warm-up left out, and a queue that grows told from one that only varies."""

import heapq

import numpy as np
import pytest

from harness.serving.figures import Requests, figures, grows, quantile, saturation


def queue(n: int, load: float, places: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return arrivals and ends of requests of about a second in a server with so many places, first come, first served."""
    rng = np.random.default_rng(seed)
    arrived, work = np.cumsum(rng.exponential(1 / (load * places), n)), rng.gamma(11, 1 / 11, n)
    free, ended = [0.0] * places, np.empty(n)
    for i in range(n):
        ended[i] = max(arrived[i], heapq.heappop(free)) + work[i]
        heapq.heappush(free, ended[i])
    return arrived, ended


def requests(sent: np.ndarray, first: np.ndarray, ended: np.ndarray, scheduled: np.ndarray | None = None) -> Requests:
    none = np.zeros(len(sent), bool)
    tokens = np.stack([sent + first, ended], axis=1)
    return Requests(sent if scheduled is None else scheduled, sent, ended, tokens, np.full(len(sent), 2), none, none)


def test_the_interval_of_a_percentile_covers_it_nineteen_times_of_twenty() -> None:
    rng, true = np.random.default_rng(0), -np.log(0.05)
    found = [quantile(rng.exponential(size=120), 0.95) for _ in range(400)]
    assert np.mean([q.low <= true <= q.high for q in found]) == pytest.approx(0.96, abs=0.03)


@pytest.mark.parametrize(("n", "q"), [(0, 0.5), (5, 0.5), (40, 0.95), (100, 0.99)])
def test_too_few_samples_have_no_percentile(n: int, q: float) -> None:
    assert quantile(np.arange(float(n)), q) == (None, None, None)


def test_a_growing_queue_is_told_from_a_busy_one() -> None:
    found = {
        (places, load): np.mean([grows(*queue(100, load, places, seed)) for seed in range(60)])
        for places in (1, 16)
        for load in (0.5, 0.7, 1.5)
    }
    assert all(share <= 0.07 for (_, load), share in found.items() if load < 1), found
    assert all(share >= 0.93 for (_, load), share in found.items() if load > 1), found


def test_few_arrivals_cannot_tell() -> None:
    assert grows(*queue(59, 2.0, 1, 0)) is None


def test_an_open_loop_counts_from_the_scheduled_arrival() -> None:
    due = np.arange(100) * 0.01
    sent = np.maximum(due, 0.5)  # a client that was held up for half a second
    found = figures(requests(sent, np.full(100, 0.1), sent + 0.2, due), 1.0, 1.0)
    assert found["latency"][0][0] > 0.2
    assert found["late"] > 0.4 > found["late_allowed"]


def test_warm_up_is_left_out_of_the_figures() -> None:
    rng = np.random.default_rng(0)
    took = np.concatenate([np.full(10, 5.0), np.full(90, 1.0)]) * rng.lognormal(0, 0.02, 100)
    sent = np.concatenate([[0.0], np.cumsum(took)[:-1]])
    found = figures(requests(sent, 0.5 * took, sent + took), 0.7, 10.0)
    assert found["cut"] == 10
    assert found["rate"] == pytest.approx(1.0, rel=0.05)
    assert found["good"] == 1.0
    assert found["ttft"][0][0] == pytest.approx(0.5, rel=0.05)


def test_goodput_counts_both_limits() -> None:
    sent, first = np.arange(100.0), np.where(np.arange(100) % 2, 0.1, 0.9)
    found = figures(requests(sent, first, sent + first + 0.05), 0.5, 0.1)
    assert found["good"] == pytest.approx(0.5, abs=0.02)
    assert figures(requests(sent, first, sent + first + 0.5), 0.5, 0.1)["good"] == 0.0


def test_saturation_lies_between_what_was_borne_and_what_was_not() -> None:
    phases = [
        {"loop": "open", "offered": rate, "grows": grew, "refused": 0}
        for rate, grew in ((4, True), (1, False), (2, False), (8, False), (3, None))
    ]
    assert saturation(phases) == (2.0, 4.0)
    assert saturation(phases[1:3]) == (2.0, None)
    assert saturation([{"loop": "closed"}]) == (None, None)
