"""Published figures in the report: beside a measured one only of the same model, hardware and unit; never beside an emulated device."""

from pathlib import Path
from typing import Any

import pytest

from harness.run import Run
from harness.verdict import Finding, Outcome
from reference import published as registry
from reports.blocks import Fold, Table, Text
from reports.frame import Frames, load
from reports.performance import rates, utilisation
from reports.render import page
from reports.sections import memory, published, throughput
from tests.reports.runs import make, side, verdict

PEAK = {
    "name": "p", "device": "Ascend 910B*", "hardware": "X, one of two dies", "dtype": "bfloat16", "low": 80e12, "high": 100e12,
    "per": "die", "source": "S", "estimated": True, "link": "",
}  # fmt: skip
FIGURE = {
    "name": "f", "kind": "training", "model": "DeepSeek-V4-Pro", "stage": "sft", "measure": "MFU", "value": 34.9, "upto": None, "unit": "%",
    "per": "system", "hardware": "Ascend 910B", "devices": "1,000", "device": "Ascend 910B*", "conditions": "", "flags": [], "source": "S",
    "date": "2026-06", "link": "https://example.org/x",
}  # fmt: skip
RATE = FIGURE | {"name": "r", "measure": "rate", "value": 890.0, "upto": 950.0, "unit": "tokens/s", "per": "die"}
MEMORY = {
    "weights": 1024, "gradients": 1024, "optimizer": 2048, "activations": 5120, "layers": [2048, 2048, 1024],
    "batch": {"fit": [0.0, 2560.0], "misfit": 0.0}, "length": {"fit": [0.0, 80.0, 1e-12], "misfit": 0.0},
}  # fmt: skip


def frames(folder: Path, figures: list[dict[str, Any]], model: str = "DeepSeek-V4-Pro", emulated: bool = False, **evidence: Any) -> Frames:
    """Return a Run in which an SFT step of 256 tokens needs 20 TFLOP and takes half a second: 40 TFLOP/s, 512 tokens/s."""
    costs = {"flops": {"needed": 20 * 10**12, "executed": 30 * 10**12, "parts": {}}, "memory": MEMORY}
    timed = side("npu:0", (0.5,) * 7, costs=costs) | evidence
    run = Run.open(
        make(
            folder,
            [
                verdict("performance/sft-step[bfloat16]", findings=[Finding("throughput", "rate", Outcome.PASS, 512.0)], candidate=timed),
                verdict("post_training/footprint/llama[bfloat16]", candidate=timed),
            ],
            emulated=emulated,
        )
    )
    run.describe_published({"figures": figures, "peaks": [PEAK]})
    run.describe_comparison({**run.manifest["comparison"], "model": model})
    return load(folder)


def compared(made: Frames) -> list[list[str]]:
    tables = [block for block in published.render(made) if isinstance(block, Table)]
    return [list(map(str, row[1:4])) for table in tables for row in table.rows]


def told(made: Frames) -> str:
    return " ".join(block.text for block in published.render(made) if isinstance(block, Text))


def test_a_share_of_the_peak_stands_beside_the_published_one(tmp_path: Path) -> None:
    assert compared(frames(tmp_path / "r", [FIGURE])) == [["MFU, sft", "40.0 to 50.0 % of the peak of a die", "34.9 %"]]


def test_a_rate_only_in_the_unit_of_the_logical_device(tmp_path: Path) -> None:
    assert compared(frames(tmp_path / "r", [RATE])) == [["rate, sft", "512 tokens/s a die", "890 to 950 tokens/s a die"]]
    assert compared(frames(tmp_path / "s", [RATE | {"per": "card"}])) == []


@pytest.mark.parametrize(
    "unlike",
    [
        {"flags": ["offline"]},
        {"device": "NVIDIA*"},
        {"device": ""},
        {"model": "DeepSeek-V4-Flash"},
        {"stage": "grpo"},
        {"measure": "step time"},
    ],
    ids=str,
)
def test_what_is_unlike_is_context_and_no_comparison(tmp_path: Path, unlike: dict[str, Any]) -> None:
    made = frames(tmp_path / "r", [FIGURE | unlike])
    assert compared(made) == []
    assert "Nothing measured here can be set beside a published figure" in told(made)
    fold = next(block for block in published.render(made) if isinstance(block, Fold))
    assert fold.summary == "Training: 1 published figures"


def test_an_emulated_device_is_compared_with_nothing(tmp_path: Path) -> None:
    made = frames(tmp_path / "r", [FIGURE, RATE], emulated=True)
    assert compared(made) == []
    assert "EMULATED" in told(made)
    assert [utilisation(made, rate) for rate in rates(made)] == [None]
    assert "MFU" not in " ".join(block.text for block in throughput.render(made) if isinstance(block, Text))


def test_a_wrong_result_has_no_utilisation(tmp_path: Path) -> None:
    made = frames(tmp_path / "r", [FIGURE])
    made.verdicts.loc[:, "outcome"] = "fail"
    assert [utilisation(made, rate) for rate in rates(made)] == [None]
    assert compared(made) == []


def test_operations_and_utilisation_with_the_peak_and_what_it_is_of(tmp_path: Path) -> None:
    blocks = throughput.render(frames(tmp_path / "r", []))
    table = next(block for block in blocks if isinstance(block, Table) and block.caption.startswith("Operations"))
    assert [list(row) for row in table.rows] == [["sft-step[bfloat16]", "20\u202f000", "40\u202f000", "40.0 to 50.0 %"]]
    note = next(block.text for block in blocks if isinstance(block, Text) and block.kind == "note")
    assert "80.0 to 100 TFLOP/s in bfloat16 a die, an estimate" in note


def test_without_a_known_peak_there_is_no_utilisation(tmp_path: Path) -> None:
    made = frames(tmp_path / "r", [])
    made.published["peaks"][0]["device"] = "Ascend 950*"
    table = next(block for block in throughput.render(made) if isinstance(block, Table) and block.caption.startswith("Operations"))
    assert list(table.rows[0])[-1] == "no peak known"


def test_memory_by_part_and_its_growth(tmp_path: Path) -> None:
    split, growth = [block for block in memory.render(frames(tmp_path / "r", [])) if isinstance(block, Table)][:2]
    assert list(split.rows[0]) == ["llama[bfloat16]", "1.00 KiB", "1.00 KiB", "2.00 KiB", "5.00 KiB", "–", "3.00 GiB"]
    assert list(growth.rows[0]) == ["llama[bfloat16]", "2.00 KiB", "1.00 KiB", "2.50 KiB", "80.0 B", "none", "none"]


def test_a_run_of_operators_alone_or_without_a_registry_has_no_such_section(tmp_path: Path) -> None:
    make(tmp_path / "a", [verdict("operators/matmul[float32]")])
    Run.open(tmp_path / "a").describe_published({"figures": [FIGURE], "peaks": []})
    assert published.render(load(tmp_path / "a")) == []
    make(tmp_path / "b", [verdict("post_training/sft[float32]")])
    assert published.render(load(tmp_path / "b")) == []


def test_the_registry_that_comes_with_assay_makes_a_page(tmp_path: Path) -> None:
    html = page([frames(tmp_path / "r", list(registry.stored()["figures"]))])
    assert 'href="https://en.wedoany.com/shortnews/228449.html"' in html
    assert "1\u202f460\u202f000 tokens/s a system" in html
