"""Boundary shapes, special values, exact probes and refusals pass on the reference itself, and are what they say."""

import numpy as np
import pytest
import torch

from harness.case import Case
from harness.devices import open_device
from harness.measure import measure
from suites.assets import opinfo
from suites.workloads.operators import boundaries, exact, rejects
from tests.suites.workloads.operators.judging import judged_on_itself

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch warns of some of its own samples

BY_ID = {case.id: case for module in (boundaries, exact, rejects) for case in module.CASES}
SOME = [
    "shapes/mm[float32]", "special/bmm[float16]", "special/addmv[float32]", "shapes/nn.functional.linear[bfloat16]",
    "shapes/masked_fill[int32]", "shapes/where[float32]", "special/linalg.vector_norm[float16]",
    "shapes/exp[float32]", "shapes/add[bfloat16]", "shapes/sum[float16]", "shapes/amax[int32]", "shapes/prod[float32]",
    "special/exp[float32]", "special/pow[float32]", "special/atan2[float16]", "special/add[int32]", "special/floor_divide[int64]",
    "special/amax[bfloat16]", "special/nn.functional.prelu[float32]", "special/lcm[int32]", "special/logical_not[bool]",
    "special/__rmod__[int64]", "shapes/nn.functional.rrelu[float32]", "rejects/nn.functional.adaptive_max_pool3d[float32]",
    *(f"exact/{probe}[{dtype}]" for probe in exact.PROBES for dtype in ("float32", "bfloat16")),
    "rejects/cat[float32]", "rejects/gather[float32]", *(f"out-of-range/{name}[float32]" for name in rejects.OUT_OF_RANGE),
]  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_a_case_passes_on_the_reference_itself(name: str) -> None:
    verdict = judged_on_itself(BY_ID[f"operators/{name}"])
    assert verdict.outcome == "pass", verdict.message


def test_shapes_lie_on_both_sides_of_every_power_of_two() -> None:
    assert {0, 1, 2, *(2**k + d for k in range(2, 11) for d in (-1, 0, 1))} <= set(boundaries._EDGES)


def test_special_values_hold_what_arithmetic_has_rules_for() -> None:
    values = boundaries._specials(torch.float32)
    assert values.isnan().any()
    assert values.isinf().sum() == 2
    assert (values.abs() < torch.finfo(torch.float32).tiny).sum() >= 4  # zeros of both signs, subnormals of both signs
    assert 2**24 + 1 in boundaries._specials(torch.int32).tolist()


def test_integers_stay_within_what_the_dtype_holds_exactly() -> None:
    for dtype, largest in exact._LARGEST.items():
        case = BY_ID[f"operators/exact/matmul[{dtype}]"]
        _, arrays = measure(case, open_device("cpu"))
        assert max(float(np.abs(array).max()) for array in arrays.values()) <= largest
        assert all((array == np.rint(array)).all() for array in arrays.values())


@pytest.mark.parametrize("probe", exact.PROBES)
def test_an_exact_probe_has_something_to_lose(probe: str) -> None:
    _, arrays = measure(BY_ID[f"operators/exact/{probe}[bfloat16]"], open_device("cpu"))
    assert sum(int(np.count_nonzero(array)) for array in arrays.values()) > 500


def test_what_must_be_refused_is_refused_here() -> None:
    case: Case = BY_ID["operators/out-of-range/embedding[float32]"]
    recording, _ = measure(case, open_device("cpu"))
    assert len(recording.details["raised"]) == 3


def test_what_is_not_asked_is_a_sample_that_there_is() -> None:
    for name, (number, why) in rejects.NOT_ASKED.items():
        samples = opinfo.refused(opinfo.operators()[name], 0)
        recording, _ = measure(BY_ID[f"operators/rejects/{name}[float32]"], open_device("cpu"))
        assert why
        assert number < len(samples)
        assert len(recording.details["samples"]) == len(samples) - 1


def test_a_quotient_with_its_sides_turned_divides_by_no_zero_alone() -> None:
    recording, _ = measure(BY_ID["operators/special/__rmod__[int8]"], open_device("cpu"))
    assert len(recording.details["raised"]) < len(recording.details["samples"])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_bytes_all_lie_within_what_floats_hold(dtype: str) -> None:
    """So that an operator that makes real numbers of them is given all pairs of the special ones."""
    _, arrays = measure(BY_ID[f"operators/special/atan2[{dtype}]"], open_device("cpu"))
    assert arrays["000.0"].size >= 98


def test_norms_are_taken_over_the_dimension_that_is_meant() -> None:
    _, arrays = measure(BY_ID["operators/shapes/linalg.vector_norm[float32]"], open_device("cpu"))
    assert arrays["000.0"].shape == (3,)


def test_a_mask_is_broadcast_along_every_dimension() -> None:
    made = list(boundaries._masked(lambda *shape: torch.zeros(shape), "masked_fill"))
    assert {tuple(size == 1 for size in mask.shape) for x, mask, _ in made if x.shape[1:] == (15, 17)} == {
        (False, False), (True, False), (False, True), (False,),
        (False, False, False), (False, True, False), (False, False, True), (True, True, False),
    }  # fmt: skip


def test_no_two_special_values_are_summed_in_a_product() -> None:
    for name in boundaries._PRODUCTS:
        for operands in boundaries._multiplied_specials(boundaries._specials(torch.float32), name):
            left, right = operands[-2], operands[-1]
            right = right.mT if name == "nn.functional.linear" else right
            assert left.shape[-1] == right.shape[0 if right.ndim == 1 else -2]
            assert ((left != 0).sum(-1) <= 1).all()
