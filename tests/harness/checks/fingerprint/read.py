"""Applies a fingerprint check to plain arrays, for tests."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.checks.evidence import Evidence
from harness.checks.fingerprint import Fingerprint
from harness.recording import Recording, Status
from harness.verdict import Finding
from tests.harness.checks.build import case

Arrays = Mapping[str, Any]


def recording(outputs: Arrays, dtype: str = "float32", **details: Any) -> Recording:
    made = Recording({"id": "operators/x", "dtype": dtype}, "k", "operators", "cpu", "e", Status.OK, details=details)
    made.__dict__["tensors"] = {name: np.asarray(values) for name, values in outputs.items()}
    object.__setattr__(made, "dtypes", dict.fromkeys(outputs, dtype))
    return made


def findings(about: str, ours: Recording, theirs: Recording | None = None) -> dict[str, Finding]:
    return {f.subject: f for f in Fingerprint(about)(Evidence(case(), ours, theirs or ours))}
