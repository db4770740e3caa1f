"""Tests of the cross-entropy workload: some labels are ignored and some are not."""

import pytest

from harness.case import Case
from suites.workloads.operators.cross_entropy import CASES
from tests.suites.workloads.operators.judging import outputs_of


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_ignored_rows_get_no_gradient_and_the_others_do(case: Case) -> None:
    silent = outputs_of(case)["grad_logits"].abs().sum(1) == 0
    assert 0.1 < float(silent.float().mean()) < 0.4
