"""Training curves against the float64 curve."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.trajectory import Trajectory
from harness.verdict import Cause, Outcome
from tests.harness.checks.build import evidence, recording

GOLDEN = np.array([3.0, 2.7, 2.5, 2.2, 2.0, 1.9, 1.8, 1.75, 1.7, 1.65])
SCATTER = 3e-7 * np.array([1, -2, 1, 3, -1, 2, -3, 4, 2, -4])
REFERENCE = (GOLDEN * (1 + SCATTER)).astype(np.float32)


def judged(candidate: np.ndarray):
    return Trajectory(("loss",))(evidence({"loss": candidate.astype(np.float32)}, {"loss": REFERENCE}, {"loss": GOLDEN}))


def test_an_equally_sound_device_passes() -> None:
    assert {f.outcome for f in judged(GOLDEN * (1 - 2 * SCATTER[::-1]))} == {Outcome.PASS}


@pytest.mark.parametrize("drift", [1.001, 1.0001])
def test_a_drift_fails_and_its_first_step_is_named(drift: float) -> None:
    candidate = GOLDEN.copy()
    candidate[6:] *= drift
    failed = [f for f in judged(candidate) if f.outcome is Outcome.FAIL]
    assert failed
    assert failed[0].where == "first at step 6 of 10"


def test_a_nan_fails() -> None:
    candidate = GOLDEN.copy()
    candidate[4] = np.nan
    assert Outcome.FAIL in {f.outcome for f in judged(candidate)}


def test_a_missing_series_is_incomparable() -> None:
    found = Trajectory(("loss",))(evidence({}, {"loss": REFERENCE}, {"loss": GOLDEN}))
    assert [f.outcome for f in found] == [Outcome.INCOMPARABLE]


# --- with reruns of the reference


NAMES = ["embed.weight", "layers.0.weight", "layers.1.weight", "head.weight"]
STEPS = 8


def trained(seed: int | None, scale: float = 0.0, gradient=None, forward: int | None = None) -> dict[str, np.ndarray]:
    """Descend on a quadratic in four parameters of 30 numbers each, with every gradient and loss rounded as if in float32, by chance.

    `gradient` = (first step, parameter, factor) spoils one gradient; `forward` adds 1 % to the loss and what comes of it from that step on.
    """
    noise = np.random.default_rng(0 if seed is None else seed)
    weights = np.linspace(0.5, 2.0, 120).reshape(4, 30)
    curvature = np.linspace(0.5, 1.5, 120).reshape(4, 30)
    if seed is not None:
        weights = weights * (1 + scale * noise.uniform(-1, 1, weights.shape))
    kept: dict[str, list] = {"loss": [], "grad_norm": [], "grad_norms": [], "update_norms": [], "update_norm": []}
    for step in range(STEPS):
        wrong = 1.01 if forward is not None and step >= forward else 1.0
        slope = wrong * curvature * weights * (1 + scale * noise.standard_normal(weights.shape))
        if gradient and step >= gradient[0]:
            slope[gradient[1]] *= gradient[2]
        kept["loss"].append(wrong * np.sum(curvature * weights**2) / 2 * (1 + scale * noise.standard_normal()))
        kept["grad_norms"].append(np.linalg.norm(slope, axis=1))
        kept["grad_norm"].append(np.linalg.norm(slope))
        kept["update_norms"].append(0.1 * np.linalg.norm(slope, axis=1))
        kept["update_norm"].append(np.linalg.norm(kept["update_norms"][-1]))
        weights = weights - 0.1 * slope
    return {name: np.array(values) for name, values in kept.items()}


def banded(candidate: dict[str, np.ndarray], scale: float, reruns: int = 3, dtype: str = "float32"):
    runs = [trained(seed, scale) for seed in range(1000, 1001 + reruns)]
    rounded = [{name: array.astype(np.float32) for name, array in run.items()} for run in (candidate, *runs)]
    made = evidence(rounded[0], rounded[1], trained(None), dtype, details={"parameters": NAMES})
    names = dict.fromkeys(rounded[0], "float32")
    made = replace(made, reruns=[recording(run, names) for run in rounded[2:]])
    object.__setattr__(made.candidate, "dtypes", names)
    return Trajectory(("loss", "grad_norm")), made


def failed(found) -> list:
    return [f for f in found if f.outcome is Outcome.FAIL]


@pytest.mark.parametrize("scale", [1e-7, 3e-3])
def test_a_sound_rerun_does_not_alarm(scale: float) -> None:
    """One in a thousand may, of a device as coarse as the reference; the factor of two in the band makes that far rarer."""
    alarms = 0
    for seed in range(150):
        check, made = banded(trained(seed, scale), scale)
        found = check(made)
        assert {f.outcome for f in found} <= {Outcome.PASS, Outcome.FAIL}
        alarms += bool(failed(found))
    assert alarms == 0


def test_a_gradient_off_by_one_per_cent_in_one_layer_is_found_where_it_is() -> None:
    for seed in range(20):
        check, made = banded(trained(seed, 1e-7, gradient=(3, 2, 1.01)), 1e-7)
        found = {f.subject: f for f in failed(check(made))}
        assert {"grad_norm", "grad_norms"} <= set(found)
        assert found["grad_norm"].where == "first at step 3 of 8, backward, layer 1, layers.1.weight"
        assert found["grad_norm"].cause is Cause.GRADIENT
        assert "leaves the band at step 3 of 8" in found["grad_norm"].message


def test_a_sign_that_differs_in_a_small_parameter_of_the_first_update_does_not_fail() -> None:
    run = trained(5, 1e-7)
    run["update_norms"][0, 3] *= 1.002
    assert not failed(banded(run, 1e-7)[0](banded(run, 1e-7)[1]))


def test_an_error_of_the_forward_pass_is_told_from_one_of_the_backward_pass() -> None:
    check, made = banded(trained(5, 1e-7, forward=4), 1e-7)
    found = {f.subject: f for f in failed(check(made))}
    assert found["loss"].cause is Cause.FORWARD
    assert found["loss"].where.startswith("first at step 4 of 8, forward")


def test_a_reference_that_was_lucky_does_not_make_a_sound_run_fail() -> None:
    check, made = banded(trained(7, 1e-4), 1e-4)
    lucky = {name: (a + (made.reference.tensors[name] - a) / 200).astype(np.float32) for name, a in trained(None).items()}
    made = replace(made, reference=recording(lucky, dict.fromkeys(lucky, "float32"), details={"parameters": NAMES}))
    assert failed(check(replace(made, reruns=())))
    assert not failed(check(made))


def test_a_reference_without_reruns_is_said_to_have_none() -> None:
    check, made = banded(trained(3, 1e-7), 1e-7, reruns=0)
    found = check(replace(made, case=replace(made.case, band=3)))
    assert {f.subject for f in found} == {"loss rms", "loss worst", "grad_norm rms", "grad_norm worst"}
    assert all("no reruns of the reference" in f.message for f in found)


def test_a_band_as_wide_as_the_signal_is_mistrusted() -> None:
    check, made = banded(trained(3, 0.5), 0.5)
    assert Outcome.MISTRUSTED in {f.outcome for f in check(made)}


def test_a_nan_leaves_every_band() -> None:
    candidate = trained(4, 1e-7)
    candidate["loss"][5:] = np.nan
    check, made = banded(candidate, 1e-7)
    (loss,) = (f for f in check(made) if f.subject == "loss")
    assert loss.outcome is Outcome.FAIL
    assert "step 5" in loss.where


def test_a_report_is_told_the_half_width_of_the_bands() -> None:
    check, made = banded(trained(4, 1e-5), 1e-5)
    told = check.told(made)
    assert told["reruns"] == 3
    assert set(told) == {"reruns", "band/loss", "band/grad_norm"}
    off = np.abs(made.reference.tensors["loss"] - made.golden.tensors["loss"])
    assert (np.array(told["band/loss"]) > off).all()


def test_the_first_step_is_named_of_a_series_that_begins_at_zero() -> None:
    golden = np.array([0.0, 1.0, 2.0, 3.0])
    reference, device = (golden * (1 + off) for off in (1e-7, 0.1))
    found = Trajectory(("reward",))(evidence({"reward": device}, {"reward": reference}, {"reward": golden}))
    assert {f.where for f in found if f.outcome is Outcome.FAIL} == {"first at step 1 of 4"}
