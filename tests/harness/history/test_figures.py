"""What of a Run is followed, and what is not."""

import json
from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.history.figures import Figures, figures_of
from harness.run import Run
from harness.verdict import Outcome
from tests.harness.history.runs import make_run

TIMED = "performance/matmul[float32]"


def values(figures: Figures) -> dict[str, float]:
    return {f.name: f.value for f in figures.figures}


def test_times_are_for_one_unit_of_work_and_beside_the_reference(tmp_path: Path) -> None:
    found = {f.metric: f for f in figures_of(make_run(tmp_path / "run", seconds=(0.01, 0.03, 0.02))).figures if f.case == TIMED}
    assert found["seconds"].runs == ((0.005, 0.015, 0.01),)
    assert found["seconds"].unit == "s/token"
    assert found["ratio"].runs[0] == pytest.approx((0.5, 0.5, 0.5))
    assert found["peak"].value == 4096


def test_only_performance_cases_are_timed(tmp_path: Path) -> None:
    assert {f.case for f in figures_of(make_run(tmp_path / "run")).figures if f.metric == "seconds"} == {TIMED}


def test_no_time_of_an_emulated_device_is_followed(tmp_path: Path) -> None:
    figures = figures_of(make_run(tmp_path / "run", emulated=True))
    assert {f.metric for f in figures.figures} == {"peak", "error closeness of out"}
    assert figures.answers


def test_a_fast_wrong_result_scores_nothing(tmp_path: Path) -> None:
    figures = figures_of(make_run(tmp_path / "run", outcome=Outcome.FAIL))
    assert figures.figures == ()
    assert set(figures.outcomes.values()) == {"fail"}


def test_a_new_driver_is_a_fact_and_not_another_machine(tmp_path: Path) -> None:
    one, two = (figures_of(make_run(tmp_path / driver, driver=driver)) for driver in ("25.1", "25.2"))
    assert one.machine == two.machine
    assert {k for k in one.facts if one.facts[k] != two.facts[k]} == {"device driver"}
    assert one.facts["commit"] == "c0ffee"
    assert figures_of(make_run(tmp_path / "other", machine="feedfeedfeedfeed")).machine != one.machine


def test_with_repeats_the_first_run_does_not_count(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", seconds=(0.09,))
    for i, seconds in enumerate((0.02, 0.04, 0.03)):
        make_run(run.folder / "repeats" / str(i), seconds=(seconds,), right=(True, True, i > 0))
    figures = figures_of(Run.open(run.folder))
    assert values(figures)[f"{TIMED} seconds"] == pytest.approx(0.015)
    assert figures.again[TIMED] == ("pass", "pass", "pass")
    assert figures.answers["accuracy/arithmetic[float32]"].runs[1:] == ((True, True, False), (True, True, True), (True, True, True))


def test_figures_travel_as_json(tmp_path: Path) -> None:
    figures = figures_of(make_run(tmp_path / "run", labels={"compiler": "1a2b"}))
    assert Figures.from_json(json.loads(json.dumps(figures.to_json()))) == figures


def test_another_format_is_refused() -> None:
    with pytest.raises(AssayError, match="format 99"):
        Figures.from_json({"format": 99})


def test_a_run_without_a_verdict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="holds no verdict"):
        figures_of(Run.create(tmp_path / "run", "cpu"))
