"""Times of rounds as machines make them: heavy tails, each like the one before, a part that both sides share. Made, not measured."""

import numpy as np

from harness.change import Change, compared


def noise(rng: np.random.Generator, rounds: int, spread: float, keeps: float = 0.6) -> np.ndarray:
    """Return logarithms [rounds] with Student's t of three degrees as innovations, of standard deviation `spread`."""
    drawn = rng.standard_t(3, rounds + 30) / np.sqrt(3) * np.sqrt(1 - keeps**2)
    for i in range(1, len(drawn)):
        drawn[i] += keeps * drawn[i - 1]
    return np.asarray(spread * drawn[30:])


def in_turn(rng: np.random.Generator, rounds: int, spread: float, change: float = 0.0, drift: float = 0.0) -> Change:
    """Compare so many rounds a side, taken ABBA or BAAB on one noisy machine; the candidate's take longer by `change` (a logarithm)."""
    log = noise(rng, 2 * rounds, spread) + np.linspace(0, drift, 2 * rounds) + rng.normal(0, spread / 2, 2 * rounds)
    ours = np.concatenate([[o, not o, not o, o] for o in rng.random(rounds // 2) < 0.5]).astype(bool)
    return compared(np.exp(log[ours] + change).tolist(), np.exp(log[~ours]).tolist(), in_turn=True)


def apart(rng: np.random.Generator, rounds: int, spread: float, change: float = 0.0) -> Change:
    """Compare so many rounds a side, taken one side after the other."""
    ours, theirs = (np.exp(noise(rng, rounds, spread) + by).tolist() for by in (change, 0.0))
    return compared(ours, theirs, in_turn=False)
