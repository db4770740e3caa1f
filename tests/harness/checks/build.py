"""Builds evidence from plain arrays, for tests of checks."""

from collections.abc import Mapping

import numpy as np

from harness.case import Case, Step
from harness.checks.evidence import Evidence
from harness.recording import Recording, Status

Arrays = Mapping[str, np.ndarray]


def _no_workload(*_: object) -> Step:
    raise AssertionError("not run")


def case(dtype: str = "float32") -> Case:
    return Case("operators/x", "operators", _no_workload, dtype, ())


def recording(arrays: Arrays, dtypes: Mapping[str, str] | None = None, **changes) -> Recording:
    made = Recording(case().definition(), "k", "operators", "cpu", "e", Status.OK, **changes)
    found = {name: str(array.dtype) for name, array in arrays.items()} | dict(dtypes or {})
    object.__setattr__(made, "dtypes", found)
    made.__dict__["tensors"] = dict(arrays)  # what the cached property would have read from disk
    return made


def evidence(candidate: Arrays, reference: Arrays, golden: Arrays | None, dtype: str = "float32", **changes) -> Evidence:
    names = {name: dtype for name, array in candidate.items() if array.dtype == np.float32}
    sides = (recording(candidate, names, **changes), recording(reference, names, **changes))
    return Evidence(case(dtype), *sides, None if golden is None else recording(golden))
