"""Signal-to-noise by layer: what the device adds is judged, what the format loses is told."""

import math

import numpy as np
import pytest

from harness.checks.signal_to_noise import SignalToNoise, decibels
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(1)
SIGNAL = RNG.standard_normal((2, 500))
PLAIN = SIGNAL + 0.01 * RNG.standard_normal((2, 500))
CHECK = SignalToNoise("given", "free", "plain")


def sides(noise: float, loss: float = 0.0, seed: int = 2):
    drawn = np.random.default_rng(seed).standard_normal((2, 500))
    return {
        **{f"given/{n:02d}": (SIGNAL[n] + noise * drawn[n]).astype(np.float32) for n in range(2)},
        **{f"free/{n:02d}": (SIGNAL[n] + loss * drawn[n]).astype(np.float32) for n in range(2)},
    }


def evidence_of(candidate: dict, reference: dict):
    golden = {
        **{f"{kind}/{n:02d}": SIGNAL[n] for n in range(2) for kind in ("given", "free")},
        **{f"plain/{n:02d}": PLAIN[n] for n in range(2)},
    }
    return evidence(candidate, reference, golden)


def test_decibels():
    assert decibels(np.ones(4), np.full(4, 1.1)) == pytest.approx(20)
    assert decibels(np.ones(4), np.ones(4)) == 400
    assert decibels(np.ones(4), np.full(4, np.nan)) == -math.inf


def test_noise_of_the_references_size_passes():
    found = CHECK(evidence_of(sides(1e-5), sides(1e-5, seed=3)))
    assert [f.outcome for f in found] == [Outcome.PASS, Outcome.PASS]
    assert found[0].measured == pytest.approx(100, abs=1)


def test_three_times_the_noise_fails_at_its_layer():
    candidate = sides(1e-5)
    candidate["given/01"] = sides(3e-5)["given/01"]
    worst = CHECK(evidence_of(candidate, sides(1e-5, seed=3)))[0]
    assert (worst.outcome, worst.where) == (Outcome.FAIL, "layer 01")


def test_roundoff_is_allowed_where_the_reference_has_none():
    assert CHECK(evidence_of(sides(2e-8), sides(0.0)))[0].outcome is Outcome.PASS


def test_half_of_the_signal_is_no_bound():
    assert CHECK(evidence_of(sides(1e-5), sides(0.5)))[0].outcome is Outcome.MISTRUSTED


def test_what_the_format_loses_is_told_and_never_judged():
    found = CHECK(evidence_of(sides(1e-5, loss=0.5), sides(1e-5)))[1]
    assert (found.subject, found.outcome, found.bound) == ("format", Outcome.PASS, None)
    assert found.measured < 10 < 35 < found.reference


def test_tells_both_by_layer():
    told = CHECK.told(evidence_of(sides(1e-5), sides(1e-5, seed=3)))
    assert [row[0] for row in told["snr"]] == ["00", "01"]
    assert told["snr/format"][0][1] == pytest.approx(40, abs=2)
