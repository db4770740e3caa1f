"""Copies, triads and products: right, counted, and vouched for."""

import pytest
import torch

from suites.catalogue import all_cases
from suites.workloads.roofline import CASES, copy, product, triad
from tests.suites.workloads.tiny_model import inputs

TIMED = [case for case in CASES if case.area == "performance"]


def test_a_copy_reads_and_writes_each_byte() -> None:
    step = copy(inputs(), mebibytes=1)
    assert (step.work, step.unit) == (2 << 20, "bytes")
    assert step.call()["out"].abs().sum() > 0
    assert step.details()["costs"] == {"flops": {"needed": 0}, "bytes": {"needed": 2 << 20}}


def test_a_triad_is_a_sum_with_a_factor() -> None:
    step = triad(inputs(), mebibytes=1)
    a, b = (inputs().normal(name, (1 << 16,)) for name in ("a", "b"))
    expected = torch.add(a, b, alpha=3.0).repeat(4)[::997]
    assert torch.equal(step.call()["out"], expected)
    assert (step.work, step.details()["costs"]["flops"]["needed"]) == (3 << 20, 2 << 18)


def test_a_product_counts_two_operations_for_each_of_its_terms() -> None:
    step = product(inputs(torch.bfloat16), size=32)
    assert (step.work, step.unit) == (2 * 32**3, "operations")
    assert step.details()["costs"]["bytes"]["needed"] == 3 * 32 * 32 * 2


@pytest.mark.parametrize("case", TIMED, ids=lambda case: case.id)
def test_vouched_for_by_the_same_work_in_small(case) -> None:
    judged = all_cases()[case.vouched_by]
    assert (judged.workload, judged.dtype, judged.golden) == (case.workload, case.dtype, True)
    assert (case.golden, case.rounds > 1) == (False, True)
