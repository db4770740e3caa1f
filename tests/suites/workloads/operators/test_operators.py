"""Tests that hold for every operator case: inputs, dtypes, repetition, distance from float64, and the verdict on itself."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from harness.case import Case
from harness.checks.closeness import UNIT_ROUNDOFF
from harness.verdict import Outcome
from suites.workloads import operators
from tests.suites.workloads.operators.judging import outcome, prepared, recorded

MODULES = [
    importlib.import_module(f"{operators.__name__}.{module.name}")
    for module in pkgutil.iter_modules(operators.__path__)
    if module.name not in ("exact", "cast")
]
CASES: list[Case] = [case for module in MODULES for case in getattr(module, "CASES", ()) if case.golden and not case.wide]

FLOAT32_OUTPUTS = {"scores"}  # routing scores: models keep them in float32
SOUND_RMS = 20.0  # units of roundoff; a sum of 49152 terms on one core comes to 15


@dataclass(frozen=True)
class Sample:
    """Two calls of a case, its float64 evaluation, and the digests of the inputs of either side."""

    case: Case
    first: Mapping[str, Tensor]
    second: Mapping[str, Tensor]
    golden: Mapping[str, Tensor]
    digests: tuple[dict[str, str], dict[str, str]]


@pytest.fixture(scope="module", params=CASES, ids=[case.id for case in CASES])
def sample(request: pytest.FixtureRequest) -> Sample:
    case: Case = request.param
    (step, inputs), (golden, golden_inputs) = prepared(case), prepared(case, golden=True)
    return Sample(case, step.call(), step.call(), golden.call(), (inputs.digests, golden_inputs.digests))


def test_device_and_golden_see_the_same_inputs(sample: Sample) -> None:
    assert sample.digests[0]
    assert sample.digests[0] == sample.digests[1]


def test_two_calls_give_the_same_bits_and_share_no_memory(sample: Sample) -> None:
    assert sample.first.keys() == sample.second.keys()
    for name, tensor in sample.first.items():
        assert torch.equal(tensor, sample.second[name])
        assert tensor.data_ptr() != sample.second[name].data_ptr()
        assert not tensor.requires_grad


def test_outputs_have_the_dtype_of_the_case_and_the_golden_float64(sample: Sample) -> None:
    assert sample.first.keys() == sample.golden.keys()
    for name, tensor in sample.first.items():
        wanted = torch.int64 if name == "experts" else torch.float32 if name in FLOAT32_OUTPUTS else getattr(torch, sample.case.dtype)
        assert tensor.dtype is wanted
        assert sample.golden[name].dtype is (torch.int64 if name == "experts" else torch.float64)


def test_the_golden_is_near_in_units_of_roundoff(sample: Sample) -> None:
    near_ties = {"weights"} if sample.case.id.startswith("operators/routing[") else set()
    for name in sample.first.keys() - {"experts"} - near_ties:
        golden = sample.golden[name]
        error = (sample.first[name].double() - golden).square().mean().sqrt() / golden.square().mean().sqrt()
        assert float(error) <= SOUND_RMS * UNIT_ROUNDOFF[sample.case.dtype], name


def test_a_sound_device_passes_against_itself(sample: Sample) -> None:
    device = recorded(sample.case, sample.first)
    assert outcome(sample.case, device, device, recorded(sample.case, sample.golden)) is Outcome.PASS


def test_ids_are_unique_and_each_operator_of_the_suite_has_all_dtypes() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    wanted = [
        *("matmul", "linear", "attention-full", "attention-causal", "attention-gqa", "attention-ragged", "rms_norm", "rotary"),
        *("swiglu", "softmax", "cross_entropy", "embedding", "routing", "adamw"),
    ]
    ids = {case.id for case in CASES}
    assert {f"operators/{name}[{dtype}]" for name in wanted for dtype in ("float32", "bfloat16", "float16")} <= ids


def test_another_seed_draws_other_inputs() -> None:
    case = CASES[0]
    assert prepared(case)[1].digests != prepared(replace(case, seed=1))[1].digests
