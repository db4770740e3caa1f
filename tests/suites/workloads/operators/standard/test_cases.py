"""The standard carried out: its cases judge sound devices as passing and wrong ones as failing."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness.case import Case
from harness.standards.cann.exact import Kind, rule_for
from harness.standards.cann.thresholds import LEVELS
from harness.verdict import Outcome
from suites.workloads.operators.standard import cases, corner_cases, table
from tests.suites.workloads.operators.judging import outcome, outputs_of, prepared, recorded

ALL = [*cases.CASES, *corner_cases.CASES]
BY_ID = {case.id: case for case in ALL}
BY_BITS = [case for case in ALL if case.params.get("seeds") == 0]


def small(case: Case, **changes: int) -> Case:
    """The case with few elements and no seeds, where nothing else is asked for."""
    return case.with_params(**{"count": 2, "cells": 16, "seeds": 0, "repeats": 2, "tests": 100} | changes)


def judged(case: Case, device: Mapping[str, Tensor]) -> Outcome:
    sound = outputs_of(case)
    golden = recorded(case, outputs_of(case, golden=True)) if case.golden else recorded(case, sound)
    return outcome(case, recorded(case, device), recorded(case, sound), golden)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_a_sound_device_passes(case: Case) -> None:
    torch.manual_seed(0)
    case = small(case)
    assert judged(case, outputs_of(case)) is Outcome.PASS


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_both_sides_see_the_same_inputs(case: Case) -> None:
    case = small(case)
    (step, plain), (_, golden) = prepared(case), prepared(case, golden=True)
    assert plain.digests == golden.digests
    assert step.call().keys() == step.call().keys()


@pytest.mark.parametrize("case", BY_BITS, ids=lambda case: case.id)
def test_one_wrong_element_fails_where_there_is_no_tolerance(case: Case) -> None:
    case = small(case)
    device = outputs_of(case)
    name = next(n for n, t in device.items() if t.numel() and t.dtype is not torch.bool)
    device[name] = device[name].clone()
    device[name].view(-1)[0] = device[name].view(-1)[0] + 2
    assert judged(case, device) is Outcome.FAIL


@pytest.mark.parametrize("name", ["operators/standard/exp[float16]", "operators/standard/matmul[float32]"])
def test_a_large_error_in_one_seed_of_the_case_itself_fails_without_a_re_check(name: str) -> None:
    case = small(BY_ID[name])
    device = {n: t * 1.1 if n.startswith("case00000") else t for n, t in outputs_of(case).items()}
    assert judged(case, device) is Outcome.FAIL


def test_a_run_that_differs_fails() -> None:
    case = small(BY_ID["operators/standard/softmax[float32]"])
    device = outputs_of(case)
    device["differing"] = torch.tensor([False, True])
    assert judged(case, device) is Outcome.FAIL


def test_repeats_notice_an_operator_that_is_not_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))
    unsteady = replace(table.BY_NAME["exp"], run=lambda x: torch.exp(x) + (next(calls) == 3), gradients=False)
    monkeypatch.setitem(table.BY_NAME, "exp", unsteady)
    case = small(BY_ID["operators/standard/exp[float32]"], repeats=5)
    assert outputs_of(case)["differing"].tolist() == [True, False]


def test_every_repeat_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    counted = replace(table.BY_NAME["exp"], run=lambda x: (calls.append(1), torch.exp(x))[1], gradients=False)
    monkeypatch.setitem(table.BY_NAME, "exp", counted)
    outputs_of(small(BY_ID["operators/standard/exp[float32]"], repeats=50, count=1))
    assert len(calls) == 50


def test_memory_is_filled_with_nan_before_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = []
    full = torch.full
    monkeypatch.setattr(torch, "full", lambda size, value, **more: (filled.append(value), full(size, value, **more))[1])
    outputs_of(small(BY_ID["operators/standard/exp[float32]"]))
    assert filled
    assert all(value != value for value in filled)


def test_a_gradient_comes_from_this_side_s_own_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    # a forward that is off by a tenth shows in the gradient of exp, which is made of what the forward saved
    wrong = replace(table.BY_NAME["exp"], run=lambda x: torch.exp(x * 1.1))
    monkeypatch.setitem(table.BY_NAME, "exp", wrong)
    case = small(BY_ID["operators/standard/exp[float32]"])
    ours = outputs_of(case)
    monkeypatch.undo()
    theirs = outputs_of(case)
    name = "case00000.grad_x"
    assert not torch.allclose(ours[name], theirs[name], rtol=1e-2, atol=0)
    assert torch.allclose(ours[name], 1.1 * ours["case00000.out"] * theirs[name] / theirs["case00000.out"], rtol=1e-5, atol=0)


def test_other_seeds_are_other_values_of_the_same_shape() -> None:
    out = outputs_of(small(BY_ID["operators/standard/exp[float32]"], seeds=2))["case00001.out"]
    assert out.shape[0] == 3
    assert not torch.equal(out[0], out[1])


def test_the_default_records_enough_seeds_for_a_re_check() -> None:
    for case in ALL:
        operator = case.params.get("operator")
        if "seeds" in case.params and table.BY_NAME[str(operator)].kind is Kind.FLOATING:
            assert case.params["seeds"] == 200


def test_any_slice_of_the_cases_can_be_run() -> None:
    case = small(BY_ID["operators/standard/sum[float32]"], first=29_998)
    assert {name.split(".")[0] for name in outputs_of(case)} == {"case29998", "case29999", "differing"}


def test_every_level_and_class_of_operator_has_cases() -> None:
    assert {operator.level for operator in table.OPERATORS} == set(LEVELS)
    assert {operator.kind for operator in table.OPERATORS} | {Kind.RANDOM} == set(Kind)
    assert "operators/standard/randn[float32]" in BY_ID


def test_each_operator_is_held_to_the_rule_of_its_class() -> None:
    for operator in table.OPERATORS:
        check = cases.check_of(operator)
        integer = operator.kind is Kind.INTEGER
        result = rule_for(operator.kind, floating_input=not integer, floating_output=operator.kind in (Kind.MOVED, Kind.FLOATING))
        assert result == (check.integers if operator.kind in (Kind.INTEGER, Kind.QUANTISED) else check.floats)
        assert check.decides


def test_attributes_are_covered_in_every_combination() -> None:
    assert len(table.BY_NAME["sum"].attributes) == 6
    assert {a["keepdim"] for a in table.BY_NAME["sum"].attributes} == {False, True}


def test_a_model_s_shapes_are_run_at_l2() -> None:
    out = outputs_of(small(BY_ID["operators/standard/matmul[float32]"], first=2, count=1))
    assert out["case00002.grad_x"].shape[1:] in table.BY_NAME["matmul"].model


def test_where_the_golden_comes_from_is_recorded() -> None:
    details = prepared(small(BY_ID["operators/standard/quantise[float32]"]))[0].details
    assert details is not None
    assert details()["golden from"] == "a composition of small operators"


def test_what_needs_more_memory_is_left_out_and_named() -> None:
    step = prepared(small(BY_ID["operators/standard-corners/exp[float16]"]))[0]
    assert step.details is not None
    left_out = step.details()["left out for want of memory"]
    assert isinstance(left_out, list)
    assert len(left_out) == 36
    assert all(name.startswith("huge-") for name in left_out)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "mixed"])
def test_special_inputs_are_run_in_four_shapes(value: str) -> None:
    out = outputs_of(small(BY_ID["operators/standard-corners/exp[float32]"]))
    assert len({out[f"{value}-{i}"].shape for i in range(4)}) == 4
    assert out["nan-0"].isnan().all()
    assert (out["-inf-0"] == 0).all()


def test_empty_all_one_and_scalar_tensors_are_run() -> None:
    out = outputs_of(small(BY_ID["operators/standard-corners/exp[float32]"]))
    assert sum(name.startswith("empty-") for name in out) == 36
    assert out["ones-8d"].shape == (1,) * 9
    assert out["scalar"].shape == (1, 1)


@pytest.mark.parametrize("operator", table.OPERATORS, ids=lambda operator: operator.name)
def test_what_an_operator_cannot_do_is_refused_and_accepting_it_fails(operator: table.Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    case = BY_ID[f"operators/standard-refusals/{operator.name}[float32]"]
    assert outputs_of(case)["refused"].all()
    lenient = replace(operator, refused={what: lambda make: make(3) for what in operator.refused})
    monkeypatch.setitem(table.BY_NAME, operator.name, lenient)
    accepted = outputs_of(case)
    monkeypatch.undo()
    assert judged(case, accepted) is Outcome.FAIL
