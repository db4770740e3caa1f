"""The gate over simulated months, and the rules one by one."""

from dataclasses import replace

import pytest

from harness.history.gate import Good, Night, gate_of, judge
from harness.history.rules import Ruling, State
from tests.harness.history.month import Machine, World, alarms, live_through

SLOWER, TASK = "performance/m2 seconds", "accuracy/t1"
QUIET = World(metrics=6, spread=(0.003, 0.004), bad=0.0)


def slow(size: float, first: int = 20, metric: int = 2) -> Machine:
    return Machine(QUIET, 5, lambda m, night: size if m == metric and night >= first else 0.0)


def rulings(machine: Machine, nights: int, repeats: int = 0) -> dict[str, Ruling]:
    """Return the rulings on a night, all before it good, with so many repeats of every case."""
    past = [Night(machine.night(i)) for i in range(nights)]
    tonight = machine.night(nights)
    if repeats:
        tonight = machine.repeated(tonight, nights, set(tonight.outcomes), repeats)
    return {ruling.name: ruling for ruling in judge(tonight, past)}


def test_thirty_clean_nights_raise_no_alarm() -> None:
    assert alarms(live_through(Machine(World(), 11))) == set()


def test_a_slow_down_and_a_loss_are_found_and_nothing_else_and_come_with_their_cause() -> None:
    metric = Machine(World(), 12).middling()  # its nights differ by 0.5 %
    machine = Machine(World(), 12, lambda m, night: 0.03 * (m == metric and night >= 15), lambda t, night: 0.02 * (t == 1 and night >= 15))
    told = live_through(machine, lambda night: {"device driver": "25.1" if night < 15 else "25.2"})
    first = {ruling.name: (night.night - 15, ruling) for night in reversed(told) for ruling in night.confirmed}
    assert {name: nights for name, (nights, _) in first.items()} == {f"performance/m{metric} seconds": 3, f"{TASK} accuracy": 0}
    for _, ruling in first.values():
        assert ruling.repeats == 3
        assert ruling.low < (0.02 if ruling.case == TASK else 0.03) < ruling.high
        assert any("device driver: 25.1 -> 25.2" in cause for cause in ruling.causes)


def test_a_large_slow_down_is_confirmed_the_same_night_by_its_repeats() -> None:
    machine = slow(0.25)
    assert rulings(machine, 20)[SLOWER].state is State.SUSPECTED
    assert rulings(machine, 20, repeats=3)[SLOWER].state is State.CONFIRMED


def test_a_small_one_waits_for_a_second_night() -> None:
    machine = slow(0.05)
    assert rulings(machine, 20, repeats=3)[SLOWER].state is State.SUSPECTED
    assert rulings(machine, 21, repeats=3)[SLOWER].state is State.CONFIRMED


def test_nothing_is_confirmed_without_repeats() -> None:
    assert rulings(slow(0.25), 23)[SLOWER].state is State.SUSPECTED


def test_a_passing_trouble_is_cleared_by_its_repeats() -> None:
    machine = slow(0.0)
    past = [Night(machine.night(i)) for i in range(15)]
    tonight = machine.night(15)
    (troubled,) = [f for f in tonight.figures if f.name == SLOWER]
    figures = tuple(replace(f, runs=(tuple(1.3 * s for s in f.runs[0]),)) if f is troubled else f for f in tonight.figures)
    tonight = replace(tonight, figures=figures)
    (before,) = [r for r in judge(tonight, past) if r.name == SLOWER]
    (after,) = [r for r in judge(machine.repeated(tonight, 15, {troubled.case}, 3), past) if r.name == SLOWER]
    assert (before.state, after.state) == (State.SUSPECTED, State.STEADY)


def test_with_few_good_nights_it_cannot_tell() -> None:
    assert {r.state for r in rulings(slow(0.25, first=5), 5).values() if r.name.endswith("seconds")} == {State.UNKNOWN}


