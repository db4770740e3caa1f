"""Runs that went wrong in ways that a report must survive and tell: what diverged, crashed, was refused, or is too much to print."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.verdict import Finding, Outcome, Verdict
from reports.__main__ import main
from reports.cases import columns, packed
from reports.frame import load
from tests.reports.runs import DEVICES, HOST, closeness, good, make, many, side, verdict
from tests.reports.test_report import report


def ended(case: str, outcome: Outcome, message: str = "it stopped", **evidence: Any) -> Verdict:
    return verdict(case, outcome, [Finding("status", "npu:0", outcome, message=message)], message, **evidence)


def test_a_loss_that_diverges_is_a_gap_that_the_caption_tells(tmp_path: Path) -> None:
    curves = {"loss": [3.7, math.nan, math.inf]}
    lost = verdict("post_training/sft[float32]", Outcome.FAIL, candidate=side("npu:0", series=curves), golden=side("cpu", series=curves))
    text = report(tmp_path, make(tmp_path / "r", [lost])).text
    assert "candidate: 2 of 3 steps are not finite, the first is step 1" in text
    assert " nan " not in text
    assert " inf " not in text


def test_an_undecodable_message_is_no_obstacle(tmp_path: Path) -> None:
    run = make(tmp_path / "r", [ended("operators/x[float32]", Outcome.ERROR, "byte \udce9 of a driver")])
    files = [f"{tmp_path}/r.{kind}" for kind in ("html", "json", "xml")]
    assert main([str(run), "-o", files[0], "--json", files[1], "--junit", files[2]]) == 0
    assert all("of a driver" in Path(file).read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("seconds", [(math.nan,) * 6, (0.0,) * 6], ids=["nan", "zero"])
def test_rounds_that_are_no_durations_give_no_rate(tmp_path: Path, seconds: tuple[float, ...]) -> None:
    timed = ended("performance/decode[float32]", Outcome.MISTRUSTED, candidate=side("npu:0", seconds))
    text = report(tmp_path, make(tmp_path / "r", [timed])).text
    assert "Decoding throughput not measured performance/decode[float32] ended as mistrusted" in text


def test_a_refused_case_has_no_rate(tmp_path: Path) -> None:
    timed = ended("performance/decode[float32]", Outcome.UNSUPPORTED, candidate=side("npu:0", [0.5] * 6))
    assert "512 tokens/s" not in report(tmp_path, make(tmp_path / "r", [timed])).text


def test_a_right_dtype_is_shown_before_a_wrong_one(tmp_path: Path) -> None:
    right = next(v for v in good() if "decode" in v.case)
    wrong = replace(right, case="performance/decode[bfloat16]", dtype="bfloat16", outcome=Outcome.FAIL, message="greedy failed")
    text = report(tmp_path, make(tmp_path / "r", [wrong, right])).text
    assert "512 tokens/s, float32" in text.split("Decoding throughput")[1].split("Peak memory")[0]


def test_a_task_that_crashed_was_run(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [ended("accuracy/piqa[float32]", Outcome.ERROR)])).text
    assert "no task was run" not in text
    assert "accuracy/piqa[float32] ended as error" in text


def test_a_pass_is_called_what_it_is_in_each_area(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", good())).text
    assert "4 within error bounds, 1 equal within the margin of a task, 2 timed." in text


def test_a_device_that_differs_from_itself_is_not_excused(tmp_path: Path) -> None:
    varies = verdict("operators/matmul[float32]", Outcome.FAIL, [closeness(measured=9.6, outcome=Outcome.FAIL)])
    text = report(tmp_path, make(tmp_path / "r", [varies], "cpu", "cpu")).text
    assert "Farthest beyond its error bound 8.00 times" in text


def test_a_result_that_is_not_finite_is_named_beside_the_drawing(tmp_path: Path) -> None:
    lost = verdict("operators/softmax[float32]", Outcome.FAIL, [closeness(measured=math.inf, outcome=Outcome.FAIL)])
    text = report(tmp_path, make(tmp_path / "r", [lost, good()[0]])).text
    assert "Not drawn, because the result is not finite: softmax[float32]." in text


def test_the_peak_says_what_it_counts_and_that_it_is_emulated(tmp_path: Path) -> None:
    memory = {"allocated_peak": 2 << 30, "reserved_peak": 4 << 30, "resident_peak": 9 << 30}
    case = verdict("post_training/sft[float32]", findings=[closeness("loss rms")], candidate=side("npu:0", memory=memory))
    text = report(tmp_path, make(tmp_path / "r", [case], emulated=True)).text
    assert "Peak memory 2.00 GiB EMULATED; allocated by tensors, in post_training/sft[float32]" in text


def test_a_secret_in_a_list_is_locked_out(tmp_path: Path) -> None:
    run = make(tmp_path / "r", good())
    document = json.loads((run / "run.json").read_text())
    document["environments"]["e9"] = {"host": {**HOST, "cards": [{"name": "card 0", "api_key": "hunter3"}]}, "device": DEVICES["npu"]}
    (run / "run.json").write_text(json.dumps(document))
    text = report(tmp_path, run).text
    assert "hunter3" not in text
    assert "card 0" in text


def test_letters_that_matplotlib_lacks_are_no_warning(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", [verdict("operators/注意力[float32]", findings=[closeness()])]))
    assert "注意力" in page.text


def test_no_figure_styles_the_page(tmp_path: Path) -> None:
    assert report(tmp_path, make(tmp_path / "r", good())).tags.count("style") == 1


@pytest.mark.parametrize("what", ["log", "inference"])
def test_a_run_of_any_size_stays_under_three_megabytes(tmp_path: Path, what: str) -> None:
    if what == "log":
        verdicts = [ended(f"operators/op{i}[float32]", Outcome.ERROR, "worker log " * 9000) for i in range(45)]
    else:
        decoded = next(v for v in good() if v.area == "inference")
        verdicts = [replace(decoded, case=f"inference/g{i}[float32]") for i in range(3000)]
    text = report(tmp_path, make(tmp_path / "r", verdicts)).text
    assert (tmp_path / "report.html").stat().st_size < 3e6
    assert ("more characters are in the run's folder" if what == "log" else "The first 500 of 3000 rows") in text


def test_two_thousand_verdicts_take_a_fiftieth_of_what_a_hundred_thousand_may(tmp_path: Path) -> None:
    """The rate that `tests/benchmarks/test_report_speed.py` holds at full size, with room for what a page costs whatever its size."""
    folder = many(tmp_path / "r", 2000)
    load(folder)  # what is imported and compiled once
    begin = time.process_time()
    cases = columns(load(folder))
    spent = time.process_time() - begin
    assert spent < 2000 / 100_000 * 10 + 0.2
    assert len(packed(cases)) < 2000 / 100_000 * 5e6


def test_json_keeps_small_numbers(tmp_path: Path) -> None:
    tiny = verdict("accuracy/piqa[float32]", findings=[Finding("score", "loglikelihood", Outcome.PASS, 1.25e-17, unit="nats")])
    assert main([str(make(tmp_path / "r", [tiny])), "-o", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json")]) == 0
    (found,) = json.loads((tmp_path / "r.json").read_text())["runs"][0]["verdicts"][0]["findings"]
    assert found["measured"] == 1.25e-17
