"""Every case of the suites that needs no download reaches the emulated NPU by way of operators only, and misses none.

The language model is a small one here; the demo runs the real one.
"""

import os
import subprocess
import sys
from collections import Counter

import pytest
from torch import Tensor

from emulator.bridge import counters
from emulator.operator import OPERATORS
from harness.case import Case
from harness.devices import Device, open_device
from harness.measure import measure
from harness.recording import Status
from suites.catalogue import all_cases
from suites.workloads.inference import greedy, prefill
from suites.workloads.post_training import lora, sft
from tests.emulator.reached import reached
from tests.suites.workloads.tiny_model import use_tiny

CASES = [
    case for case in all_cases().values()
    if case.area in ("operators", "post_training", "inference") and case.only_on in (None, "npu") and not case.wide and not case.long
]  # fmt: skip

pytestmark = [
    pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental"),  # the fingerprint asks which dtypes there are
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # TRL 1.16 reads it
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning"),  # torch_npu's optimizers use it
]

#: Cases that also return what they were given or have read back: the noise of a rollout, restored weights, the value that must come out.
GIVEN = ("post_training/rollout/", "post_training/resume/", "post_training/invariants/")

#: What the cases reached, for the last test of this file.
REACHED: Counter[str] = Counter()


@pytest.fixture(scope="module")
def npu() -> Device:
    return open_device("npu:0")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_runs_and_what_it_returns_was_computed_by_operators(npu: Device, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny(monkeypatch, sft, lora, greedy, prefill)
    copied: list[int] = []

    def to_host(tensor: Tensor) -> Tensor:
        before = counters()["copies_out_of_operators"]
        host = Device.to_host(npu, tensor)
        if tensor.device.type == "npu" and tensor.numel():  # sketches of gradients are made on the host, of what was copied before
            copied.append(counters()["copies_out_of_operators"] - before)
        return host

    monkeypatch.setattr(npu, "to_host", to_host)
    monkeypatch.setattr("harness.measure.altered", lambda inputs, device: [])  # it reads operands, which no operator has written
    before = counters()
    with reached() as calls:
        recording, arrays = measure(case, npu)
    REACHED.update(calls)
    if recording.status is Status.UNSUPPORTED and "CPU fallback is disabled" in recording.message:
        pytest.skip("torch_npu has no such operator")
    assert recording.status is Status.OK, recording.message
    given = case.id.startswith(GIVEN)
    assert given or copied == [1] * len(copied)  # each was copied from memory that an operator had written
    handed_on = case.id.startswith(("operators/exact/sum", "operators/exact/cumsum"))  # a sum of one has its cotangent for a gradient
    outputs = 1 if given else sum(array.size > 0 for array in arrays.values()) - handed_on
    assert counters()["copies_out_of_operators"] - before["copies_out_of_operators"] >= outputs > 0
    assert counters()["copies_out_unwritten"] == before["copies_out_unwritten"]


def test_every_operator_that_the_suites_reached_is_emulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert REACHED
    missing = [name for name in REACHED if name not in OPERATORS]
    with capsys.disabled():
        print(f"\nthe suites reached {len(REACHED)} operators: {', '.join(sorted(REACHED))}")
    assert missing == []


def test_without_a_cache_of_memory_nothing_is_read_that_no_operator_wrote() -> None:
    """Memory that is used again keeps the stamp of who wrote it before; where every tensor has memory of its own, the stamp is exact."""
    script = """
from emulator.bridge import counters
from harness.devices import open_device
from harness.measure import measure
from suites.catalogue import all_cases
npu = open_device("npu:0")
for name in ("swiglu", "softmax", "rms_norm", "cross_entropy", "adamw", "attention-gqa"):
    recording, arrays = measure(all_cases()[f"operators/{name}[float32]"], npu)
    assert recording.status == "ok" and arrays, recording.message
counted = counters()
print(counted["copies_out_of_operators"] > 20, counted["copies_out_unwritten"])
"""
    variables = {**os.environ, "PYTORCH_NO_NPU_MEMORY_CACHING": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=False, timeout=200)
    assert done.stdout == "True 0\n", done.stderr
