"""The section that tells how training runs went."""

from pathlib import Path
from typing import Any

from harness.verdict import Finding, Outcome, Verdict
from reports.frame import load
from reports.training import trainings
from tests.reports.runs import make, side, verdict
from tests.reports.test_report import report

GOLDEN = {"loss": [5.5, 5.2, 4.9, 4.6], "grad_norm": [3.0, 2.5, 2.0, 1.8]}
TOLD: dict[str, Any] = {
    "reruns": 3, "band/loss": [1e-5, 2e-5, 2e-5, 3e-5], "band/grad_norm": [1e-4] * 4, "held_out": [[5.53, 4.27], [5.53, 4.28]],
    "errors/grad/": [
        ["embed.weight", 2e-7, 2e-7], ["layers.0.a.weight", 3e-7, 4e-7], ["layers.0.b.weight", 4e-7, 3e-7],
        ["layers.1.a.weight", 9e-7, 3e-7],
    ],
}  # fmt: skip


def run(name: str = "sft/qwen3[float32]", outcome: Outcome = Outcome.PASS, used: float = 0.2, **changes: Any) -> Verdict:
    where = "first at step 2 of 4, backward, layer 1, layers.1.a.weight" if outcome is Outcome.FAIL else ""
    found = Finding("trajectory", "loss", outcome, used, 1.0, "u", 0.1, where=where, message="leaves the band")
    candidate = {key: [v + 1e-6 for v in values] for key, values in GOLDEN.items()}
    sides = {"candidate": side("npu:0", series=candidate), "reference": side("cuda:0", series=GOLDEN), "golden": side("cpu", series=GOLDEN)}
    return verdict(f"post_training/{name}", outcome, [found], **{**sides, "told": TOLD, **changes})


def selected(wrong: float = 0.0) -> Verdict:
    outcome = Outcome.FAIL if wrong else Outcome.PASS
    rows = Finding("selections", "00/layers.1.gate", outcome, wrong, 0.0, "rows")
    told = {"overlap": [["layers.1.gate", 0.99, 1.0], ["layers.2.gate", 0.97, 1.0]]}
    return verdict("post_training/selections/qwen3_moe[bfloat16]", outcome, [rows], told=told)


def test_runs_that_stay_are_said_to(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [run(), run("sft/llama[float32]")])).text
    assert "All training runs stayed in the band that the runs of cuda:0, NVIDIA H100 span, step by step." in text
    assert "sft/qwen3[float32] pass – 20.0 % 5.50 → 4.60 5.530 → 4.270 (4.280) 3.00 × in layer 1" in text.replace("\u00a0", " ")


def test_a_loss_is_given_no_unit_and_the_norm_of_the_update_is_drawn(tmp_path: Path) -> None:
    """The loss of KTO or GRPO is not in nats."""
    moved = side("npu:0", series={**GOLDEN, "update_norm": [0.1, 0.09, 0.08, 0.07]})
    text = report(tmp_path, make(tmp_path / "r", [run("kto/llama[float32]", candidate=moved)])).text
    assert "nats" not in text.split("Training")[-1].split("Every figure")[0]
    assert "Norm of the update." in text


def test_a_run_that_leaves_is_said_to_and_where(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [run(), run("dpo/llama[float32]", Outcome.FAIL, 30.0)])).text
    assert "1 of 2 training runs stayed in the band" in text
    assert "1 left it; the table says at which step" in text
    assert "Left its band at step 2 of 4, backward, layer 1, layers.1.a.weight." in text
    assert text.index("dpo/llama[float32] fail") < text.index("sft/qwen3[float32] pass")


def test_what_failed_otherwise_is_told_apart(tmp_path: Path) -> None:
    other = verdict("post_training/kto/llama[float32]", Outcome.ERROR, candidate=side("npu:0", series=GOLDEN))
    assert "did not pass for another reason" in report(tmp_path, make(tmp_path / "r", [run(), other])).text


def test_a_device_compared_with_itself_is_never_compared_with_another(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [run()], ours="cpu", theirs="cpu")).text
    assert "The one training run stayed in the band that its own runs span" in text


def test_an_emulated_run_says_so_in_the_section(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [run()], emulated=True)).text
    assert "What stays in its band here shows that the path works; it is no parity of devices." in text


def test_a_reference_without_reruns_is_said_to_have_none(tmp_path: Path) -> None:
    old = run(told={"held_out": [[5.5, 4.3], [5.5, 4.3]]})
    text = report(tmp_path, make(tmp_path / "r", [old])).text
    assert "recorded without reruns" in text
    assert "stayed in the band that cuda:0, NVIDIA H100 allows" in text


def test_selections_are_told_apart(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [selected(3.0)])).text
    assert "qwen3_moe[bfloat16] fail 2 98.00 % 100.00 % 97.00 % in layers.2.gate 3" in text
    assert "training run" not in text.split("Selections")[0].split("Training")[-1]


def test_gradients_are_summed_up_by_layer(tmp_path: Path) -> None:
    (one,) = trainings(load(make(tmp_path / "r", [run()])))
    assert [row[0] for row in one.by_layer()] == ["embed", "layer 0", "layer 1"]
    assert one.by_layer()[1][1] == ((9e-14 + 16e-14) / 2) ** 0.5
    assert one.worst_layer == ("layer 1", 3.0)


def test_figures_that_are_not_finite_are_survived(tmp_path: Path) -> None:
    lost = {
        **TOLD,
        "band/loss": [1e-5, float("inf"), float("inf"), float("inf")],
        "errors/grad/": [["layers.0.a.weight", float("inf"), 1e-7]],
    }
    gone = side("npu:0", series={"loss": [5.5, float("nan"), float("nan"), float("inf")], "grad_norm": [0.0] * 4})
    text = report(tmp_path, make(tmp_path / "r", [run(outcome=Outcome.FAIL, told=lost, candidate=gone)])).text
    assert "candidate: 3 of 4 steps are not finite, the first is step 1" in text
    assert "because it is not finite: layer 0" in text
