"""Runs operator cases in this process and applies their checks, for tests of the workloads."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.appeal import Sources, appeal, may_appeal
from harness.case import Case, Step
from harness.checks.evidence import Check, Evidence
from harness.devices import open_device
from harness.inputs import Inputs
from harness.judge import judge
from harness.manner import Manner
from harness.measure import measure
from harness.recording import Recording, Status
from harness.verdict import Finding, Outcome, Verdict, sum_up


def judged_on_itself(case: Case) -> Verdict:
    """Return the verdict on this machine's CPU, probed, beside itself, after an appeal where there is one."""
    device = open_device("cpu")

    def record(again: Case, manner: Manner) -> Recording:
        recording, arrays = measure(again, device, manner=manner)
        recording.__dict__["tensors"] = arrays
        return recording

    golden = record(case, Manner.GOLDEN) if case.golden else None
    candidate, reference = record(case, Manner.PROBED), record(case, Manner.PLAIN)
    verdict = judge(case, candidate, reference, golden)
    if may_appeal(case, verdict):
        sources = Sources(lambda c: record(c, Manner.PLAIN), lambda c: record(c, Manner.PLAIN), record)
        verdict = appeal(case, verdict, candidate, reference, golden, sources)
    return verdict


def inputs_of(dtype: str = "float32", seed: int = 0, golden: bool = False) -> Inputs:
    return Inputs(seed, getattr(torch, dtype), lambda tensor: tensor, torch.device("cpu"), golden)


def prepared(case: Case, golden: bool = False) -> tuple[Step, Inputs]:
    inputs = inputs_of(case.dtype, case.seed, golden)
    return case.workload(inputs, **case.params), inputs


def outputs_of(case: Case, golden: bool = False) -> dict[str, Tensor]:
    return dict(prepared(case, golden)[0].call())


def recorded(case: Case, outputs: Mapping[str, Tensor]) -> Recording:
    dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in outputs.items()}
    recording = Recording(case.definition(), case.key(), case.area, "cpu", "", Status.OK, dtypes=dtypes)
    narrow = (torch.bfloat16, torch.float16)
    arrays = {name: (tensor.float() if tensor.dtype in narrow else tensor).numpy() for name, tensor in outputs.items()}
    recording.__dict__["tensors"] = arrays  # what the cached property would have read from disk
    return recording


def findings(case: Case, candidate: Recording, reference: Recording, golden: Recording) -> list[Finding]:
    found: list[Finding] = []
    for check in case.checks:
        assert isinstance(check, Check)
        found += check(Evidence(case, candidate, reference, golden))
    return found


def outcome(case: Case, candidate: Recording, reference: Recording, golden: Recording) -> Outcome:
    return sum_up(findings(case, candidate, reference, golden))[0]
