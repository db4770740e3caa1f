"""What CUDA and NPU devices share, over a fake back end: which calls are made, in which order, with what made of the answers."""

import json
import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from harness.devices import Memory
from harness.errors import AssayError
from tests.harness.devices.fake_backend import FakeAccelerator, FakeBackend


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    fake = FakeBackend()
    monkeypatch.setattr(FakeAccelerator, "module", fake)
    return fake


@pytest.fixture
def second(backend: FakeBackend) -> FakeAccelerator:
    device = FakeAccelerator("fake:1")
    device.torch_device = torch.device("cpu")
    backend.calls.clear()
    return device


def test_all_devices_are_named(backend: FakeBackend) -> None:
    assert FakeAccelerator.available() == ["fake:0", "fake:1"]
    assert FakeAccelerator.why_not() == ""


def test_kind_alone_means_the_first() -> None:
    assert FakeAccelerator.full_name(None) == FakeAccelerator.full_name(0) == "fake:0"


def test_no_device_is_said_in_one_line(backend: FakeBackend) -> None:
    backend.count = 0
    assert FakeAccelerator.available() == []
    assert FakeAccelerator.why_not() == "no fake device is visible to this process"


@pytest.mark.parametrize("error", [RuntimeError("\nno driver\nstack"), OSError("no driver"), AssayError("no driver")])
def test_a_back_end_that_fails_has_no_device_and_its_first_line_says_why(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> int:
        raise error

    monkeypatch.setattr(backend, "device_count", fail)
    assert FakeAccelerator.available() == []
    assert FakeAccelerator.why_not() == "no driver"


def test_a_back_end_that_warns_of_its_driver_is_quoted(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> int:
        warnings.warn("the driver is too old\nmore", stacklevel=1)
        return 0

    monkeypatch.setattr(backend, "device_count", warn)
    assert FakeAccelerator.why_not() == "the driver is too old"


def test_opening_makes_it_the_current_device(backend: FakeBackend) -> None:
    FakeAccelerator("fake:1")
    assert backend.calls == [("set_device", 1)]


def test_a_device_that_cannot_be_opened_is_one_line(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(index: int) -> None:
        raise RuntimeError(f"device {index} is busy\nstack")

    monkeypatch.setattr(backend, "set_device", busy, raising=False)
    with pytest.raises(AssayError, match=r"^device fake:1: cannot be opened: device 1 is busy$"):
        FakeAccelerator("fake:1")


def test_memory_is_mapped_and_asked_of_this_device(backend: FakeBackend, second: FakeAccelerator) -> None:
    assert second.memory() == Memory(allocated=1, allocated_peak=2, reserved=3, reserved_peak=4)
    assert {call[1:] for call in backend.calls} == {(1,)}


def test_peak_cache_and_synchronize_reach_the_back_end(backend: FakeBackend, second: FakeAccelerator) -> None:
    second.reset_peak_memory()
    second.empty_cache()
    second.synchronize()
    assert backend.calls == [("reset_peak_memory_stats", 1), ("empty_cache",), ("synchronize", 1)]


def test_seed_reaches_host_and_all_devices(backend: FakeBackend, second: FakeAccelerator) -> None:
    second.seed(7)
    first = torch.rand(2)
    torch.manual_seed(7)
    assert torch.equal(first, torch.rand(2))
    assert backend.calls == [("manual_seed_all", 7)]


def test_timer_synchronizes_before_and_after_and_takes_event_time(backend: FakeBackend, second: FakeAccelerator) -> None:
    timer = second.timer()
    with timer:
        backend.calls.append(("work",))
    assert timer.seconds == 0.0125
    assert backend.calls == [
        ("synchronize", 1), ("record", 1), ("work",), ("record", 2), ("synchronize", 1), ("elapsed_time", 1, 2),
    ]  # fmt: skip


def test_timer_of_a_block_that_raised_asks_nothing_more(backend: FakeBackend, second: FakeAccelerator) -> None:
    timer = second.timer()
    with pytest.raises(KeyError), timer:
        raise KeyError
    assert math.isnan(timer.seconds)
    assert backend.calls == [("synchronize", 1), ("record", 1)]


def test_describe_is_json_with_the_back_ends_facts(second: FakeAccelerator) -> None:
    described: dict[str, Any] = json.loads(json.dumps(second.describe()))
    assert described["hardware"] == "Fake 1"
    assert described["memory_bytes"] == 64 * 2**30 + 1
    assert "float32" in described["dtypes"]
    assert described["emulated"] is False
