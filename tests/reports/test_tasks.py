"""A task as a stakeholder reads it: the difference with its interval and margin, and "cannot tell" said aloud in both languages."""

from pathlib import Path

import numpy as np
import pytest

from harness.verdict import Verdict
from reports.frame import load
from reports.phrases import Phrase
from reports.stakeholder.accuracy import render
from reports.tasks import tasks
from tests.reports.runs import good, make
from tests.reports.test_accuracy import answers, judged
from tests.reports.test_report import report


def told(folder: Path, *verdicts: Verdict) -> Phrase:
    """Return the sentence above the table."""
    text = render(load(make(folder, verdicts)))[0].text
    assert isinstance(text, Phrase)
    return text


def test_a_difference_has_its_interval_and_margin_in_the_unit_of_the_task(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).uniform(0.8, 1.2, 60)
    money = judged("money", bits + 0.001, bits, metric="bits_per_byte")
    lost, bytes_ = tasks(load(make(tmp_path / "r", [judged("lost", *answers(600, 30, 2)), money])))
    assert (lost.unit, lost.margin, lost.outcome) == ("points", 2.0, "fail")
    assert lost.difference.value == pytest.approx(-28 / 6)
    assert lost.difference.low == pytest.approx(-6.8, abs=0.1)
    assert (bytes_.unit, bytes_.outcome) == ("bits per byte", "pass")
    assert bytes_.difference.value == pytest.approx(0.001)
    assert bytes_.margin == pytest.approx(0.02 * bits.mean())


def test_a_task_that_cannot_tell_is_said_to_be_no_pass(tmp_path: Path) -> None:
    sentence = told(tmp_path / "r", judged("few", *answers(60)), judged("equal", *answers(600, 1, 1)))
    assert sentence.texts["en"].startswith("2 tasks: 1 equal within the margin, 1 cannot tell (too few samples")
    assert sentence.texts["en"].endswith("which is no pass.")
    assert "1 个无法判断" in sentence.texts["zh-Hans"]
    assert "不算通过" in sentence.texts["zh-Hans"]


def test_nothing_is_counted_that_is_not_there(tmp_path: Path) -> None:
    assert str(told(tmp_path / "r", judged("equal", *answers(600)))) == "1 task: 1 equal within the margin."


def test_the_tile_shows_what_differs_before_what_cannot_tell(tmp_path: Path) -> None:
    verdicts = [judged("few", *answers(60, 10, 9)), judged("lost", *answers(600, 30, 2)), *(v for v in good() if v.area != "accuracy")]
    text = report(tmp_path, make(tmp_path / "r", verdicts)).text
    assert "Task accuracy −4.7 points farthest off of 2 tasks: lost[float32], 95 % interval −6.8 to −3.0. 1 task cannot tell." in text


def test_a_run_of_an_earlier_version_has_its_difference_without_interval(tmp_path: Path) -> None:
    (task,) = tasks(load(make(tmp_path / "old", good())))
    assert (task.difference.value, task.difference.low, task.margin) == (-1.0, None, None)
