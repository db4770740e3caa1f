"""Every parameter's gradient on its own."""

import numpy as np

from harness.checks.parameters import Parameters
from harness.verdict import Outcome
from tests.harness.checks.build import evidence

RNG = np.random.default_rng(0)
GOLDEN = {f"grad/layer{i}.weight": RNG.standard_normal(64) * 10.0**-i for i in range(6)}


def noisy(size: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: g + size * np.linalg.norm(g) / 8 * rng.standard_normal(64) for n, g in GOLDEN.items()}


def judged(candidate: dict[str, np.ndarray], golden: dict[str, np.ndarray] = GOLDEN):
    return Parameters("grad/")(evidence(candidate, noisy(1e-6, 1), golden))


def test_an_equally_sound_device_passes() -> None:
    assert {f.outcome for f in judged(noisy(2e-6, 2))} == {Outcome.PASS}


def test_one_wrong_parameter_fails_however_small_it_is() -> None:
    candidate = noisy(1e-6, 2)
    candidate["grad/layer5.weight"] *= 1.5
    worst = judged(candidate)[1]
    assert worst.outcome is Outcome.FAIL
    assert worst.where == "layer5.weight"


def test_a_gradient_that_must_be_zero_and_is_not_fails() -> None:
    golden = {**GOLDEN, "grad/layer3.weight": np.zeros(64)}
    assert Outcome.FAIL in {
        f.outcome for f in Parameters("grad/")(evidence(noisy(1e-6, 2), {**noisy(1e-6, 1), "grad/layer3.weight": np.zeros(64)}, golden))
    }


def test_a_nan_fails() -> None:
    candidate = noisy(1e-6, 2)
    candidate["grad/layer0.weight"][3] = np.nan
    assert {f.outcome for f in judged(candidate)} == {Outcome.FAIL}


def test_other_parameters_are_incomparable() -> None:
    candidate = noisy(1e-6, 2)
    candidate["grad/stranger"] = candidate.pop("grad/layer0.weight")
    assert [f.outcome for f in judged(candidate)] == [Outcome.INCOMPARABLE]


def test_a_reference_as_wrong_as_the_signal_is_mistrusted() -> None:
    found = Parameters("grad/")(evidence(noisy(0.1, 2), noisy(0.1, 1), GOLDEN))
    assert found[0].outcome is Outcome.MISTRUSTED
    assert found[1].outcome is Outcome.PASS
    assert found[1].message.startswith("blunt")


def test_which_updates_have_an_element_of_either_sign_is_chance() -> None:
    """The reference's own is in one parameter, the candidate's in another; of gradients that would be an error."""
    sides = []
    for seed, layer in ((1, 0), (2, 4)):
        side = {name.replace("grad", "update"): array for name, array in noisy(1e-6, seed).items()}
        side[f"update/layer{layer}.weight"] *= 1 + 2e-5
        sides.append(side)
    golden = {name.replace("grad", "update"): array for name, array in GOLDEN.items()}
    assert {f.outcome for f in Parameters("update/")(evidence(*sides, golden))} == {Outcome.PASS}
    gradients = [{name.replace("update", "grad"): array for name, array in side.items()} for side in (*sides, golden)]
    assert Parameters("grad/")(evidence(*gradients))[1].outcome is Outcome.FAIL
