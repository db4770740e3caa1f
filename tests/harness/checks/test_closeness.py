"""Closeness: sound devices pass, faults of many kinds do not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.closeness import Closeness
from harness.checks.errors import errors_of, signal_of
from harness.verdict import FAILING, Cause, Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(0)
GOLDEN = RNG.standard_normal((96, 64))
SOUND = GOLDEN.astype(np.float32)


def outcomes(candidate: np.ndarray, reference: np.ndarray = SOUND, golden: np.ndarray = GOLDEN, dtype: str = "float32") -> set[Outcome]:
    return {f.outcome for f in Closeness()(evidence({"out": candidate}, {"out": reference}, {"out": golden}, dtype))}


def test_a_correctly_rounded_result_passes_beside_a_perfect_reference() -> None:
    assert outcomes(SOUND, GOLDEN.astype(np.float32)) == {Outcome.PASS}


def test_another_order_of_summation_passes() -> None:
    a, b = RNG.standard_normal((48, 512)), RNG.standard_normal((512, 32))
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    golden = a32.astype(np.float64) @ b32.astype(np.float64)
    split = sum(a32[:, i : i + 64] @ b32[i : i + 64] for i in range(0, 512, 64))
    assert outcomes(split, a32 @ b32, golden) == {Outcome.PASS}


def last_row_zero(x: np.ndarray) -> None:
    x[-1] = 0


def one_element_off(x: np.ndarray) -> None:
    x[17, 3] *= 1.001


def biased(x: np.ndarray) -> None:
    x += 1e-5


def rows_swapped(x: np.ndarray) -> None:
    x[[0, 1]] = x[[1, 0]]


def coarse(x: np.ndarray) -> None:
    x[:] = torch.from_numpy(x).bfloat16().float().numpy()


def not_a_number(x: np.ndarray) -> None:
    x[5, 5] = np.nan


@pytest.mark.parametrize("fault", [last_row_zero, one_element_off, biased, rows_swapped, coarse, not_a_number])
def test_a_fault_fails(fault) -> None:
    candidate = SOUND.copy()
    fault(candidate)
    assert Outcome.FAIL in outcomes(candidate)


def test_the_worst_place_is_named() -> None:
    candidate = SOUND.copy()
    one_element_off(candidate)
    findings = Closeness()(evidence({"out": candidate}, {"out": SOUND}, {"out": GOLDEN}))
    assert findings[1].where == "index [17, 3]"


@pytest.mark.parametrize("golden", [np.zeros(64), np.ones(64), np.where(np.arange(64) < 60, 0.0, 1.0)])
def test_an_agreement_that_says_nothing_is_mistrusted(golden: np.ndarray) -> None:
    same = golden.astype(np.float32)
    assert outcomes(same, same, golden) == {Outcome.MISTRUSTED}


def test_a_reference_as_wrong_as_the_signal_is_mistrusted() -> None:
    noise = (GOLDEN + RNG.standard_normal(GOLDEN.shape)).astype(np.float32)
    assert Outcome.MISTRUSTED in outcomes(SOUND, noise)


def test_another_shape_fails() -> None:
    assert outcomes(SOUND[:-1]) == {Outcome.FAIL}


def test_another_dtype_than_the_reference_fails() -> None:
    sides = evidence({"out": SOUND}, {"out": SOUND}, {"out": GOLDEN})
    object.__setattr__(sides.candidate, "dtypes", {"out": "bfloat16"})
    assert {f.outcome for f in Closeness()(sides)} == {Outcome.FAIL}


def test_no_golden_is_incomparable() -> None:
    assert {f.outcome for f in Closeness()(evidence({"out": SOUND}, {"out": SOUND}, None))} == {Outcome.INCOMPARABLE}


def test_a_reference_that_is_not_finite_is_incomparable() -> None:
    broken = SOUND.copy()
    broken[0, 0] = np.inf
    assert outcomes(SOUND, broken) == {Outcome.INCOMPARABLE}


def test_elements_that_are_infinite_in_float64_are_left_out() -> None:
    golden, device = GOLDEN.copy(), SOUND.copy()
    golden[0, 0] = device[0, 0] = np.inf
    assert outcomes(device, device, golden) == {Outcome.PASS}


def test_an_empty_output_passes() -> None:
    empty = np.zeros((0, 3), dtype=np.float32)
    assert outcomes(empty, empty, empty.astype(np.float64)) == {Outcome.PASS}


@given(size=st.integers(1, 5000), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_errors_are_those_of_the_definition(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, x = rng.standard_normal(size), rng.standard_normal(size).astype(np.float32)
    rms = signal_of(torch.from_numpy(g)).rms
    assert rms == pytest.approx(np.sqrt(np.mean(g**2)))
    found = errors_of([torch.from_numpy(x)], torch.from_numpy(g), rms)[0]
    scaled = np.abs(x - g) / (np.abs(g) + rms)
    assert found.rms == pytest.approx(np.sqrt(np.mean((x - g) ** 2)) / rms)
    assert found.worst == pytest.approx(scaled.max())
    assert found.at == scaled.argmax()


def test_two_threads_measure_what_one_does() -> None:
    size = 400_001  # beyond the size from which two threads work
    g = RNG.standard_normal(size)
    x = g.astype(np.float32)
    x[size - 3] += 1
    found = errors_of([torch.from_numpy(x)], torch.from_numpy(g), 1.0)[0]
    assert found.at == size - 3
    assert found.rms == pytest.approx(np.sqrt(np.mean((x - g) ** 2)))


def test_correctly_rounded_halves_never_alarm() -> None:
    for dtype, torch_dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        rounded = torch.from_numpy(GOLDEN).to(torch_dtype).float().numpy()
        assert not outcomes(rounded, rounded, dtype=dtype) & FAILING


def test_a_float32_output_of_a_bfloat16_case_may_be_as_coarse_as_the_reference_only() -> None:
    coarse = torch.from_numpy(GOLDEN).bfloat16().float().numpy()

    def judged(candidate: np.ndarray, reference: np.ndarray) -> set[Outcome]:
        sides = evidence({"out": candidate}, {"out": reference}, {"out": GOLDEN}, "bfloat16")
        for side in (sides.candidate, sides.reference):
            object.__setattr__(side, "dtypes", {"out": "float32"})
        return {f.outcome for f in Closeness()(sides)}

    assert judged(coarse, SOUND) == {Outcome.FAIL}
    assert judged(coarse, coarse) == {Outcome.PASS}


def test_a_blunt_worst_bound_is_said_and_rms_decides() -> None:
    reference = SOUND.copy()
    reference[3, 3] += 0.2
    worst = Closeness()(evidence({"out": reference}, {"out": reference}, {"out": GOLDEN}))[1]
    assert worst.outcome is Outcome.PASS
    assert worst.message.startswith("blunt")


def many(outputs: int, size: int, truncated: bool) -> dict[str, list[np.ndarray]]:
    made: dict[str, list[np.ndarray]] = {}
    for i in range(outputs):
        golden = np.random.default_rng(i).standard_normal(size)
        nearest = torch.from_numpy(golden).bfloat16().float().numpy()
        down = (torch.from_numpy(golden.astype(np.float32)).view(torch.int32) & -65536).view(torch.float32).numpy()
        made[f"{i:03d}.0"] = [down if truncated else nearest, nearest, golden]
    return made


@pytest.mark.parametrize(("truncated", "outcome"), [(True, Outcome.FAIL), (False, Outcome.PASS)])
def test_a_lean_too_small_to_see_in_one_output_is_seen_in_many(truncated: bool, outcome: Outcome) -> None:
    sides = [{name: arrays[k] for name, arrays in many(40, 20, truncated).items()} for k in range(3)]
    findings = Closeness(samples=True)(evidence(*sides, "bfloat16"))  # type: ignore[arg-type]
    assert {f.outcome for f in findings} == {outcome}
    if truncated:
        assert findings[0].cause is Cause.ROUNDING


def test_of_many_samples_some_may_be_constant() -> None:
    constant, varied = np.ones(4), np.linspace(1, 2, 4)
    golden = {"000.0": constant, "001.0": varied}
    device = {name: array.astype(np.float32) for name, array in golden.items()}
    assert {f.outcome for f in Closeness(samples=True)(evidence(device, device, golden))} == {Outcome.PASS}
    assert Outcome.MISTRUSTED in {f.outcome for f in Closeness()(evidence(device, device, golden))}
