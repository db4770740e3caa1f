"""How far outputs lie from float64: many small ones at once give what one alone gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.errors import Output, size_up, worst_at

RNG = np.random.default_rng(0)


def output(golden: np.ndarray, error: float = 1e-3, **changes: object) -> Output:
    noise = RNG.standard_normal(golden.shape) * error
    return Output(golden, (golden + noise).astype(np.float32), ((golden - 2 * noise).astype(np.float32),), **changes)  # type: ignore[arg-type]


def plainly(one: Output) -> tuple[float, float]:
    g, e = one.golden.reshape(-1), np.abs(one.candidate.astype(np.float64) - one.golden).reshape(-1)
    rms = float(np.sqrt(np.mean(g * g)))
    return float(np.sqrt(np.mean(e * e))) / rms, float(np.max(e / (np.abs(g) + rms)))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_outputs_measured_together_are_measured_as_alone(lengths: list[int]) -> None:
    outputs = [output(RNG.standard_normal(length)) for length in lengths]
    for one, sized in zip(outputs, size_up(outputs), strict=True):
        assert (sized.error.rms, sized.error.worst) == pytest.approx(plainly(one))
        assert sized.signal.count == one.golden.size


def test_a_large_output_is_measured_by_the_same_rule() -> None:
    small, large = output(RNG.standard_normal(1 << 15)), output(RNG.standard_normal((1 << 15) + 1))
    for one, sized in zip((small, large), size_up([small, large]), strict=True):
        assert (sized.error.rms, sized.error.worst) == pytest.approx(plainly(one))


def test_a_golden_of_zeros_makes_errors_absolute() -> None:
    one = Output(np.zeros(4), np.full(4, 3e-8, dtype=np.float32), (np.zeros(4, dtype=np.float32),))
    assert size_up([one])[0].error.rms == pytest.approx(3e-8)


def test_elements_without_a_finite_golden_are_left_out() -> None:
    golden = np.array([1.0, np.inf, 2.0])
    one = Output(golden, np.array([1.0, 5.0, 2.0], dtype=np.float32), (np.array([1.0, np.nan, 2.0], dtype=np.float32),))
    assert (size_up([one])[0].error.rms, size_up([one])[0].own.rms) == (0.0, 0.0)


def test_what_is_not_finite_where_the_golden_is_has_an_infinite_error() -> None:
    golden = np.ones(3)
    for bad in (np.nan, np.inf):
        assert size_up([Output(golden, np.array([1.0, bad, 1.0]), (golden,))])[0].error.rms == np.inf


@pytest.mark.parametrize("size", [100, 40000])
def test_what_is_excused_is_taken_off_each_error(size: int) -> None:
    golden = RNG.standard_normal(size)
    candidate = golden.copy()
    candidate[7] += 1.0
    excused = np.zeros(size)
    excused[7] = 1.0
    bare, forgiven = (size_up([Output(golden, candidate, (golden,), e)])[0].error.worst for e in (None, excused))
    assert bare > 0.2
    assert forgiven == pytest.approx(0.0, abs=1e-12)


def test_an_accepted_form_that_overflows_is_no_guide() -> None:
    golden = np.ones(5)
    broken, sound = np.full(5, np.inf), golden + 1e-3
    assert size_up([Output(golden, golden, (sound, broken))])[0].own.rms == pytest.approx(1e-3)


def test_the_worst_element_is_named() -> None:
    golden = RNG.standard_normal((4, 5))
    candidate = golden.copy()
    candidate[2, 3] += 1
    assert worst_at(Output(golden, candidate, (golden,))) == 2 * 5 + 3
