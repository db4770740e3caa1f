"""On-policy distillation, against its formula written out."""

import numpy as np
import pytest
import torch

from suites.assets.families import FAMILIES, tiny_module
from suites.workloads.post_training.distillation import CASES, distillation, head_of, last_hidden, moved, reverse_kl, taught
from tests.suites.workloads.tiny_model import inputs, run

PARAMS = {
    "model": "tiny:llama", "teachers": 2, "spread": 0.5, "prompts": 2, "samples": 2, "new_tokens": 6, "steps": 2, "epochs": 2,
    "learning_rate": 1e-3,
}  # fmt: skip
GIVEN = {
    "prompts": torch.arange(20).reshape(2, 10), "tokens": torch.arange(8).reshape(2, 4),
    "mask": torch.tensor([[True, True, True, True], [True, True, False, False]]),
}  # fmt: skip


def with_teachers(*teachers):
    with torch.no_grad():
        hidden = {f"hidden_{i}": last_hidden(teacher, GIVEN) for i, teacher in enumerate(teachers)}
    return {**GIVEN, **hidden}, [head_of(teacher) for teacher in teachers]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_logits_rebuilt_from_the_last_hidden_states_are_the_teachers(name):
    teacher = moved(0, tiny_module(f"tiny:{name}"), "teacher", 0.5)
    given, heads = with_teachers(teacher)
    with torch.no_grad():
        whole = teacher(input_ids=torch.cat([GIVEN["prompts"], GIVEN["tokens"]], 1), use_cache=False).logits[:, 9:-1]
        torch.testing.assert_close(taught(heads, given)["teacher_0"], torch.log_softmax(whole, -1), rtol=1e-5, atol=1e-5)


def test_loss_is_the_weighted_divergence_over_the_whole_vocabulary():
    student = tiny_module("tiny:llama")
    teachers = [moved(0, student, name, 0.5) for name in ("a", "b")]
    rows = torch.cat([GIVEN["prompts"], GIVEN["tokens"]], 1)
    with torch.no_grad():
        found = reverse_kl(with_teachers(*teachers)[1])(student, with_teachers(*teachers)[0])
        p, *qs = (torch.softmax(model(input_ids=rows).logits[:, 9:-1].double(), -1).numpy() for model in (student, *teachers))
    expected = []
    for q in qs:
        each = (p * np.log(p / q)).sum(-1)
        expected.append((each[0].mean() + each[1, :2].mean()) / 2)
    assert found["kl_0"].item() == pytest.approx(expected[0], rel=1e-4)
    assert found["kl_1"].item() == pytest.approx(expected[1], rel=1e-4)
    assert found["loss"].item() == pytest.approx((expected[0] + 2 * expected[1]) / 3, rel=1e-4)


def test_who_teaches_himself_has_nothing_to_learn():
    student = tiny_module("tiny:qwen3")
    given, heads = with_teachers(tiny_module("tiny:qwen3"), tiny_module("tiny:qwen3"))
    found = reverse_kl(heads)(student, given)
    gradients = torch.autograd.grad(found["loss"], list(student.parameters()))
    assert abs(found["loss"].item()) < 1e-6
    assert max(gradient.abs().max().item() for gradient in gradients) < 1e-6


def test_heads_are_frozen_and_the_student_is_not():
    student = tiny_module("tiny:llama")
    teacher = moved(0, student, "a", 0.5)
    given, heads = with_teachers(teacher)
    reverse_kl(heads)(student, given)["loss"].backward()
    assert teacher.lm_head.weight.grad is None
    assert student.lm_head.weight.grad.abs().max() > 1e-4


def test_teachers_differ_from_the_student_and_from_each_other():
    student = tiny_module("tiny:llama")
    a, b = (moved(0, student, name, 0.5).lm_head.weight for name in ("a", "b"))
    for one, other in ((a, student.lm_head.weight), (a, b)):
        assert 0.3 < ((one - other).norm() / student.lm_head.weight.norm()).item() < 1.0


def test_training_comes_closer_to_every_teacher():
    outputs = run(distillation(inputs(), **{**PARAMS, "steps": 1, "epochs": 1}), 10)
    assert outputs["loss"][-1] < 0.8 * outputs["loss"][0]
    assert outputs["kl_0"][-1] < outputs["kl_0"][0]
    assert outputs["kl_1"][-1] < outputs["kl_1"][0]


def test_golden_is_float64_and_close():
    device, golden = inputs(), inputs(golden=True)
    ours, exact = run(distillation(device, **PARAMS, detailed=True), 2), run(distillation(golden, **PARAMS, detailed=True), 2)
    assert device.digests == golden.digests
    assert {"weights", "teacher_0", "teacher_1"} <= device.digests.keys()
    assert {t.dtype for t in exact.values()} == {torch.float64}
    torch.testing.assert_close(ours["loss"].double(), exact["loss"], rtol=1e-4, atol=0)
    assert exact["first/teacher_1"].shape == (4, 6, 259)


def test_cases_follow_every_teacher():
    checked = {series for check in CASES[0].checks for series in getattr(check, "series", ())}
    assert {f"kl_{i}" for i in range(CASES[0].params["teachers"])} <= checked
    assert {case.params["model"] for case in CASES} == {f"tiny:{name}" for name in FAMILIES}
