"""PyTorch's own database as cases: all of it, and what is left out has a reason that is true."""

from collections import Counter

import pytest
import torch

from harness.devices import open_device
from harness.manner import Manner
from harness.measure import measure
from suites.assets import opinfo
from suites.workloads.operators.opinfo import _BY_MEMORY, CASES, DTYPES, FORM_ONLY, LARGEST, LEFT_OUT, MAY_DRAW
from suites.workloads.operators.samples import Sample
from tests.suites.workloads.operators.judging import judged_on_itself

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch warns of some of its own samples

BY_ID = {case.id: case for case in CASES}


def test_every_operator_is_a_case_or_has_a_reason() -> None:
    named = {str(case.params["operator"]) for case in CASES}
    assert named | set(LEFT_OUT) == set(opinfo.operators())
    assert named & set(LEFT_OUT) == set()
    assert len(opinfo.operators()) >= 700


def test_every_dtype_that_an_operator_takes_is_a_case() -> None:
    counts = Counter(str(case.params["operator"]) for case in CASES)
    for name, op in opinfo.operators().items():
        if name not in LEFT_OUT:
            assert counts[name] == max(1, len(opinfo.dtypes(op) & set(DTYPES))), name


def test_lists_of_exceptions_name_operators_that_exist() -> None:
    assert {*LEFT_OUT, *FORM_ONLY} <= set(opinfo.operators())
    assert {name for name in _BY_MEMORY if name not in opinfo.operators()} == set()


@pytest.mark.parametrize("name", [name for name in LEFT_OUT if name.startswith("jiterator")])
def test_what_is_left_out_as_cuda_s_cannot_run_here(name: str) -> None:
    op = opinfo.operators()[name]
    sample = opinfo.samples(op, torch.float32, 0)[0]
    with pytest.raises(AssertionError, match="only supported on CUDA"):
        op(sample.input, *sample.args, **sample.kwargs)


@pytest.mark.parametrize("name", [name for name in LEFT_OUT if name.startswith("sparse")])
def test_what_is_left_out_as_sparse_is(name: str) -> None:
    drawn = opinfo.samples(opinfo.operators()[name], torch.float32, 0)
    leaves = [leaf for sample in drawn for leaf in (sample.input, *sample.args) if isinstance(leaf, torch.Tensor)]
    assert any(leaf.layout is not torch.strided for leaf in leaves)


def test_importing_the_database_leaves_back_ends_configurable() -> None:
    opinfo.operators()
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = before


def test_the_same_seed_draws_the_same_samples_and_leaves_the_generators_alone() -> None:
    op = opinfo.operators()["add"]
    before = torch.get_rng_state()
    first, second, other = (opinfo.samples(op, torch.float32, seed)[0].input for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_just_the_operators_named_draw_random_numbers() -> None:
    drawing = set()
    for name, op in opinfo.operators().items():
        if name in LEFT_OUT:
            continue
        dtype = getattr(torch, next((d for d in DTYPES if d in opinfo.dtypes(op)), "complex64"))
        drawn = [Sample((s.input, *s.args), dict(s.kwargs)) for s in opinfo.samples(op, dtype, 0)]
        small = [sample for sample in drawn if all(leaf.numel() <= LARGEST for leaf in sample.leaves)]
        if any(sample.tried(op).draws for sample in small[:60]):
            drawing.add(name)
    assert drawing == set(MAY_DRAW)


def test_only_one_operator_has_samples_too_large_to_call() -> None:
    for name, op in opinfo.operators().items():
        if name not in LEFT_OUT and "float32" in opinfo.dtypes(op):
            drawn = [Sample((s.input, *s.args), dict(s.kwargs)) for s in opinfo.samples(op, torch.float32, 0)]
            too_large = sum(any(leaf.numel() > LARGEST for leaf in sample.leaves) for sample in drawn)
            assert too_large == (18 if name == "grid_sampler_3d" else 0), name


SOME = [
    "add[float32]", "softmax[bfloat16]", "matmul[float16]", "sort[float32]", "floor_divide[int32]", "logical_and[bool]",
    "fft.fft[float32]", "nn.functional.conv2d[float32]", "nn.functional.dropout[float32]", "empty[float32]", "as_strided[float32]",
    "imag[complex64]", "nn.functional.scaled_dot_product_attention[float32]", "tensor_split[float32]", "linalg.svd[float32]",
]  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_a_case_passes_on_the_reference_itself(name: str) -> None:
    verdict = judged_on_itself(BY_ID[f"operators/opinfo/{name}"])
    assert verdict.outcome == "pass", verdict.message


def test_the_golden_takes_the_same_samples() -> None:
    case = BY_ID["operators/opinfo/softmax[bfloat16]"]
    plain, golden = (measure(case, open_device("cpu"), manner=manner) for manner in (Manner.PLAIN, Manner.GOLDEN))
    assert plain[0].inputs == golden[0].inputs
    assert plain[1].keys() == golden[1].keys()
