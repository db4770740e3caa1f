"""Casts round once, to nearest."""

import pytest
import torch

from suites.workloads.operators.cast import CASES
from tests.suites.workloads.operators.judging import judged_on_itself, outputs_of


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_passes_on_the_reference_itself(case) -> None:
    assert judged_on_itself(case).outcome == "pass"


def test_there_and_back_names_both_dtypes() -> None:
    outputs = outputs_of(CASES[0])
    assert {name: tensor.dtype for name, tensor in outputs.items()} == {
        "to_bfloat16": torch.bfloat16, "to_float16": torch.float16, "back_from_bfloat16": torch.float32, "back_from_float16": torch.float32,
    }  # fmt: skip
