"""The timed cases: each is vouched for, and each can be called again and again."""

import pytest
import torch

from suites.catalogue import all_cases
from suites.workloads.inference import greedy, prefill, serving_costs
from suites.workloads.performance import CASES
from suites.workloads.post_training import sft
from tests.suites.workloads.tiny_model import inputs, use_tiny

KNOWN = all_cases()

by_id = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@by_id
def test_vouched_for_by_the_same_work_in_the_same_dtype(case):
    judged = KNOWN[case.vouched_by]
    assert (judged.workload, judged.dtype) == (case.workload, case.dtype)


@by_id
def test_no_golden_and_outputs_of_some_rounds(case):
    assert (case.area, case.golden) == ("performance", False)
    assert case.rounds >= 6


@by_id
def test_calls_may_be_repeated(case, monkeypatch):
    use_tiny(monkeypatch, greedy, prefill, serving_costs, sft)
    small = case.with_params(batch=1, rows=8, inner=8, columns=8, length=8, new_tokens=2, prompt=4, context=8)
    step = small.workload(inputs(getattr(torch, case.dtype)), **small.params)
    calls = [step.call() for _ in range(case.rounds)]
    assert all(call.keys() == calls[0].keys() for call in calls)
    assert all(tensor.isfinite().all() for call in calls for tensor in call.values())
    assert step.finish is None or not step.finish()  # nothing is computed for a comparison of results
