"""A Run as columns: what a verdict says comes back, however many words it is made of."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from harness.verdict import Finding, Outcome
from reports import frame
from reports.cases import _rounded
from reports.frame import load
from tests.reports.runs import make, verdict


def test_findings_come_back_row_by_row(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(frame, "_BATCH", 2)
    made = [
        verdict(f"operators/op{i}[float32]", findings=[Finding("closeness", f"out {j}", Outcome.PASS, i + j / 10) for j in range(i)])
        for i in range(5)
    ]
    found = load(make(tmp_path / "r", made)).findings
    expected = [(f"operators/op{i}[float32]", f"out {j}", i + j / 10) for i in range(5) for j in range(i)]
    assert list(zip(found["case"], found["subject"], found["measured"], strict=True)) == expected
    assert set(found["cause"]) == {""}  # none is an empty text


def test_texts_are_sorted_as_texts_and_numbers_are_numbers(tmp_path: Path) -> None:
    findings = [Finding("b", "z", Outcome.PASS, math.inf), Finding("a", "half \ud800", Outcome.PASS), Finding("c", "a", Outcome.PASS, 1.0)]
    found = load(make(tmp_path / "r", [verdict("operators/x[float32]", findings=findings)])).findings.sort_values("check")
    assert list(found["check"]) == ["a", "b", "c"]
    assert next(iter(found["subject"])) == "half ?"
    assert np.isnan(found["measured"].iloc[0])
    assert found["measured"].iloc[1] == math.inf


@given(st.lists(st.floats(1e-30, 1e30) | st.floats(-1e30, -1e-30) | st.sampled_from([0.0, -0.0, math.nan, math.inf]), min_size=1))
@example([999.5, 0.1235, -1.2345e-7, 1e22, 123456.0])
def test_three_significant_digits_are_kept(values: list[float]) -> None:
    for value, rounded in zip(values, _rounded(pd.Series(values)), strict=True):
        if math.isfinite(value):
            assert math.isclose(rounded, value, rel_tol=5.001e-3)
            assert math.isclose(rounded, float(f"{rounded:.3g}"), rel_tol=1e-15)  # short in JSON, but for one last bit
        else:
            assert math.isnan(rounded)
