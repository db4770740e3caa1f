"""Bits that change between calls fail; bits that change with the batch are told."""

import numpy as np

from harness.verdict import Cause, Outcome
from tests.harness.checks.fingerprint.read import findings, recording


def test_the_same_bits_pass_and_nan_is_the_same_as_itself() -> None:
    outputs = {"sum": np.full((4, 2), np.nan), "matmul": np.ones((4, 3))}
    assert findings("repeats", recording(outputs, deterministic=True))["repetition"].answer == "4 times the same bits"


def test_a_call_that_differs_fails_where_determinism_was_demanded() -> None:
    outputs = {"sum": np.array([1.0, 1.0, 2.0, 1.0]), "matmul": np.ones((4, 3))}
    found = findings("repeats", recording(outputs, deterministic=True))["repetition"]
    assert (found.outcome, found.cause, found.answer) == (Outcome.FAIL, Cause.UNSTEADY, "sum: 1 of 3 differ")
    assert findings("repeats", recording(outputs, deterministic=False))["repetition"].outcome is Outcome.PASS


def test_zero_and_minus_zero_are_not_the_same_bits() -> None:
    assert findings("repeats", recording({"sum": np.array([0.0, -0.0])}, deterministic=True))["repetition"].outcome is Outcome.FAIL


def test_a_row_that_depends_on_its_batch_is_told() -> None:
    outputs = {"matmul": np.array([1.0, 1.0, 2.0]), "softmax": np.ones(3)}
    found = findings("batches", recording(outputs, batches=(1, 2, 257)))["a row of a batch"]
    assert (found.outcome, found.answer) == (Outcome.PASS, "matmul changes in batches of 257")
