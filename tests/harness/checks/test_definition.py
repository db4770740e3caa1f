"""The distance from an independent definition: absolute, so that a reference device with the same faulty code excuses nothing."""

import numpy as np
import pytest

from harness.checks.closeness import Closeness
from harness.checks.definition import Definition
from harness.verdict import Cause, Outcome
from tests.harness.checks.build import evidence

GOLDEN = np.linspace(-1, 2, 400)
CHECK = Definition(("y*",), 1e-4)


def sides(candidate, reference, golden=GOLDEN):
    return evidence({"y": np.float32(candidate)}, {"y": np.float32(reference)}, {"y": golden})


def test_rounding_passes():
    (finding,) = CHECK(sides(GOLDEN, GOLDEN))
    assert finding.outcome is Outcome.PASS
    assert 0 < finding.measured < 1e-7


def test_the_figure_is_the_relative_distance():
    (finding,) = CHECK(sides(GOLDEN * 1.01, GOLDEN))
    assert finding.measured == pytest.approx(0.01, rel=1e-5)


def test_a_formula_that_is_wrong_on_both_sides_fails_here_and_passes_elsewhere():
    shown = sides(GOLDEN * 1.01, GOLDEN * 1.01)
    (finding,) = CHECK(shown)
    assert finding.outcome is Outcome.FAIL
    assert finding.cause is Cause.VALUES
    assert "so is the reference device's" in finding.message
    assert {f.outcome for f in Closeness()(shown)} == {Outcome.PASS}


def test_a_device_that_is_wrong_alone_is_not_said_to_be_as_the_reference():
    (finding,) = CHECK(sides(GOLDEN * 1.01, GOLDEN))
    assert finding.outcome is Outcome.FAIL
    assert "reference" not in finding.message


def test_the_farthest_output_is_named():
    shown = evidence(
        {"y/a": np.float32(GOLDEN), "y/b": np.float32(GOLDEN * 1.1)}, {"y/a": np.float32(GOLDEN), "y/b": np.float32(GOLDEN)},
        {"y/a": GOLDEN, "y/b": GOLDEN},
    )  # fmt: skip
    (finding,) = CHECK(shown)
    assert finding.where == "y/b"


def test_nan_fails():
    wrong = GOLDEN.copy()
    wrong[3] = np.nan
    assert CHECK(sides(wrong, GOLDEN))[0].outcome is Outcome.FAIL


def test_zero_must_be_zero():
    zero = np.zeros(5)
    assert CHECK(sides(zero, zero, zero))[0].outcome is Outcome.PASS
    assert CHECK(sides(zero + 1e-9, zero, zero))[0].outcome is Outcome.FAIL


def test_without_a_golden_nothing_is_said():
    shown = evidence({"y": np.float32(GOLDEN)}, {"y": np.float32(GOLDEN)}, None)
    assert CHECK(shown)[0].outcome is Outcome.INCOMPARABLE
    assert Definition(("z",), 1.0)(shown)[0].outcome is Outcome.INCOMPARABLE


def test_another_shape_fails():
    assert CHECK(sides(GOLDEN[:-1], GOLDEN))[0].outcome is Outcome.FAIL
