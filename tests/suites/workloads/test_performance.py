"""The timed cases: each is vouched for, and each can be called again and again."""

import pytest
import torch

from suites.catalogue import all_cases
from suites.workloads import inference
from suites.workloads.performance import CASES
from suites.workloads.post_training import sft
from tests.suites.workloads.tiny_model import inputs, use_tiny

by_id = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


@by_id
def test_vouched_for_by_the_same_work_in_the_same_dtype(case):
    judged = all_cases()[case.vouched_by]
    assert (judged.workload, judged.dtype) == (case.workload, case.dtype)


@by_id
def test_timed_often_enough_for_an_interval_and_warmed_up(case):
    assert (case.area, case.golden) == ("performance", False)
    assert case.rounds >= 6
    assert case.warmup >= 1


@by_id
def test_calls_may_be_repeated(case, monkeypatch):
    use_tiny(monkeypatch, inference, sft)
    small = case.with_params(batch=1, rows=8, inner=8, columns=8, length=8, new_tokens=2, prompt=4)
    step = small.workload(inputs(getattr(torch, case.dtype)), **small.params)
    calls = [step.call() for _ in range(case.rounds + case.warmup)]
    assert all(call.keys() == calls[0].keys() for call in calls)
    assert all(tensor.isfinite().all() for call in calls for tensor in call.values())
    assert step.finish is None
