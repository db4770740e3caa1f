"""The page of failing verdicts: what an engineer needs of one, and what many have in common."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.recording import FORMAT, slug
from harness.verdict import Cause, Finding, Outcome, Verdict
from reports.__main__ import main
from reports.causes import MEANINGS
from tests.reports.runs import closeness, make, side, verdict
from tests.reports.test_report import report


def failing(name: str, cause: Cause | None = Cause.TAIL) -> Verdict:
    text = "40 u, allowed 1.2 u (the reference device: 0.55 u)"
    found = Finding("closeness", "out rms", Outcome.FAIL, 40.0, 1.2, "u", 0.55, where="index [3, 1]", message=text, cause=cause)
    return verdict(name, Outcome.FAIL, [found], f"closeness of out rms: {text}", golden=side("cpu"))


def step(**changes: Any) -> dict[str, Any]:
    known = {
        "index": 7, "operator": "aten::_softmax", "phase": "forward", "path": "model.layers.3.self_attn", "operands": "float32 [2, 40]",
        "state": "off", "metric": "rms", "measured": 41.5, "bound": 2.5, "reference": 0.6, "unit": "u", "where": "", "message": "off",
        "cause": "tail", "ratio": 16.6,
    }  # fmt: skip
    return known | changes


def localise(run: Path, case: str, **changes: Any) -> None:
    document = {
        "format": FORMAT, "case": case, "conclusion": "the first operator that is off by itself is aten::_softmax", "first": step(),
        "worst": [step(operator="aten::mm", ratio="inf", cause=None), step()], "replay": {"operator": "aten::_softmax"},
        "growth": [
            {"path": "model.embed_tokens", "candidate": 0.0, "reference": 0.0, "between": 0.0},
            {"path": "model.layers.3", "candidate": 900.0, "reference": 3.0, "between": 900.0},
            {"path": "", "candidate": 950.0, "reference": 3.5, "between": 950.0},
        ],
    } | changes  # fmt: skip
    (run / "localised").mkdir(exist_ok=True)
    (run / "localised" / f"{slug(case)}.json").write_text(json.dumps(document))


def test_one_failure_says_what_where_why_and_how_to_repeat_it(tmp_path: Path) -> None:
    run = make(tmp_path / "r", [failing("operators/softmax[float32]")])
    localise(run, "operators/softmax[float32]")
    text = report(tmp_path, run).text
    assert "npu:0, Ascend 910B2 compared with cuda:0, NVIDIA H100, and a float64 evaluation on the host; operators, float32" in text
    assert "Likely cause: tail. One block is wrong, or the end of a dimension; the rest is right. Look first at: tiling" in text
    assert "Localised: the first operator that is off by itself is aten::_softmax." in text
    assert "aten::mm forward, model.layers.3.self_attn 41.5 u 2.50 u 0.600 u ∞ ×" in text
    assert "they part at model.layers.3; beyond twice the reference's error from model.layers.3 on" in text
    assert "the whole model 950 u 3.50 u 950 u" in text
    assert "pytest suites/ --case 'operators/softmax[float32]'" in text
    assert f"python -m harness.replay '{run}/localised/{slug('operators/softmax[float32]')}'" in text


def test_without_a_localisation_it_says_how_to_get_one_where_there_is_one_to_get(tmp_path: Path) -> None:
    assert "Add --localise to that command" in report(tmp_path, make(tmp_path / "a", [failing("operators/x[float32]")])).text
    mistrusted = verdict("operators/x[float32]", Outcome.MISTRUSTED, [closeness(outcome=Outcome.MISTRUSTED)])
    assert "--localise" not in report(tmp_path, make(tmp_path / "b", [mistrusted])).text


def test_where_no_operator_was_saved_no_command_is_offered(tmp_path: Path) -> None:
    run = make(tmp_path / "r", [failing("operators/x[float32]")])
    localise(run, "operators/x[float32]", first=None, worst=[], growth=[], replay=None, conclusion="not localised: it hung")
    text = report(tmp_path, run).text
    assert "Localised: not localised: it hung." in text or "not localised: it hung" in text
    assert "harness.replay" not in text


@pytest.mark.parametrize("device", ["npu", "cuda"])
def test_where_to_look_on_an_ascend_is_only_told_of_an_ascend(tmp_path: Path, device: str) -> None:
    text = report(tmp_path, make(tmp_path / "r", [failing("operators/x[float32]", Cause.SPECIAL)], ours=device)).text
    assert "Likely cause: special values." in text
    assert ("INF_NAN_MODE_ENABLE" in text) == (device == "npu")


def test_every_cause_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Cause)
    assert all(m.says.endswith(".") and m.ascend.endswith(".") for m in MEANINGS.values())


@pytest.mark.parametrize("count", [7, 40, 500])
def test_many_failures_begin_with_what_they_have_in_common(tmp_path: Path, count: int) -> None:
    causes = [Cause.TAIL, Cause.TAIL, None]
    run = make(tmp_path / "r", [failing(f"operators/x{i:03}[float32]", causes[i % 3]) for i in range(count)])
    localise(run, "operators/x000[float32]")
    page = report(tmp_path, run)
    tails = sum(i % 3 < 2 for i in range(count))
    assert f"{count} cases. What they have in common comes first" in page.text
    assert f"tail {tails} operators/x000[float32], operators/x001[float32] and {tails - 2} more" in page.text
    assert f"not told by the error's shape {count - tails} operators/x002[float32]" in page.text
    assert "aten::_softmax 1 operators/x000[float32]" in page.text
    assert page.text.count("To repeat this case:") == min(count, 40)
    assert ("More failing cases" in page.text) == (count > 40)
    assert page.text.count("One block is wrong") == 1  # explained once, not forty times
    assert (tmp_path / "report.html").stat().st_size < 1e6


def test_what_only_repeats_the_figures_is_left_out_of_the_table(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", [failing("operators/x[float32]")]))
    assert "in words" not in page.text
    special = Finding("special_values", "out", Outcome.FAIL, 8.0, 0.0, "elements", message="8 of 9 are NaN")
    page = report(tmp_path, make(tmp_path / "s", [verdict("operators/x[float32]", Outcome.FAIL, [special])]))
    assert "8 of 9 are NaN" in page.text


def test_a_hostile_localisation_is_text_and_a_broken_one_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path / "r", [failing("operators/x[float32]")])
    localise(run, "operators/x[float32]", conclusion="<script>alert(1)</script>")
    assert len(report(tmp_path, run).scripts) == 2
    localise(run, "operators/x[float32]", worst=[{"operator": "aten::mm"}])
    capsys.readouterr()
    assert main([str(run), "-o", str(tmp_path / "x.html")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(r"localised/.*\.json: is no localisation", error)
