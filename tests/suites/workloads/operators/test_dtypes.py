"""Tests of how an operator's cases are named."""

from suites.workloads.operators.dtypes import in_each_dtype
from suites.workloads.operators.swiglu import swiglu


def test_a_variant_gives_a_case_for_each_dtype() -> None:
    cases = in_each_dtype(swiglu, {"swiglu-x": {"tokens": 1, "width": 2}})
    assert [case.id for case in cases] == [f"operators/swiglu-x[{dtype}]" for dtype in ("float32", "bfloat16", "float16")]
    assert [case.dtype for case in cases] == ["float32", "bfloat16", "float16"]
    assert all(case.area == "operators" and case.params == {"tokens": 1, "width": 2} for case in cases)
