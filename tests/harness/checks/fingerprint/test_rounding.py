"""Rounding rules are told apart by twelve values."""

import itertools

import numpy as np
import pytest

from harness.checks.fingerprint.rounding import COPIES, QUANTA, RULES, from_power, fused_operands, rule_of
from tests.harness.checks.fingerprint.read import findings, recording


def test_no_two_rules_give_the_same() -> None:
    for (_, a), (_, b) in itertools.combinations(RULES.items(), 2):
        assert not np.array_equal(a, b)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_known_by_what_it_does(name: str) -> None:
    assert rule_of(np.tile(RULES[name], (COPIES, 1))) == name


def test_a_rule_that_draws_lots_is_seen() -> None:
    drawn = np.tile(RULES["down"], (COPIES, 1))
    drawn[7] = RULES["up"]
    assert rule_of(drawn).startswith("stochastic")


def test_anything_else_is_told_as_it_is() -> None:
    assert rule_of(np.arange(12.0)).startswith("by no known rule (0, 1, 2,")


@pytest.mark.parametrize("digits", [8, 11, 24])
def test_the_product_of_the_fused_probe_needs_more_digits_than_there_are(digits: int) -> None:
    a, c, rest = fused_operands(digits)
    assert a * a - c == rest > 0
    scale = 2.0 ** (digits - 1 - np.floor(np.log2(c)))
    assert (c * scale) == round(c * scale)
    assert abs(rest * scale) <= 0.5


def test_casts_additions_and_fused_products_are_read() -> None:
    rounded = QUANTA[:, 0] * (1 + 2.0**-23 * np.round(QUANTA[:, 1] + QUANTA[:, 2]))
    cast = QUANTA[:, 0] * (2.0**25 + 4 * np.floor(QUANTA[:, 1] + QUANTA[:, 2]))
    rest = fused_operands(24)[2]
    outputs = {"add": [rounded] * 2, "cast": [cast] * 2, "addcmul": [rest], "lerp": [0.0]}
    found = findings("rounding", recording(outputs))
    assert found["addition"].answer == "nearest, ties to even"
    assert found["cast from int32"].answer == "toward zero"
    assert found["product before an addition"].answer == "addcmul whole, lerp rounded"
    assert all(from_power(np.asarray(cast), 2.0**25, 4.0) == RULES["toward zero"])
