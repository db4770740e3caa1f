"""Whose turn it is, and when it is enough."""

import numpy as np
import pytest

from harness.rounds import Budget, Ended, Rounds, Turns
from harness.steady import State


class Machine:
    """A clock that moves by what a round takes: `level` seconds for each side, from the round's number, with noise."""

    def __init__(self, level, spread: float = 0.005) -> None:
        self.level, self.time, self._rng, self._spread = level, 0.0, np.random.default_rng(0), spread

    def now(self) -> float:
        return self.time

    def go(self, turns: Turns, count: int = 10_000) -> None:
        for _ in range(count):
            side = turns.turn()
            if side is None:
                return
            seconds = self.level(side, len(turns.seconds[side])) * float(np.exp(self._rng.normal(0, self._spread)))
            self.time += seconds
            turns.took(seconds)


def run(
    level, budget: Budget | None = None, spread: float = 0.005, sides=("candidate", "reference"), seed: int = 0
) -> tuple[Turns, Machine]:
    machine = Machine(level, spread)
    turns = Turns(sides, seed, budget or Budget(), machine.now)
    machine.go(turns)
    return turns, machine


def test_each_block_has_every_side_and_then_again_in_the_opposite_order() -> None:
    turns, _ = run(lambda side, number: 0.01, sides=("a", "b", "c"))
    blocks = [block.split() for block in turns.rounds("a").facts["order"]]
    assert all(sorted(block) == ["a", "a", "b", "b", "c", "c"] and block == block[::-1] for block in blocks)
    assert len(set(map(tuple, blocks))) > 1


def test_the_order_is_drawn_by_the_seed() -> None:
    orders = [run(lambda side, number: 0.01, seed=seed)[0].rounds("candidate").facts["order"] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_rounds_end_when_the_median_is_known() -> None:
    turns, _ = run(lambda side, number: 0.01)
    taken = turns.rounds("candidate")
    assert turns.ended is Ended.NARROW
    assert taken.facts["width"] <= 0.01
    assert len(taken.seconds) == 30


def test_noise_takes_more_rounds_and_at_most_so_many() -> None:
    turns, _ = run(lambda side, number: 0.01, spread=0.3)
    assert turns.ended is Ended.MOST
    assert len(turns.rounds("candidate").seconds) == 120 == turns.most // 2
    assert turns.rounds("candidate").facts["width"] > 0.01


@pytest.mark.parametrize(("seconds", "rounds"), [(0.2, 30), (2.0, 4)])
def test_a_slow_case_gets_more_time_but_not_for_ever(seconds: float, rounds: int) -> None:
    turns, machine = run(lambda side, number: seconds, spread=0.3)
    assert turns.ended is Ended.BUDGET
    assert len(turns.seconds["reference"]) == rounds
    assert machine.time <= 5.0 * 3 + 4 * seconds * 2


def test_all_sides_count_from_where_the_last_is_steady() -> None:
    slow = {"candidate": 3, "reference": 0}
    turns, _ = run(lambda side, number: 0.05 if number < slow[side] else 0.01)
    ours, theirs = turns.rounds("candidate"), turns.rounds("reference")
    assert len(ours.before) == len(theirs.before) == 4  # whole blocks
    assert len(ours.seconds) == len(theirs.seconds)
    assert (ours.facts["state"], theirs.facts["state"]) == (State.WARM_UP, State.FLAT)
    assert ours.told()["before"] == list(ours.before)


def test_without_a_steady_state_every_round_is_kept_and_told_so() -> None:
    turns, _ = run(lambda side, number: 0.01 * 1.05**number, Budget(most=40))
    taken = turns.rounds("candidate")
    assert taken.facts["state"] == State.NONE
    assert (len(taken.seconds), taken.before) == (40, ())


def test_a_side_that_fails_leaves_and_the_other_goes_on_alone() -> None:
    machine = Machine(lambda side, number: 0.01)
    turns = Turns(("candidate", "reference"), 0, Budget(), machine.now)
    machine.go(turns, 5)
    left = turns.turn()
    turns.leave()
    machine.go(turns)
    other = next(side for side in ("candidate", "reference") if side != left)
    assert turns.sides == [other]
    assert len(turns.seconds[other]) >= 20
    assert turns.rounds(other).facts["in_turn"] is False


def test_one_side_alone_is_never_in_turn() -> None:
    turns, _ = run(lambda side, number: 0.01, sides=("candidate",))
    assert turns.rounds("candidate").facts["in_turn"] is False


def test_rounds_of_a_fixed_number_have_nothing_to_tell() -> None:
    assert Rounds((0.5,)).told() == {}
