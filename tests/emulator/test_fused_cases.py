"""Every case of a fused operator passes with the real torch_npu on the emulator, and the page of them leaves no operator out.

That an emulated operator passes says that the case asks for the right thing in the right words, and nothing about a device.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_npu
from torch.utils._python_dispatch import TorchDispatchMode

from harness.appeal import Sources, appeal, may_appeal
from harness.case import Case
from harness.devices import Device, open_device
from harness.judge import judge
from harness.manner import Manner
from harness.measure import measure
from harness.recording import Recording
from harness.verdict import Outcome
from tests.suites.workloads.operators.fused.test_cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "fused-operators.md"
OURS = re.compile(r"^\| `(npu_\w+)` \| (.+) \|$", re.MULTILINE)
LEFT_OUT = re.compile(r"^\| (`npu_\w+`(?:, `npu_\w+`)*) \| (.+) \|$", re.MULTILINE)

#: Which operators of torch_npu the cases of each name reached, by the dispatcher and by what they called; for the last tests here.
REACHED: defaultdict[str, set[str]] = defaultdict(set)


class Noted(TorchDispatchMode):
    """Notes the operators of torch_npu that pass."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func._schema.name.startswith("npu::npu_"):
            self.names.add(func._schema.name.removeprefix("npu::"))
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def npu() -> Device:
    return open_device("npu:0")


@pytest.fixture(scope="module")
def cpu() -> Device:
    return open_device("cpu")


def recorded(case: Case, device: Device, manner: Manner = Manner.PLAIN) -> Recording:
    recording, arrays = measure(case, device, manner=manner)
    recording.__dict__["tensors"] = arrays  # what the cached property would have read from disk
    return recording


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_passes(case: Case, npu: Device, cpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    name = case.id.partition("[")[0].removeprefix("operators/").partition("-")[0]
    own = npu.fused

    def fused(operator: str) -> Any:
        function = own(operator)

        def call(*args: Any, **kwargs: Any) -> Any:
            REACHED[operator].add(name)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(npu, "fused", fused)
    with Noted() as noted:
        candidate = recorded(case, npu)
    for operator in noted.names:
        REACHED[operator].add(name)
    reference, golden = recorded(case, cpu), recorded(case, cpu, Manner.GOLDEN)
    verdict = judge(case, candidate, reference, golden)
    if may_appeal(case, verdict):
        sources = Sources(lambda c: recorded(c, npu), lambda c: recorded(c, cpu), lambda c, manner: recorded(c, cpu, manner))
        verdict = appeal(case, verdict, candidate, reference, golden, sources)
    assert verdict.outcome is Outcome.PASS, verdict.message


def test_the_page_says_by_which_cases_an_operator_is_judged() -> None:
    written = dict(OURS.findall(PAGE.read_text(encoding="utf-8").partition("## Left out")[0]))
    found = {operator: ", ".join(f"`{name}`" for name in sorted(names)) for operator, names in sorted(REACHED.items())}
    table = "\n".join(f"| `{operator}` | {names} |" for operator, names in found.items())
    assert written == found, f"the table should be\n{table}"


def test_no_operator_is_left_out_without_a_written_reason() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Left out")[2]
    left_out = [name for names, _ in LEFT_OUT.findall(text) for name in re.findall(r"`(npu_\w+)`", names)]
    assert len(left_out) == len(set(left_out))
    registered = {
        name.partition("::")[2].partition(".")[0] for name in torch._C._dispatch_get_all_op_names() if name.startswith("npu::npu_")
    }
    everything = {name for name in dir(torch_npu) if name.startswith("npu_")} | registered
    assert set(left_out) | set(REACHED) == everything
    assert not set(left_out) & set(REACHED)
