"""What is CUDA's own: why there is none, the driver's version, the switches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.devices import cuda as module
from harness.devices.cuda import Cuda
from tests.harness.devices.fake_backend import FakeBackend


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    monkeypatch.setattr(Cuda, "backend", classmethod(lambda cls: FakeBackend()))
    return Cuda("cuda:0")


@pytest.fixture
def switches() -> Iterator[None]:
    """Put back what a test turns."""
    places: list[tuple[Any, str]] = [
        (torch.backends.cudnn, "deterministic"), (torch.backends.cudnn, "benchmark"),
        (torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32"),
    ]  # fmt: skip
    before = [getattr(place, name) for place, name in places]
    yield
    torch.use_deterministic_algorithms(False)
    for (place, name), value in zip(places, before, strict=True):
        setattr(place, name, value)


def test_backend_is_torch_cuda() -> None:
    assert Cuda.backend() is torch.cuda


def test_a_build_without_cuda_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert Cuda.reason_for_none() == f"this PyTorch ({torch.__version__}) is built without CUDA"


def test_a_build_with_cuda_and_no_device_is_the_other_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert Cuda.reason_for_none() == "no cuda device is visible to this process"


def test_driver_version_is_read_from_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc 12.2.0\n"
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(module, "_DRIVER", tmp_path / "version")
    assert module._driver_version() == "550.54.15"


def test_open_driver_version_is_read_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@host)\n"
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(module, "_DRIVER", tmp_path / "version")
    assert module._driver_version() == "570.86.15"


def test_versions_leave_out_what_is_not_known(device: Cuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_DRIVER", tmp_path / "absent")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: None)
    assert device.versions() == {"cuda": "13.0", "compute_capability": "9.0"}


@pytest.mark.usefixtures("switches")
def test_deterministic_turns_tf32_off(device: Cuda) -> None:
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True
    device.deterministic(True)
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    device.deterministic(False)
    assert not torch.backends.cudnn.deterministic
