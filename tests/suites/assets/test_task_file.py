"""A local file of questions: its three kinds, its three formats, and what is wrong with it in one line."""

import json

import pytest
import yaml

from harness.errors import AssayError
from suites.assets.task_file import documents_in, is_lm_eval_s

CHOICE = {"prompt": "Water is", "choices": ["dry", "wet"], "answer": 1}
FREE = {"prompt": "1 + 1 =", "target": " 2 "}
TEXT = {"text": "It rains."}


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".yaml"])
@pytest.mark.parametrize("row", [CHOICE, FREE, TEXT])
def test_every_kind_in_every_format(tmp_path, suffix, row):
    path = tmp_path / f"mine{suffix}"
    rows = [row, row]
    text = {".json": json.dumps(rows), ".jsonl": "\n".join(map(json.dumps, rows)) + "\n\n", ".yaml": yaml.safe_dump({"documents": rows})}
    path.write_text(text[suffix])
    found = documents_in(path)
    assert len(found) == 2
    wanted = {"choices": (["dry", "wet"], 1, "wet"), "target": ([], 0, "2"), "text": ([], 0, "")}
    kind = next(kind for kind in wanted if kind in row)
    assert (found[0]["choices"], found[0]["answer"], found[0]["target"]) == wanted[kind]
    assert found[0].get("text", "") == row.get("text", "")


def test_an_answer_may_be_named(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([{**CHOICE, "answer": "wet"}]))
    assert documents_in(path)[0]["answer"] == 1


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([CHOICE, {**CHOICE, "answer": 2}], "document 2: the answer 2 is neither the index"),
        ([{**CHOICE, "answer": True}], "the answer True is neither"),
        ([{**CHOICE, "answer": "damp"}], "the answer 'damp' is neither"),
        ([{"prompt": "x", "choices": ["only"], "answer": 0}], "at least two choices"),
        ([{**CHOICE, "choices": ["dry", ""]}], "choices are texts that are not empty"),
        ([{"prompt": "x"}], "has no target"),
        ([{"choices": ["a", "b"], "answer": 0}], "neither a prompt nor a text"),
        ([CHOICE, FREE], "mixes free answers and multiple choice"),
        (["x"], "document 1 is no mapping"),
        ([], "holds no document"),
        ({"documents": 3}, "is no list of documents"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, rows, wanted):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(AssayError, match=wanted):
        documents_in(path)


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.json", "{", "is no JSON"),
        ("a.yaml", "a: [", "is no YAML"),
        ("a.csv", "", "a task file ends in"),
        ("a.jsonl", b"\xff", "cannot be read"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, name, content, wanted):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AssayError, match=wanted) as caught:
        documents_in(path)
    assert "\n" not in str(caught.value)


def test_lm_eval_s_own_kind_is_told_apart(tmp_path):
    ours, theirs = tmp_path / "ours.yaml", tmp_path / "theirs.yaml"
    ours.write_text(yaml.safe_dump([FREE]))
    theirs.write_text("task: mine\ndataset_path: json\nprocess_docs: !function utils.f\n")
    assert (is_lm_eval_s(ours), is_lm_eval_s(theirs)) == (False, True)