def test_a_change_below_what_matters_is_no_alarm() -> None:
    assert SLOWER not in alarms(live_through(slow(0.01)))


def test_a_standing_regression_stays_one_until_somebody_accepts_it() -> None:
    machine = slow(0.25)
    told = live_through(machine)
    assert [n.night for n in told if n.confirmed] == list(range(20, 30))
    assert {r.since[:10] for n in told[21:] for r in n.confirmed} <= {f"2026-01-{d}" for d in range(21, 30)}


def test_what_is_accepted_starts_anew() -> None:
    machine, states = Machine(World(6, 45, (0.003, 0.004), bad=0.0), 5, lambda m, night: 0.25 * (m == 2 and night >= 20)), {}
    past = [Night(machine.night(i)) for i in range(20)]
    for i in range(20, 45):
        tonight, accepted = machine.repeated(machine.night(i), i, {"performance/m2"}, 3), ["performance/m2*"] if i == 22 else []
        found = judge(tonight, past, accepted=accepted)
        past.append(Night(tonight, gate_of(found, accepted)))
        states[i] = next(r.state for r in found if r.name == SLOWER)
    assert [states[i] for i in (20, 21)] == [State.CONFIRMED] * 2
    assert [states[i] for i in range(22, 34)] == [State.UNKNOWN] * 12
    assert {states[i] for i in range(34, 45)} <= {State.STEADY, State.CLEARED}


def test_brackets_of_a_case_stand_for_themselves() -> None:
    past = [Night(Machine(QUIET, 1).night(0), {"confirmed": [{"name": "operators/relu[float32] outcome", "since": "2025"}]})]
    assert not Good(past, ["operators/relu[int8]"])("operators/relu[float32] outcome", "2026-01-01T02:00:00+00:00")
    assert Good(past, ["operators/relu[float32]"])("operators/relu[float32] outcome", "2026-01-01T02:00:00+00:00")


def test_a_new_definition_of_a_case_starts_anew() -> None:
    machine = slow(0.25)
    past = [Night(machine.night(i)) for i in range(15)]
    tonight = machine.night(15)
    tonight = replace(tonight, keys={**tonight.keys, "performance/m2": "another"})
    assert next(r.state for r in judge(tonight, past) if r.name == SLOWER) is State.UNKNOWN


@pytest.mark.parametrize(
    ("again", "state"), [((), State.SUSPECTED), (("fail", "fail"), State.CONFIRMED), (("fail", "pass"), State.SUSPECTED)]
)
def test_a_case_that_fails_now_is_a_regression_of_its_own(again: tuple[str, ...], state: State) -> None:
    machine, case = slow(0.0), "accuracy/t0"
    past = [Night(machine.night(i, {"device cann": "9.0"})) for i in range(3)]
    tonight = machine.night(3, {"device cann": "9.1"})
    tonight = replace(tonight, outcomes={**tonight.outcomes, case: "fail"}, again={case: again} if again else {})
    (found,) = [r for r in judge(tonight, past) if r.name == f"{case} outcome"]
    assert found.state is state
    assert found.causes == (("device cann: 9.0 -> 9.1",) if state is State.CONFIRMED else ())


def test_a_case_that_never_worked_or_is_waived_is_none() -> None:
    machine = slow(0.0)
    failing = replace(machine.night(0), outcomes={"accuracy/t0": "fail", "accuracy/t1": "pass"})
    tonight = replace(machine.night(1), outcomes={"accuracy/t0": "fail", "accuracy/t1": "waived"})
    assert not [r for r in judge(tonight, [Night(failing)]) if r.name.endswith("outcome")]


def test_other_machines_are_not_compared() -> None:
    machine = slow(0.25)
    past = [Night(replace(machine.night(i), machine="another")) for i in range(15)]
    assert {r.state for r in judge(machine.night(15), past)} == {State.UNKNOWN}
