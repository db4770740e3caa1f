"""Tests of the AdamW workload: gradients away from zero, and steps that show."""

import torch

from suites.workloads.operators.adamw import CASES, draw_gradient
from tests.suites.workloads.operators.judging import inputs_of, outputs_of

BY_ID = {case.id: case for case in CASES}


def test_gradients_have_both_signs_and_keep_away_from_zero() -> None:
    gradient = draw_gradient(inputs_of("float16"), "g", (1000,))
    assert gradient.dtype is torch.float16
    assert 0.25 <= float(gradient.abs().min()) <= float(gradient.abs().max()) <= 1.75
    assert 0 < int((gradient < 0).sum()) < 1000


def test_a_step_moves_parameters_by_more_than_bfloat16_rounds_them() -> None:
    case = BY_ID["operators/adamw[bfloat16]"]
    scale = 10 * float(case.params["lr"])  # type: ignore[arg-type]
    moved = outputs_of(case)["param_matrix"].float() - inputs_of("bfloat16").normal("param_matrix", (129, 576), scale=scale).float()
    assert float(moved.square().mean().sqrt()) > 10 * 2.0**-8 * scale


def test_fused_and_plain_steps_agree_in_float32() -> None:
    plain, fused = (outputs_of(BY_ID[f"operators/adamw{kind}[float32]"]) for kind in ("", "-fused"))
    for name, tensor in plain.items():
        torch.testing.assert_close(tensor, fused[name], rtol=1e-5, atol=1e-7)
