"""Inference in the report: who failed comes first, formats are drawn by layer, and no time of an emulated device is shown."""

from pathlib import Path

import pytest

from harness.run import Run
from harness.verdict import Finding, Outcome
from reports.blocks import Fold, Heading, Row, Table, Text
from reports.frame import Frames, load
from reports.inference import served, waits
from reports.sections import inference
from tests.reports.runs import DEVICES, make, side, verdict


def divergence(measured: float, bound: float = 1e-6) -> Finding:
    outcome = Outcome.PASS if measured <= bound else Outcome.FAIL
    return Finding("divergence", "logits mean", outcome, measured, bound, "nats", bound / 4)


def wait(kind: str, context: int, median: float):
    told = {"kind": kind, "batch": 1, "context": context, "cache_bytes": 1024 * context, "cache_counted": 1024 * context}
    seconds = [median * (1 + 0.01 * i) for i in range(10)]
    sides = {"candidate": side("npu:0", seconds, costs={"serving": told}), "reference": side("cuda:0", seconds)}
    return verdict(f"performance/{kind}/1x{context}[bfloat16]", **sides)


VERDICTS = [
    verdict("inference/prefill[float32]", findings=[divergence(2e-7)], told={"kl/logits": [[1e-7, 2e-7], [1e-7, 1e-7]]}),
    verdict("inference/decode/qwen3[float32]", Outcome.FAIL, [divergence(3e-6)], told={"kl/logits": [[1e-7, 9e-6], [1e-7, 1e-7]]}),
    verdict(
        "inference/greedy-cached/llama[float32]",
        findings=[
            Finding("decoding", "tokens", Outcome.PASS, 9.0, 24.0, "tokens", where="step 9", message="a near-tie"),
            Finding("batch_invariance", "together/logits", Outcome.PASS, 3.0, None, "elements"),
            Finding("acceptance", "rate", Outcome.PASS, 0.75, None, "share"),
        ],
    ),
    *(
        verdict(
            f"inference/quantised-{form}/llama[float32]",
            told={"snr": [["00", 140.0, 141.0], ["01", 138.0, 139.0]], "snr/format": [["00", 30.0, 30.0], ["01", 25.5, 25.6]]},
        )
        for form in ("w8a8", "hif8")
    ),
    *(wait(kind, context, 0.01 * context / 128) for kind in ("ttft", "tpot") for context in (128, 512)),
]


@pytest.fixture
def frames(tmp_path: Path):
    def made(verdicts=VERDICTS, emulated: bool = False) -> Frames:
        run = Run.open(make(tmp_path / "run", verdicts))
        candidate = {**DEVICES["npu"], "emulated": emulated}
        run.describe_comparison({**run.manifest["comparison"], "candidate": candidate, "emulated": emulated})
        return load(tmp_path / "run")

    return made


def tables(blocks) -> dict[str, Table]:
    return {str(block.head[0]): block for block in blocks if isinstance(block, Table)}


def test_nothing_of_a_run_without_inference(frames):
    assert inference.render(frames([verdict("operators/matmul[float32]")])) == []


def test_who_failed_comes_first_and_is_drawn_first(frames):
    blocks = inference.render(frames())
    assert blocks[0] == Text(
        "4 of 5 inference cases passed. In 0 of 1 that choose tokens every token is the reference's; where one differs, "
        "its margin says why.",
        "lead",
    )
    assert tables(blocks)["inference case"].rows[0][0] == "decode/qwen3[float32]"
    first = next(block for block in blocks if isinstance(block, Row))
    assert [figure.caption for figure in first.figures] == ["decode/qwen3[float32]", "prefill[float32]"]


def test_tokens_company_and_drafts_are_in_the_table(frames):
    row = next(row for row in tables(inference.render(frames()))["inference case"].rows if str(row[0]).startswith("greedy"))
    assert row[2:] == ["9 of 24", "–", "–", "3 elements differ", "75.0 %"]


def test_each_format_is_drawn_and_told(frames):
    blocks = inference.render(frames())
    at = blocks.index(Heading("Number formats"))
    captions = [str(figure.caption) for figure in blocks[at + 2].figures]
    assert captions == [f"{form} on tiny llama, float32: 25.5 dB after the last layer" for form in ("hif8", "w8a8")]
    assert tables(blocks)["format"].rows[0][2:] == ["25.5", "25.6", "138", "139"]


def test_waiting_is_told_with_its_percentiles_and_drawn_against_the_context(frames):
    blocks = inference.render(frames())
    rows = next(block.rows for block in blocks if isinstance(block, Table) and "p99" in block.head)
    assert [row[0] for row in rows] == [f"{kind}/1x{n}[bfloat16]" for kind in ("tpot", "ttft") for n in (128, 512)]
    assert rows[0][1:4] == ["10.5 ms", "10.9 ms", "10.9 ms"]
    captions = [str(figure.caption) for block in blocks if isinstance(block, Row) for figure in block.figures]
    assert "Time to first token, p50, batch 1, bfloat16" in captions
    assert "Cache of keys and values, batch 1, bfloat16" in captions


def test_no_time_of_an_emulated_device_but_its_memory(frames):
    blocks = inference.render(frames(emulated=True))
    assert not any("p99" in block.head for block in blocks if isinstance(block, Table))
    assert sum(isinstance(block, Text) and block.kind == "banner" for block in blocks) == 2
    assert next(block for block in blocks if isinstance(block, Table) and "cache, counted" in block.head).rows[0][3] == "128 KiB"


def test_what_is_wrong_has_no_time(frames):
    wrong = wait("tpot", 128, 0.01)
    wrong = verdict(wrong.case, Outcome.FAIL, **wrong.evidence)
    found = frames([wrong, VERDICTS[0]])
    assert [one.right for one in waits(found)] == [False]
    assert not any("p99" in block.head for block in inference.render(found) if isinstance(block, Table))


def test_many_cases_are_folded(frames):
    many = [verdict(f"inference/decode/family{i}[float32]", findings=[divergence(1e-7)]) for i in range(25)]
    found = frames(many)
    assert len(served(found)) == 25
    assert [block.summary for block in inference.render(found) if isinstance(block, Fold)] == ["5 more inference cases"]
