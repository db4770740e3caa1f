"""Where workloads lie below the roof, and who has no roof and no energy at all."""

from pathlib import Path
from typing import Any

import pytest

from harness.verdict import Finding, Outcome
from reports.frame import load
from reports.roof import roofs
from reports.sections import energy, roofline
from tests.reports.runs import make, side, verdict

SECONDS = (0.5, 0.51, 0.49, 0.5, 0.5, 0.5, 0.5, 0.51)
PUBLISHED = {
    "peaks": [{"device": "Ascend910B2", "dtype": "bfloat16", "low": 4e12, "high": 5e12, "estimated": False}],
    "bandwidths": [{"device": "Ascend910B2", "low": 2e12, "high": 2e12, "estimated": True}],
}


def timed(case: str, work: float, unit: str, flops: float, traffic: float, outcome: Outcome = Outcome.PASS, **timing: Any):
    costs = {"flops": {"needed": flops}, "bytes": {"needed": traffic}}
    ours = side("npu:0", SECONDS, work=work, unit=unit, costs=costs, timing=timing)
    return verdict(
        case, outcome, [Finding("throughput", "rate", Outcome.PASS, 1.0)], "wrong" if outcome is Outcome.FAIL else "", candidate=ours
    )


def run(tmp_path: Path, *more, emulated: bool = False, published: dict[str, Any] | None = None):
    """A device of 1 TB/s and 2 TFLOP/s in bfloat16, so that its ridge is at 2 operations a byte."""
    roof = [
        timed("performance/roofline/copy[float32]", 0.5e12, "bytes", 0, 0.5e12),
        timed("performance/roofline/triad[float32]", 0.4e12, "bytes", 1e11, 0.4e12),
        timed("performance/roofline/product-1024[bfloat16]", 0.8e12, "operations", 0.8e12, 1e9),
        timed("performance/roofline/product-4096[bfloat16]", 1e12, "operations", 1e12, 1e9),
    ]
    folder = make(tmp_path / "r", [*roof, *more], emulated=emulated)
    frames = load(folder)
    hardware = {**frames.comparison, "candidate": {**frames.comparison["candidate"], "hardware": "Ascend910B2"}}
    return type(frames)(**{**vars(frames), "comparison": hardware, "published": published or {}})


def test_the_best_rates_make_the_roof_and_workloads_lie_below(tmp_path: Path) -> None:
    memory_bound = timed("performance/decode[bfloat16]", 10, "tokens", 0.25e12, 0.25e12)
    matrix_bound = timed("performance/prefill[bfloat16]", 10, "tokens", 0.5e12, 0.05e12)
    roof = roofs(run(tmp_path, memory_bound, matrix_bound))[0]
    assert (roof.bandwidth.case, roof.product.case) == ("performance/roofline/copy[float32]", "performance/roofline/product-4096[bfloat16]")
    assert roof.ridge == pytest.approx(2)
    found = {one.case: one for one in roof.placed}
    assert found["decode[bfloat16]"].share == pytest.approx(0.5)  # 0.5 of 1 TFLOP/s at one operation a byte
    assert found["prefill[bfloat16]"].share == pytest.approx(0.5)  # 1 of 2 TFLOP/s
    assert found["prefill[bfloat16]"].achieved.low < 1e12 <= found["prefill[bfloat16]"].achieved.high


def test_the_page_has_a_drawing_and_what_was_published_beside_what_was_measured(tmp_path: Path) -> None:
    point = timed("performance/decode[bfloat16]", 10, "tokens", 0.25e12, 0.25e12)
    blocks = roofline.render(run(tmp_path, point, published=PUBLISHED))
    table = blocks[1]
    assert table.rows[0][1:] == ["1\u202f000 GB/s", table.rows[0][2], "copy[float32]", "2\u202f000 GB/s (an estimate)", "50.0 %"]
    assert table.rows[1][4:] == ["4.00 to 5.00 TFLOP/s", "40.0 to 50.0 %"]
    assert "decode" in blocks[2].svg
    assert blocks[3].rows[0][4:] == ["memory", "50.0 %"]


def test_an_older_run_knows_no_bandwidth(tmp_path: Path) -> None:
    blocks = roofline.render(run(tmp_path, published={"peaks": []}))
    assert [row[4] for row in blocks[1].rows] == ["not known", "not known"]


def test_what_is_wrong_has_no_place_and_what_is_emulated_no_roof(tmp_path: Path) -> None:
    wrong = timed("performance/decode[bfloat16]", 10, "tokens", 0.25e12, 0.25e12, Outcome.FAIL)
    assert roofs(run(tmp_path / "a", wrong))[0].placed == []
    assert roofline.render(run(tmp_path / "b", emulated=True)) == []


METER = {"source": "DCMI, power sampled", "interval": 0.05, "joules": [5.0, 5.1, 4.9, 5.0, 5.0, 5.05], "rounds": 4}


def test_energy_is_told_for_each_token_with_its_interval(tmp_path: Path) -> None:
    point = timed("performance/decode[bfloat16]", 10, "tokens", 1, 1, energy=METER)
    blocks = energy.render(run(tmp_path, point))
    row = blocks[1].rows[0]
    assert row[:2] == ["decode[bfloat16]", "0.500 J/token"]
    assert "to" in row[2]
    assert row[3] == "not reported by this device"
    assert "DCMI, power sampled, new every 50.0 ms" in blocks[2].text


def test_a_device_that_reports_none_is_said_to(tmp_path: Path) -> None:
    blocks = energy.render(run(tmp_path, timed("performance/decode[bfloat16]", 10, "tokens", 1, 1, energy={})))
    assert [block.text for block in blocks] == ["Not reported by this device (Ascend910B2)."]


def test_an_older_run_and_an_emulated_device_say_nothing_of_energy(tmp_path: Path) -> None:
    assert energy.render(run(tmp_path / "a")) == []
    assert energy.render(run(tmp_path / "b", timed("performance/x[bfloat16]", 1, "tokens", 1, 1, energy=METER), emulated=True)) == []
