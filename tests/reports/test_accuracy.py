"""Task accuracy in a report: what is shown of each task, what cannot be told, and domains."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.checks.score import Score
from harness.verdict import Verdict, sum_up
from reports.frame import load
from reports.machine import as_json, as_junit
from reports.sections.accuracy import render
from tests.reports.runs import good, make, side
from tests.reports.test_report import report


def judged(name: str, candidate: np.ndarray, reference: np.ndarray, **details: object) -> Verdict:
    output = "correct" if details.get("metric") != "bits_per_byte" else "score"
    samples = [{"doc_hash": f"d{i}", "prompt_hash": f"p{i}"} for i in range(len(reference))]
    given = {"task": name, "metric": "acc", "groups": [], "samples": samples, **details}
    drawn = np.random.default_rng(0).normal(0, 1, len(reference))
    sides = [SimpleNamespace(tensors={output: scores, "loglikelihood": drawn}, details=given) for scores in (candidate, reference)]
    evidence, check = SimpleNamespace(candidate=sides[0], reference=sides[1]), Score(family=3)
    findings = check(evidence)
    outcome, message = sum_up(findings)
    told = {"candidate": side("npu:0"), "reference": side("cuda:0"), "told": dict(check.told(evidence))}
    return Verdict(f"accuracy/{name}[float32]", "accuracy", "float32", outcome, message, tuple(findings), {}, told, "pytest suites/")


def answers(n: int, lost: int = 0, gained: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (candidate, reference) answers of n samples, two thirds of them right."""
    theirs = np.arange(n) % 3 > 0
    ours = theirs.copy()
    ours[np.flatnonzero(theirs)[:lost]] = False
    ours[np.flatnonzero(~theirs)[:gained]] = True
    return ours.astype(np.int64), theirs.astype(np.int64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bits = np.random.default_rng(1).uniform(0.8, 1.2, 60)
    verdicts = [
        judged("equal", *answers(600, 1, 1), groups=["health"]),
        judged("lost", *answers(600, 30, 2), groups=["health"]),
        judged("few", *answers(60)),
        judged("money", bits + 0.001, bits, metric="bits_per_byte", groups=["finance"]),
    ]
    return make(tmp_path / "r", [*(v for v in good() if v.area != "accuracy"), *verdicts])


def test_each_task_has_its_verdict_its_difference_and_what_it_could_have_shown(folder: Path, tmp_path: Path) -> None:
    text = report(tmp_path, folder).text
    assert "equal[float32] pass 0.0 [−0.8, +0.8] ±2.0 66.7 % [62.8, 70.3] 66.7 % [62.8, 70.3]" in text
    assert "lost[float32] fail −4.7" in text
    assert "few[float32] inconclusive" in text
    assert "money[float32] pass" in text
    assert "lost[float32] 600 30 2" in text
    assert "few[float32] 60 0 0 1.00 1.00 11.7 points" in text


def test_differences_are_drawn_with_their_margins(folder: Path) -> None:
    figures = [block.svg for block in render(load(folder)) if hasattr(block, "svg")]
    assert len(figures) == 1
    assert all(name in figures[0] for name in ("equal", "lost", "few"))
    assert "money" not in figures[0]  # it has another unit


def test_domains_pool_what_counts_right_answers(folder: Path, tmp_path: Path) -> None:
    text = report(tmp_path, folder).text
    assert "health equal[float32], lost[float32] 1200" in text or "health lost[float32], equal[float32] 1200" in text
    assert "finance money[float32] – no task with right answers" in text
    assert "of one without a row no task was run" in text


def test_what_cannot_be_told_is_no_pass_for_machines(folder: Path) -> None:
    frames = [load(folder)]
    outcomes = {v["case"]: v["outcome"] for v in json.loads(as_json(frames))["runs"][0]["verdicts"]}
    assert outcomes["accuracy/few[float32]"] == "inconclusive"
    assert '<skipped type="inconclusive"' in as_junit(frames)


def test_a_run_of_an_earlier_version_is_shown_without_what_it_does_not_have(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "old", good())).text
    assert "piqa[float32] pass – – 64.0 % 65.0 %" in text
