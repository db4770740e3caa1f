"""Small Runs that no device has made: verdicts with times, and recordings with answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.recording import Recording, Status, write_json
from harness.run import Run
from harness.verdict import Finding, Outcome, Verdict


def make_run(
    folder: Path, created: str = "2026-03-01T02:00:00+00:00", seconds: Sequence[float] = (0.01, 0.011, 0.0105), driver: str = "25.1",
    outcome: Outcome = Outcome.PASS, right: Sequence[bool] = (True, False, True), emulated: bool = False,
    labels: Mapping[str, str] | None = None, machine: str = "0123456789abcdef",
) -> Run:  # fmt: skip
    """Make a Run with an operator, a timing and a task."""
    run = Run.create(folder, "npu:0")
    run.manifest["created"] = created
    write_json(folder / "run.json", run.manifest)
    digest = run.add_environment(_environment(driver, emulated, machine))
    run.describe_labels(labels or {})
    run.describe_comparison({"emulated": emulated, "model": "default", "reference_source": "cpu"})
    evidence = {"candidate": side(digest, seconds), "reference": side("", [2 * s for s in seconds])}
    found = (Finding("closeness", "out", outcome, 0.5, 1.0, "ULP", message="said"),)
    for case, area in (
        ("operators/relu[float32]", "operators"),
        ("performance/matmul[float32]", "performance"),
        ("accuracy/arithmetic[float32]", "accuracy"),
    ):
        run.write_verdict(Verdict(case, area, "float32", outcome, "", found, {"id": case}, evidence))
    definition = {"id": "accuracy/arithmetic[float32]"}
    samples = [{"prompt_hash": f"h{i}"} for i in range(len(right))]
    recording = Recording(definition, "key", "accuracy", "npu:0", digest, Status.OK, details={"samples": samples})
    run.write(recording, {"correct": np.array(right, dtype=np.int64)})
    return run


def side(environment: str, seconds: Sequence[float]) -> dict[str, Any]:
    """Return the evidence of a side."""
    return {
        "environment": environment, "seconds": list(seconds), "work": 2.0, "unit": "tokens", "memory": {"allocated_peak": 4096},
    }  # fmt: skip


def _environment(driver: str, emulated: bool, machine: str) -> dict[str, Any]:
    device = {
        "kind": "npu",
        "name": "npu:0",
        "hardware": "Ascend910B2",
        "emulated": emulated,
        "versions": {"driver": driver, "cann": "9.0"},
    }
    return {"host": {"machine": machine, "commit": "c0ffee", "packages": {"torch": "2.13.0"}, "variables": {}}, "device": device}
