"""Finding a device by its name, and what every kind of device gets from `Device`."""

import math
import random
import string

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.devices import Memory, available_devices, device, open_device
from harness.devices.cpu import Cpu
from harness.errors import AssayError


def test_cpu_is_always_there_and_last() -> None:
    assert available_devices()[-1] == "cpu"


def test_default_is_the_best_device() -> None:
    assert open_device().name == available_devices()[0]


def test_kinds_are_found_in_the_package_and_ranked() -> None:
    assert list(device._kinds()) == ["npu", "cuda", "cpu", "endpoint"]


def test_open_cpu() -> None:
    assert isinstance(open_device("cpu"), Cpu)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tpu", "is of no known kind (npu, cuda, cpu, endpoint)"),
        ("tpu:0", "is of no known kind (npu, cuda, cpu, endpoint)"),
        ("cpu:1", "there is no such device"),
        ("cuda:x", "is not a device name"),
        ("cuda:", "is not a device name"),
        ("cuda:-1", "is not a device name"),
        ("cuda:00", "is not a device name"),
        ("CUDA", "is not a device name"),
        (" cpu", "is not a device name"),
        ("cpu\n", "is not a device name"),
        ("", "is not a device name"),
    ],
)
def test_wrong_names_are_refused_in_one_line(name: str, why: str) -> None:
    with pytest.raises(AssayError) as caught:
        open_device(name)
    message = str(caught.value)
    assert why in message
    assert message.endswith("available here: " + ", ".join(available_devices()))
    assert "\n" not in message


@pytest.mark.parametrize("name", ["cuda:9999", "npu:9999"])
def test_absent_device_is_named_with_the_reason(name: str) -> None:
    with pytest.raises(AssayError, match=rf"^device {name}: .+; available here: .*cpu$"):
        open_device(name)


@given(st.text(alphabet=string.ascii_letters + string.digits + ":_-. \n\tü", max_size=60) | st.text())
def test_any_text_opens_a_device_or_is_refused_in_one_line(name: str) -> None:
    try:
        answer = open_device(name).name
    except AssayError as error:
        answer = str(error)
    assert answer in available_devices() or (answer.startswith("device ") and len(answer.splitlines()) == 1)


@given(st.integers(0, 10**9 - 1))
def test_kind_and_index_are_told_apart(index: int) -> None:
    match = device._NAME.fullmatch(f"npu:{index}")
    assert match is not None
    assert (match[1], int(match[2])) == ("npu", index)


def test_memory_leaves_out_what_is_not_known() -> None:
    assert Memory(resident=3, resident_peak=0).to_json() == {"resident": 3, "resident_peak": 0}


def test_seed_repeats_every_generator() -> None:
    draws = []
    for _ in range(2):
        open_device("cpu").seed(2**40 + 1)
        draws.append((random.random(), float(np.random.random()), torch.rand(3).tolist()))
    assert draws[0] == draws[1]


def test_deterministic_refuses_an_operator_without_such_an_algorithm() -> None:
    cpu = open_device("cpu")
    previous = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        cpu.deterministic(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        cpu.deterministic(False)
        torch.set_float32_matmul_precision(previous)
    assert not torch.are_deterministic_algorithms_enabled()


def test_dtypes_are_those_in_which_arithmetic_ran() -> None:
    dtypes = open_device("cpu").describe()["dtypes"]
    assert {"float64", "float32", "bfloat16", "float16", "int64", "bool"} <= set(dtypes)


def test_a_device_that_computes_nothing_has_no_dtype() -> None:
    assert not device._computes(torch.float32, torch.device("meta"))


def test_a_wrong_result_is_not_support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda left, right: torch.zeros_like(left))
    assert not device._computes(torch.float32, torch.device("cpu"))
    assert device._computes(torch.int32, torch.device("cpu"))


def test_timer_measures_its_block() -> None:
    cpu = open_device("cpu")
    timer = cpu.timer()
    assert math.isnan(timer.seconds)
    with timer:
        torch.ones(64, 64) @ torch.ones(64, 64)
    assert 0 < timer.seconds < 60


def test_timer_of_a_block_that_raised_has_no_time() -> None:
    timer = open_device("cpu").timer()
    with pytest.raises(ZeroDivisionError), timer:
        _ = 1 / 0
    assert math.isnan(timer.seconds)
