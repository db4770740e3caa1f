"""Two runs side by side, and a series over time."""

import json
from dataclasses import replace
from pathlib import Path

from harness.verdict import Finding, Outcome, Verdict
from reports.comparison import outcomes, series
from reports.frame import Frames, load
from tests.reports.runs import bad, closeness, good, make, side, verdict
from tests.reports.test_report import report

TIMED = "performance/decode[float32]"


def decode(seconds: float, n: int = 40) -> Verdict:
    timed = {"candidate": side("npu:0", [seconds * (1 + 0.01 * (i * 7 % 5)) for i in range(n)])}
    return verdict(TIMED, findings=[Finding("throughput", "rate", Outcome.PASS, 1 / seconds, unit="tokens/s")], **timed)


def night(folder: Path, number: int, verdicts: list[Verdict], **change: object) -> Path:
    run = make(folder / f"night{number:02}", verdicts)
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**document, "created": f"2026-11-{number:02}T02:00:00+00:00", **change}))
    return run


def test_outcomes_that_changed_are_told_the_worse_ones_first(tmp_path: Path) -> None:
    fails = replace(good()[0], outcome=Outcome.FAIL, findings=(closeness("out rms", 40.0, Outcome.FAIL),), message="40 u, allowed 1.2 u")
    old, new = [*good()[:1], replace(good()[1], outcome=Outcome.FAIL)], [fails, good()[1], verdict("operators/new[float32]")]
    runs = [make(tmp_path / "a", old), make(tmp_path / "b", new)]
    text = report(tmp_path, *runs).text
    assert "Of 2 cases that both runs have, 2 ended differently: 1 fail now that did not, 1 pass now that failed." in text
    assert "1 cases are in B only (b): operators/new[float32]." in text
    changed = next(block for block in outcomes.changed(*map(load, runs)) if hasattr(block, "rows"))
    assert [row[0] for row in changed.rows] == ["operators/matmul[float32]", "operators/softmax[bfloat16]"]


def test_speed_of_b_to_a_has_an_interval_and_says_when_it_cannot_tell(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "a", [decode(0.5)]), make(tmp_path / "b", [decode(0.25)])).text
    assert "Speed of the candidates" in text
    assert "2.00 ×" in text
    same = report(tmp_path, make(tmp_path / "c", [decode(0.5)]), make(tmp_path / "d", [decode(0.5)])).text
    assert "cannot tell" in same


def test_a_wrong_or_an_emulated_result_has_no_speed_to_compare(tmp_path: Path) -> None:
    wrong = replace(decode(0.1), outcome=Outcome.FAIL, message="greedy failed")
    assert "Speed of the candidates" not in report(tmp_path, make(tmp_path / "a", [decode(0.5)]), make(tmp_path / "b", [wrong])).text
    text = report(tmp_path, make(tmp_path / "c", [decode(0.5)]), make(tmp_path / "d", [decode(0.2)], emulated=True)).text
    assert "A side of a run was emulated: its times are not compared." in text


def test_environments_show_what_differs_only(tmp_path: Path) -> None:
    one, two = make(tmp_path / "a", good()), make(tmp_path / "b", good())
    document = json.loads((two / "run.json").read_text())
    for environment in document["environments"].values():
        environment["host"]["packages"]["torch"] = "2.14.0"
    (two / "run.json").write_text(json.dumps(document))
    text = report(tmp_path, one, two).text
    assert "The two candidates differ in item A B host.packages.torch 2.13.0 2.14.0" in text
    assert "The environments of the two references are the same" in text


def test_two_devices_are_both_told_in_full(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "n", good()), make(tmp_path / "h", good(), "cuda", "cpu")).text
    assert "Is it normal? : n" in text
    assert "For engineers : h" in text


def test_of_a_series_the_newest_is_told_whatever_the_order(tmp_path: Path) -> None:
    runs = [night(tmp_path, n, good()) for n in (3, 1, 2)]
    page = report(tmp_path, *runs)
    assert "Run night03, begun 2026-11-03 02:00 UTC" in page.text
    assert "What changed between night02 (A) and night03 (B)" in page.text
    assert "3 runs from 2026-11-01 02:00 UTC to 2026-11-03 02:00 UTC" in page.text
    assert len(page.ids) == len(set(page.ids))


def test_a_step_is_marked_and_scatter_is_not(tmp_path: Path) -> None:
    one = load(make(tmp_path / "r", [decode(0.5)]))

    def of(n: int) -> Frames:
        (evidence,) = one.verdicts["evidence"]
        seconds = [(0.5 if n < 30 else 0.54) * (1 + 0.001 * (n % 3) + 0.002 * i) for i in range(7)]
        changed = {**evidence, "candidate": {**evidence["candidate"], "seconds": seconds}}
        return replace(one, created=f"2026-{1 + n // 28:02}-{1 + n % 28:02}", verdicts=one.verdicts.assign(evidence=[changed]))

    (line,) = series.lines([of(n) for n in range(60)])
    assert line.steps == [30]
    (flat,) = series.lines([of(n) for n in range(30)])
    assert flat.steps == []


def test_a_run_of_another_device_is_no_earlier_state(tmp_path: Path) -> None:
    runs = [night(tmp_path, 1, good()), make(tmp_path / "other", good(), "cuda", "cpu")]
    assert len(series.one_device([load(run) for run in runs])) == 1


def test_one_bad_night_is_in_the_trend(tmp_path: Path) -> None:
    failing = [v for v in bad() if v.case == "operators/matmul[float32]"]
    text = report(tmp_path, *(night(tmp_path, n, good() if n < 4 else failing + good()[1:]) for n in range(1, 5))).text
    assert "Since the run before, 1 cases no longer pass and 0 pass that did not." in text
