"""An endpoint as a device: named by its owner, asked once, never chosen by itself."""

import pytest
import torch

from harness.devices import available_devices, endpoint, open_device
from harness.devices.endpoint import Endpoint
from harness.errors import AssayError
from harness.serving.dialect import Dialect
from harness.serving.engine import NotServed, ServingError
from harness.serving.http import Server
from harness.serving.remote import Endpoint as Connected


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch):
    def name(hardware: str = "", timeout: str = "5") -> Endpoint:
        for key, value in (("", "http://host-7/v1"), ("_MODEL", "m"), ("_HARDWARE", hardware), ("_TIMEOUT", timeout), ("_KEY", "secret-7")):
            monkeypatch.setenv(f"ASSAY_ENDPOINT{key}", value)
        endpoint._asked.cache_clear()
        return open_device("endpoint")

    monkeypatch.setattr(
        endpoint, "connected", lambda server, model: Connected(server, model, Dialect(scores="echo", own=False), 4096, "vllm", "1.0")
    )
    yield name
    endpoint._asked.cache_clear()


def test_it_is_described_by_its_owner_and_by_itself(named) -> None:
    found = named("8 x Ascend 910B3").describe()
    assert (found["hardware"], found["stated"], found["versions"]) == ("8 x Ascend 910B3", True, {"engine": "vllm 1.0", "model": "m"})
    assert found["lacks"] == ["ignore_eos, top_k and the like"]
    assert not found["emulated"]
    assert "host-7" not in str(found)
    assert "secret-7" not in str(found)


def test_hardware_that_nobody_stated_is_said_to_be_unknown(named) -> None:
    found = named().describe()
    assert "nobody stated" in found["hardware"]
    assert found["stated"] is False


def test_it_is_never_the_best_device(named) -> None:
    named()
    assert available_devices()[-1] == "endpoint"
    assert available_devices()[0] != "endpoint"


def test_what_is_placed_lies_here_and_only_a_lack_of_the_api_is_unsupported(named) -> None:
    device = named()
    assert device.torch_device == torch.device("cpu")
    assert device.memory().to_json() == {}
    assert device.unsupported(NotServed("no echo"))
    assert not device.unsupported(ServingError("dropped", "gone"))
    assert device.engine(str).endpoint.server == Server("http://host-7/v1", 5.0, "secret-7")


def test_without_an_address_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_ENDPOINT", raising=False)
    with pytest.raises(AssayError, match="--endpoint http://HOST:PORT/v1"):
        open_device("endpoint")


def test_a_time_out_that_is_no_number_is_one_line(named) -> None:
    with pytest.raises(AssayError, match="--endpoint: could not convert"):
        named(timeout="soon")
