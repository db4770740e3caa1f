"""Tests of Muon's operator cases: all shapes are stepped, and device and golden agree."""

import torch

from suites.workloads.operators.muon import CASES, SHAPES
from tests.suites.workloads.operators.judging import outputs_of

BY_ID = {case.id: case for case in CASES}


def test_parameters_and_momenta_of_all_shapes_are_returned() -> None:
    outputs = outputs_of(BY_ID["operators/muon[float32]"])
    assert set(outputs) == {f"{field}_{name}" for field in ("param", "momentum") for name in SHAPES}


def test_rows_come_out_orthogonal() -> None:
    made = outputs_of(BY_ID["operators/newton_schulz-wide[float32]"])["orthogonal"][0]
    torch.testing.assert_close(made @ made.T, torch.eye(len(made)), rtol=0, atol=2e-3)


def test_each_dtype_has_its_case() -> None:
    assert {case.dtype for case in CASES} == {"float32", "bfloat16", "float16"}
