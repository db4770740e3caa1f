"""The CPU: resident set, its peak, placing and bringing back."""

import json
from pathlib import Path

import pytest
import torch

from harness.devices import cpu as module
from harness.devices import open_device

_MIB = 2**20


def test_describe_is_json_with_all_parts() -> None:
    described = json.loads(json.dumps(open_device("cpu").describe()))
    assert set(described) == {"name", "kind", "hardware", "memory_bytes", "versions", "dtypes", "emulated"}
    assert (described["name"], described["kind"], described["emulated"]) == ("cpu", "cpu", False)
    assert described["hardware"]
    assert described["memory_bytes"] > 64 * _MIB


def test_peak_sees_what_is_gone_again_and_can_be_reset() -> None:
    cpu = open_device("cpu")
    cpu.reset_peak_memory()
    before = cpu.memory()
    block = torch.ones(64 * _MIB, dtype=torch.uint8)
    del block
    after = cpu.memory()
    assert before.resident is not None
    assert after.resident_peak is not None
    assert after.resident_peak >= before.resident + 60 * _MIB
    cpu.reset_peak_memory()
    again = cpu.memory().resident_peak
    assert again is not None
    assert again < after.resident_peak - 30 * _MIB


def test_it_has_no_fused_operators_of_its_own() -> None:
    assert open_device("cpu").fused("npu_rms_norm") is None


def test_only_the_resident_set_is_known() -> None:
    assert set(open_device("cpu").memory().to_json()) == {"resident", "resident_peak"}


def test_without_proc_the_system_still_tells_a_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_STATUS", tmp_path / "absent")
    assert module._peak() > 10 * _MIB


def test_a_peak_that_cannot_be_reset_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_CLEAR_REFS", tmp_path / "absent" / "clear_refs")
    open_device("cpu").reset_peak_memory()


def test_place_and_to_host_keep_the_values() -> None:
    cpu = open_device("cpu")
    tensor = torch.arange(6.0).reshape(2, 3).requires_grad_()
    host = cpu.to_host(cpu.place(tensor))
    assert torch.equal(host, tensor.detach())
    assert not host.requires_grad


def test_why_not_is_empty_for_what_is_there() -> None:
    assert module.Cpu.why_not() == ""
    module.Cpu("cpu").synchronize()
    module.Cpu("cpu").empty_cache()
