"""Does the candidate give what the reference and float64 say? One test a case; the cases are in `suites/workloads`."""

from collections.abc import Callable

import pytest

from harness.case import Case
from harness.verdict import Verdict
from suites.session import Session


@pytest.mark.operators
@pytest.mark.post_training
@pytest.mark.inference
@pytest.mark.accuracy
def test_conformance(case: Case, assay: Session, settle: Callable[[Verdict], None]) -> None:
    """Record the case on both sides and in float64, and judge it."""
    settle(assay.verdict(case))
