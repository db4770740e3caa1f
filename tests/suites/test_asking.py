"""Tasks from the command line: what they become, and what is refused before anything runs."""

import json

import pytest

from harness.checks.score import Score
from harness.errors import AssayError
from suites import asking
from suites.asking import cases, told
from suites.assets.domains import DOMAINS


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": "1 + 1 =", "target": "2"}) + "\n")
    return path


@pytest.fixture
def seen(monkeypatch):
    """Let every task be there, and note which were looked at."""
    found = []
    monkeypatch.setattr(asking, "check", lambda task, samples: found.append(task))
    return found


def test_each_kind_of_task_becomes_a_case(file, seen):
    found = cases(["grammar", f"{file}[bfloat16]", "gsm8k"], 50, 3.0)
    assert {case.id: case.params["task"] for case in found.values()} == {
        "accuracy/asked/grammar[float32]": "grammar",
        "accuracy/asked/mine[bfloat16]": str(file),
        "accuracy/asked/gsm8k[float32]": "lm-eval:gsm8k",
    }
    assert {(case.params["samples"], case.checks) for case in found.values()} == {(50, (Score(3.0, 3),))}
    assert seen == ["grammar", str(file), "lm-eval:gsm8k"]


def test_a_group_is_its_tasks(seen):
    found = cases(["group:health"])
    assert len(found) == len(DOMAINS["health"].comes + DOMAINS["health"].hub)
    assert found["accuracy/asked/clinical[float32]"].params["task"] == "clinical"
    assert found["accuracy/asked/medqa_4options[float32]"].params["task"] == "lm-eval:medqa_4options"


def test_the_same_case_is_asked_for_again(file):
    (case,) = cases([str(file)], 5, 1.5).values()
    assert told(case, {}) == f" --task '{file}[float32]' --samples 5 --margin 1.5"
    assert told(case, {case.id: case}) == ""
    assert cases([f"{file}[float32]"], 5, 1.5) == {case.id: case}


def test_a_file_counts_by_its_name(file):
    (case,) = cases([str(file)], 5).values()
    assert case.definition()["params"]["task"] == "mine.jsonl"


def test_a_group_that_needs_the_hub_says_what_does_not(monkeypatch):
    def check(task, samples):
        if task.startswith("lm-eval:"):
            raise AssayError(f"{task} cannot be had")

    monkeypatch.setattr(asking, "check", check)
    with pytest.raises(AssayError, match="medqa_4options cannot be had; of health clinical and pubmed comes with Assay"):
        cases(["group:health"])
    with pytest.raises(AssayError, match="of manufacturing nothing comes with Assay"):
        cases(["group:manufacturing"])


@pytest.mark.parametrize(
    ("specs", "samples", "margin", "wanted"),
    [
        (["group:farming"], 5, 2.0, "no such group; there are group:health"),
        (["./none.jsonl"], 5, 2.0, "./none.jsonl: no task of lm-eval"),
        (["grammar"], 0, 2.0, "take at least one sample"),
        (["grammar"], 5, 0.0, "a margin in points"),
        (["grammar"], 10**6, 2.0, "ask for fewer"),
    ],
)
def test_what_is_asked_wrongly_stops_the_run(specs, samples, margin, wanted):
    with pytest.raises(AssayError, match=wanted):
        cases(specs, samples, margin)


def test_two_files_of_one_name_are_refused(file, tmp_path):
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "mine.jsonl"
    other.write_text(file.read_text())
    with pytest.raises(AssayError, match="two tasks are called 'mine'"):
        cases([str(file), str(other)], 1)
