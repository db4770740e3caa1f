"""Steps over weeks: where, how large, and what came with them."""

import numpy as np
import pytest

from harness.history.changes import changes, steps
from tests.harness.history.month import Machine, World
from tests.harness.history.test_shift import autoregression

QUIET = World(metrics=6, nights=40, spread=(0.003, 0.005), bad=0.0)


@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_series_without_a_step_have_none(phi: float) -> None:
    series = autoregression(np.random.default_rng(0), 60, 40, phi)
    assert sum(bool(steps(row)) for row in series) <= 2


def test_two_steps_are_found_where_they_are() -> None:
    values = np.random.default_rng(1).normal(0, 0.005, 45)
    values[15:30] += 0.03
    values[30:] += 0.06
    assert [at for at, _ in steps(values)] == [15, 30]


def test_a_bad_night_is_no_step() -> None:
    values = np.random.default_rng(2).normal(0, 0.005, 40)
    values[[10, 11, 25]] += 0.3
    assert steps(values) == []


def test_short_and_constant_series_have_none() -> None:
    assert steps(np.arange(7.0)) == []
    assert steps(np.ones(40)) == []


def test_a_step_names_the_driver_that_came_with_it() -> None:
    machine = Machine(QUIET, 3, lambda metric, night: 0.03 if metric == 2 and night >= 20 else 0.0)
    nights = [machine.night(i, {"device driver": "25.1" if i < 20 else "25.2"}) for i in range(40)]
    (found,) = changes(nights)
    assert found.name == "performance/m2 seconds"
    assert found.created[:10] in ("2026-01-20", "2026-01-21", "2026-01-22")
    assert found.shift.low < 0.03 < found.shift.high
    assert any("device driver: 25.1 -> 25.2" in cause for cause in found.causes)
    assert "worse" in found.text()


def test_steps_for_the_better_are_told_too() -> None:
    machine = Machine(QUIET, 3, lambda metric, night: -0.05 if metric == 1 and night >= 20 else 0.0)
    (found,) = changes([machine.night(i) for i in range(40)])
    assert found.shift.effect < -0.03
    assert "better" in found.text()
