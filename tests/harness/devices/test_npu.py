"""What is the NPU's own: a torch_npu that is absent or does not load, versions, switches, and the label of the emulator."""

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.devices import npu as module
from harness.devices.npu import Npu
from harness.errors import AssayError
from tests.harness.devices.fake_backend import FakeBackend


@pytest.fixture(autouse=True)
def fresh_load() -> Iterator[None]:
    """Forget what an import came to, before and after."""
    module._load.cache_clear()
    yield
    module._load.cache_clear()


def _install(monkeypatch: pytest.MonkeyPatch, answer: object) -> list[str]:
    """Let `import torch_npu` give `answer`, or raise it; return the list that notes each import."""
    imports: list[str] = []

    def import_module(name: str) -> Any:
        imports.append(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(
        module, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: name), import_module=import_module)
    )
    return imports


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    fake = FakeBackend()
    _install(monkeypatch, SimpleNamespace(npu=fake, __version__="2.13.0"))
    return fake


def test_absent_torch_npu_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert Npu.available() == []
    assert Npu.why_not() == 'torch_npu is not installed (pip install "ascend-assay[npu]")'


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libhccl.so: cannot open shared object file: No such file or directory\nmore"),
        RuntimeError("Two accelerators cannot be used at the same time\nmore"),
        OSError("undefined symbol\nmore"),
    ],
)
def test_torch_npu_that_does_not_load_is_quoted_in_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    _install(monkeypatch, error)
    assert Npu.available() == []
    assert Npu.why_not().startswith(f"torch_npu does not load: {str(error).splitlines()[0]} (")
    assert "\n" not in Npu.why_not()
    with pytest.raises(AssayError, match="does not load"):
        Npu.backend()


def test_a_failed_import_is_not_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    imports = _install(monkeypatch, ImportError("no CANN"))
    Npu.available()
    Npu.why_not()
    assert imports == ["torch_npu"]


def test_devices_of_the_back_end_are_named(backend: FakeBackend) -> None:
    assert Npu.available() == ["npu:0", "npu:1"]
    assert Npu("npu:1").index == 1


def test_versions_are_cann_driver_and_torch_npu(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "version.info").write_text("package_name=driver\nVersion=25.2.0\nascendhal_version=7.35.23\n")
    monkeypatch.setattr(module, "_DRIVER", tmp_path / "version.info")
    assert Npu("npu:0").versions() == {"torch_npu": "2.13.0", "cann": "9.1.0", "driver": "25.2.0"}


def test_versions_leave_out_what_is_not_known(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    backend.utils = SimpleNamespace()  # a torch_npu from before get_cann_version
    monkeypatch.setattr(module, "_DRIVER", tmp_path / "absent")
    assert Npu("npu:0").versions() == {"torch_npu": "2.13.0"}


def test_deterministic_turns_hf32_off(backend: FakeBackend) -> None:
    try:
        Npu("npu:0").deterministic(True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert (backend.matmul.allow_hf32, backend.conv.allow_hf32) == (False, False)


def test_switches_that_a_torch_npu_lacks_are_left_alone(backend: FakeBackend) -> None:
    backend.matmul = backend.conv = None  # type: ignore[assignment]
    try:
        Npu("npu:0").deterministic(True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("value", "emulated"), [("1", True), ("0", False), (None, False)])
def test_the_emulator_is_labelled(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, value: str | None, emulated: bool) -> None:
    if value is None:
        monkeypatch.delenv("ASSAY_EMULATOR", raising=False)
    else:
        monkeypatch.setenv("ASSAY_EMULATOR", value)
    assert Npu("npu:0").emulated is emulated


def test_fused_operators_are_torch_npus_and_one_that_it_lacks_is_refused(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, SimpleNamespace(npu=backend, __version__="2.13.0", npu_rms_norm=len))
    module._load.cache_clear()
    device = Npu("npu:0")
    assert device.fused("npu_rms_norm") is len
    with pytest.raises(NotImplementedError, match=r"torch_npu 2\.13\.0 has no operator npu_x") as raised:
        device.fused("npu_x")
    assert device.unsupported(raised.value)
