"""An endpoint in the report: hardware is its owner's word, load is drawn against the rate; other candidates have no such section."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.checks.evidence import Evidence
from harness.checks.load import Load
from harness.run import Run
from harness.verdict import Finding, Outcome
from reports.blocks import Row, Table, Text, Tiles
from reports.frame import Frames, load
from reports.sections import serving
from tests.harness.checks.build import case, recording
from tests.harness.checks.test_load import recorded
from tests.reports.runs import make, verdict

SIDE = {
    "name": "endpoint",
    "kind": "endpoint",
    "hardware": "8 x Ascend 910B3",
    "stated": True,
    "versions": {"engine": "vllm 1.0", "model": "m"},
}
OPEN = [{"loop": "closed", "users": 1}, *({"loop": "open", "offered": float(rate), "share": f"{rate}0%"} for rate in (5, 9, 15))]


@pytest.fixture
def frames(tmp_path: Path):
    def made(side=SIDE, outcome: Outcome = Outcome.PASS, message: str = "", reference: bool = False, **how) -> Frames:
        arrays, details = recorded(phases=OPEN, **how)
        ours = recording(arrays, details=details)
        told = Load().told(Evidence(case(), ours, ours if reference else recording({})))
        parity = Finding("continued", "alone_tokens", Outcome.PASS, 0.0, 0.0, "wrong answers", message="4 of 4 answers equal float64's")
        verdicts = [
            verdict("inference/served/greedy[bfloat16]", findings=[parity]),
            verdict("performance/served/load[bfloat16]", outcome, message=message, told=told),
        ]
        run = Run.open(make(tmp_path / "run", verdicts))
        run.describe_comparison({**run.manifest["comparison"], "candidate": side})
        return load(tmp_path / "run")

    return made


def text_of(blocks) -> str:
    return " ".join(str(block.text) for block in blocks if isinstance(block, Text))


def test_hardware_is_what_its_owner_states(frames) -> None:
    blocks = serving.render(frames())
    assert "8 x Ascend 910B3, as its owner states" in text_of(blocks)
    assert "vllm 1.0" in text_of(blocks)


def test_what_the_api_lacks_is_listed(frames) -> None:
    blocks = serving.render(frames({**SIDE, "stated": False, "hardware": "hardware unknown", "lacks": ["the ids of new tokens"]}))
    assert "lacks the ids of new tokens" in str(blocks)
    assert "as its owner states" not in text_of(blocks)


def test_load_is_tabled_and_drawn_against_the_rate(frames) -> None:
    blocks = serving.render(frames())
    captions = [block.caption for block in blocks if isinstance(block, Table)]
    assert captions == ["Answers of the endpoint", "Load on the endpoint", "Times under load, endpoint"]
    drawn = next(block for block in blocks if isinstance(block, Row)).figures
    assert [figure.legend for figure in drawn] == [False, False]
    times = next(block for block in blocks if isinstance(block, Table) and block.caption == "Times under load, endpoint")
    assert times.rows[0][3] == "too few"
    assert " ms" in times.rows[0][1]


def test_another_endpoint_stands_beside_it(frames) -> None:
    blocks = serving.render(frames(reference=True))
    assert "Load on the reference" in [block.caption for block in blocks if isinstance(block, Table)]
    assert next(block for block in blocks if isinstance(block, Row)).figures[0].legend


def test_failures_are_counted_and_named(frames) -> None:
    blocks = serving.render(frames(outcome=Outcome.FAIL, message="7 failed", failure=(1, 2)))
    tiles = next(block for block in blocks if isinstance(block, Tiles)).tiles
    assert (tiles[-1].label, tiles[-1].value) == ("failed", "0 of 400")  # refused, which the table has
    assert "ended as fail: 7 failed" in text_of(blocks)
    assert "refused: too busy" in str(blocks)


def test_another_candidate_has_no_such_section(frames) -> None:
    assert serving.render(replace(frames(), comparison={"candidate": {"kind": "npu"}})) == []
