"""Where a run leaves its bands first."""

import numpy as np
import pytest

from harness.checks.band import band
from harness.checks.departure import Departure, departure, layer_of
from harness.verdict import Cause

NAMES = ["embed.weight", "layers.0.mlp.weight", "layers.1.mlp.weight", "norm.weight"]
STEPS = 6


def sound(seed: int, size: float = 1e-6) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(seed)
    golden = {"loss": np.linspace(3, 2, STEPS), "grad_norm": np.full(STEPS, 2.0), "grad_norms": np.ones((STEPS, 4))}
    golden["update_norms"], golden["update_norm"] = np.full((STEPS, 4), 0.1), np.full(STEPS, 0.2)
    return {name: array * (1 + size * noise.standard_normal(array.shape)) for name, array in golden.items()}


GOLDEN = sound(0, 0.0)
BANDS = {name: band(GOLDEN[name], [sound(seed)[name] for seed in range(1, 5)], 2.0**-24) for name in GOLDEN}


def found(**changes: tuple[int, int | slice, float]) -> Departure | None:
    run = sound(9)
    for name, (step, column, factor) in changes.items():
        if run[name].ndim == 1:
            run[name][step:] *= factor
        else:
            run[name][step:, column] *= factor
    return departure(run, BANDS, NAMES)


def test_a_sound_run_leaves_nothing() -> None:
    assert found() is None


def test_a_gradient_that_spoils_those_before_it_is_named_itself() -> None:
    assert found(grad_norms=(3, slice(0, 3), 1.01), grad_norm=(3, 0, 1.005)) == Departure(3, Cause.GRADIENT, NAMES[2])


def test_a_loss_is_computed_before_its_gradients() -> None:
    left = found(loss=(2, 0, 1.01), grad_norms=(2, 1, 1.01))
    assert left == Departure(2, Cause.FORWARD, NAMES[1])


def test_a_gradient_is_computed_before_the_loss_of_the_next_step() -> None:
    assert found(grad_norms=(2, 1, 1.01), loss=(3, 0, 1.01)) == Departure(2, Cause.GRADIENT, NAMES[1])


def test_an_update_alone_is_the_optimizers() -> None:
    assert found(update_norms=(1, 2, 1.01), update_norm=(1, 0, 1.0025), loss=(2, 0, 1.01)) == Departure(1, Cause.UPDATE, NAMES[2])


def test_the_norm_of_one_parameters_update_is_not_judged() -> None:
    """One element of which the gradient is as small as its error takes either sign in AdamW's first step."""
    assert found(update_norms=(0, 2, 1.01)) is None


def test_without_norms_of_parameters_none_is_named() -> None:
    bands = {name: BANDS[name] for name in ("loss", "grad_norm")}
    run = sound(9)
    run["grad_norm"][4:] *= 2
    assert departure(run, bands, []) == Departure(4, Cause.GRADIENT, "")


@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("model.layers.12.mlp.gate.weight", "layer 12"), ("transformer.h.0.attn.weight", "layer 0"),
        ("lm_head.weight", "lm_head.weight"), ("model.norm.weight", "model.norm.weight"),
    ],
)  # fmt: skip
def test_the_layer_of_a_parameter(parameter: str, layer: str) -> None:
    assert layer_of(parameter) == layer


def test_it_says_where_in_one_line() -> None:
    text = Departure(3, Cause.GRADIENT, "model.layers.1.mlp.weight").where(8)
    assert text == "first at step 3 of 8, backward, layer 1, model.layers.1.mlp.weight"
    assert Departure(0, Cause.UPDATE, "lm_head.weight").where(8) == "first at step 0 of 8, in the optimizer, lm_head.weight"
