"""Tests of the embedding workload: ids repeat, so that gradients must accumulate; a row that is not used gets none."""

import torch

from suites.workloads.operators.embedding import CASES
from tests.suites.workloads.operators.judging import inputs_of, outputs_of


def test_nearly_every_row_is_used_several_times_and_the_unused_one_gets_no_gradient() -> None:
    counts = inputs_of().integers("ids", (4, 129), 0, 61).flatten().bincount(minlength=61)
    assert dict(CASES[0].params) == {"batch": 4, "length": 129, "rows": 61, "width": 576}
    assert int((counts > 1).sum()) == 60
    silent = outputs_of(CASES[0])["grad_table"].abs().sum(1) == 0
    assert torch.equal(silent, counts == 0)
