"""A task by name: where it is found, what guessing gives, and its domains."""

import json

import pytest

from harness.errors import AssayError
from suites.assets import asked_tasks
from suites.assets.asked_tasks import check, groups_of, loaded, located, plain


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": "x", "choices": ["a", "b"][: 2 + i] + ["c"] * i, "answer": 0} for i in range(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_our_own_name_goes_first_then_a_file_then_lm_eval_s(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert [located(task) for task in ("piqa", "mine.jsonl", str(file), "lm-eval:piqa", "gsm8k")] == [
        "piqa", str(file), str(file), "lm-eval:piqa", "lm-eval:gsm8k",
    ]  # fmt: skip
    assert [plain(task) for task in ("piqa", str(file), "lm-eval:piqa")] == ["piqa", "mine", "piqa"]


@pytest.mark.parametrize("task", ["none.jsonl", "./none", "folder/none.yaml"])
def test_a_missing_file_is_no_task_of_the_hub(task):
    with pytest.raises(AssayError, match="and no file"):
        located(task)


def test_a_file_is_read_into_a_task_and_guessing_is_counted(file):
    found = loaded(str(file), 10)
    assert (found.name, len(found.task.eval_docs)) == ("mine", 2)
    assert found.chance == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert loaded(str(file), 1).chance == 0.5


def test_only_lm_eval_s_tasks_are_loaded_to_be_checked(file, monkeypatch):
    asked = []
    monkeypatch.setattr(asked_tasks, "of_hub", asked.append)
    monkeypatch.setattr(asked_tasks, "over_documents", asked.append)
    for task in ("grammar", str(file), "lm-eval:gsm8k"):
        check(task, 2)
    assert asked == ["gsm8k"]
    with pytest.raises(AssayError, match="ask for fewer"):
        check("grammar", 10**6)


def test_a_file_of_lm_eval_s_kind_is_lm_eval_s(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"q": f"{i} + 1 =", "a": str(i + 1)}) + "\n" for i in range(3)))
    path = tmp_path / "sums.yaml"
    path.write_text(
        f"task: sums\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {rows}\ntest_split: test\noutput_type: generate_until\n"
        "doc_to_text: '{{q}}'\ndoc_to_target: '{{a}}'\nmetric_list:\n  - metric: exact_match\n"
    )
    found = loaded(str(path), 2)
    assert (found.name, len(found.task.eval_docs), found.chance) == ("sums", 3, 0.0)


def test_a_domain_is_known_by_the_task_s_name():
    assert (groups_of("clinical"), groups_of("medqa_4options"), groups_of("fiqa"), groups_of("piqa")) == (
        ("health",),
        ("health",),
        ("finance",),
        (),
    )
