"""Tests that hold for every case of a fused operator, on a device that has none: the definition in the case's dtype beside float64."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.case import Case
from harness.inputs import Inputs
from harness.verdict import Outcome
from suites.catalogue import all_cases
from suites.workloads.operators import fused
from tests.suites.workloads.operators.judging import outcome, prepared, recorded

MODULES = [importlib.import_module(f"{fused.__name__}.{module.name}") for module in pkgutil.iter_modules(fused.__path__)]
CASES: list[Case] = [case for module in MODULES for case in getattr(module, "CASES", ())]
ONE_EACH = {case.id.partition("[")[0]: case for case in CASES}  # of each variant its last dtype: a narrow one, where it has one


def test_the_catalogue_has_them_all_and_an_npu_alone_can_be_their_candidate() -> None:
    catalogue = all_cases()
    assert len(CASES) > 500
    assert {case.id for case in CASES} <= catalogue.keys()
    assert {case.only_on for case in CASES} == {"npu"}
    assert all(case.id.startswith("operators/npu_") for case in CASES)


@pytest.mark.parametrize("case", ONE_EACH.values(), ids=lambda case: case.id)
def test_the_definition_passes_beside_itself_in_float64_on_the_same_inputs(case: Case) -> None:
    (step, inputs), (exact, exact_inputs) = prepared(case), prepared(case, golden=True)
    first, again, golden = step.call(), step.call(), exact.call()
    assert inputs.digests == exact_inputs.digests
    assert first.keys() == again.keys() == golden.keys()
    assert all(torch.equal(first[name].nan_to_num(), again[name].nan_to_num()) for name in first)
    device = recorded(case, first)
    assert outcome(case, device, device, recorded(case, golden)) is Outcome.PASS


def asked_for(case: Case) -> set[str]:
    """Return the names of the operators for which the workload asks a device."""
    names = set()

    def note(name: str) -> None:
        names.add(name)

    case.workload(Inputs(case.seed, getattr(torch, case.dtype), lambda t: t, torch.device("cpu"), fused=note), **case.params)
    return names


@pytest.mark.parametrize("case", ONE_EACH.values(), ids=lambda case: case.id)
def test_a_case_bears_the_name_of_an_operator_that_it_asks_for(case: Case) -> None:
    assert case.id.partition("[")[0].removeprefix("operators/").partition("-")[0] in asked_for(case)


def test_a_candidate_calls_its_own_operator_and_the_golden_does_not() -> None:
    case = ONE_EACH["operators/npu_fast_gelu"]
    calls: list[str] = []

    def own(name: str) -> Callable[..., Any]:
        def operator(x: torch.Tensor) -> torch.Tensor:
            calls.append(name)
            return x * 2

        return operator

    for golden in (False, True):
        made = Inputs(0, torch.float32, lambda t: t, torch.device("cpu"), golden, own)
        out = case.workload(made, **case.params).call()
    assert calls == ["npu_fast_gelu"]
    assert out["out"].dtype == torch.float64
