"""Many samples of one operator on a device that works behind the program's back: each has its own result and its own refusal."""

import torch

from harness.devices import open_device
from harness.inputs import Inputs
from suites.workloads.operators.samples import Calls, Sample


def inputs() -> Inputs:
    device = open_device("npu:0")
    return Inputs(0, torch.float32, device.place, device.torch_device)


def test_what_one_sample_is_refused_is_told_to_no_other() -> None:
    whole, zeros, nothing = torch.tensor([5, 7]), torch.tensor([0, 0]), torch.zeros(0, dtype=torch.int64)
    calls = Calls(inputs(), torch.fmod, [Sample(pair, {}) for pair in ((whole, zeros), (nothing, nothing), (whole, whole), (whole, zeros))])
    assert sorted(calls()) == ["001.0", "002.0"]
    assert sorted(calls.raised) == ["000", "003"]
    assert torch.ones(2).npu().cpu().tolist() == [1, 1]  # nor to who comes after


def test_a_copy_that_does_not_block_has_arrived() -> None:
    rows = [torch.randn(64, 64, generator=torch.Generator().manual_seed(seed)) for seed in range(20)]
    found = Calls(inputs(), lambda x: (x @ x).to("cpu", non_blocking=True), [Sample((row,), {}) for row in rows])()
    for part, row in zip(sorted(found), rows, strict=True):
        torch.testing.assert_close(found[part], row @ row)
