"""lm-eval on the emulated NPU, by the device's name: log-likelihoods and generated answers are the CPU's."""

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from tests.emulator.reached import reached
from tests.emulator.tiny_models import model
from tests.emulator.tiny_text import SENTENCES, tokenizer

CHOICE = """\
task: sentences
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
FREE = """\
task: endings
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: target
generation_kwargs: {{until: ["."], max_gen_toks: 6, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with its tokenizer, questions in JSON lines, and two tasks in YAML."""
    made: Path = tmp_path_factory.mktemp("lm-eval")
    text = tokenizer()
    model("qwen3", vocabulary=len(text)).save_pretrained(made / "model")
    text.save_pretrained(made / "model")
    words = [sentence.rsplit(" ", 1) for sentence in SENTENCES[:4]]
    rows = [{"prompt": start, "choices": [word for _, word in words], "answer": at, "target": end} for at, (start, end) in enumerate(words)]
    (made / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (made / "tasks").mkdir()
    (made / "tasks" / "sentences.yaml").write_text(CHOICE.format(folder=made))
    (made / "tasks" / "endings.yaml").write_text(FREE.format(folder=made))
    return made


def evaluated(folder: Path, device: str, batch: int) -> tuple[dict[str, Any], list[tuple[float, bool]], list[str]]:
    """Return the scores, every choice's log-likelihood with whether it is greedy, and every generated answer."""
    lm = HFLM(pretrained=str(folder / "model"), device=device, batch_size=batch, dtype="float32")
    assert {parameter.device.type for parameter in lm.model.parameters()} == {device.partition(":")[0]}
    manager = TaskManager(include_path=str(folder / "tasks"), include_defaults=False)
    results = simple_evaluate(
        model=lm, tasks=["sentences", "endings"], task_manager=manager, log_samples=True, bootstrap_iters=0, cache_requests=False
    )
    samples = {name: sorted(found, key=lambda sample: sample["doc_id"]) for name, found in results["samples"].items()}
    likelihoods = [value for sample in samples["sentences"] for value in sample["filtered_resps"]]
    return results["results"], likelihoods, [sample["filtered_resps"][0] for sample in samples["endings"]]


@pytest.mark.parametrize("batch", [1, 4])
def test_scores_are_those_of_the_cpu(folder: Path, batch: int) -> None:
    scores, likelihoods, answers = evaluated(folder, "cpu", batch)
    with reached() as calls:
        found_scores, found, found_answers = evaluated(folder, "npu:0", batch)
    assert found_scores == scores
    assert found_answers == answers
    assert len(set(answers)) > 1
    assert len(found) == len(likelihoods) == 16
    for (value, greedy), (expected, expected_greedy) in zip(found, likelihoods, strict=True):
        assert greedy == expected_greedy
        assert value == pytest.approx(expected, rel=5e-7)  # 1.1e-7 was measured; SDPA goes to npu_fusion_attention
    assert "aclnnFlashAttentionScore" in calls
