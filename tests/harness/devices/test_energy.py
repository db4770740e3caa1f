"""Joules from counters and from samples of power, with stand-ins for NVML, DCMI, npu-smi and Linux' powercap tree."""

import ctypes
import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import environment
from harness.consumption import WINDOWS, metered
from harness.devices import dcmi, nvml, open_device, powercap
from harness.devices.energy import Counter, Sampled
from harness.devices.npu import Npu


def test_a_counter_is_read_at_both_ends() -> None:
    figures = iter([100.0, 130.5])
    with Counter("x", 0.1, lambda: next(figures)) as meter:
        pass
    assert meter.joules == 30.5
    assert meter.told() == {"source": "x", "interval": 0.1}


def test_power_is_integrated_by_straight_lines() -> None:
    """At 0, 1, 2 ... seconds the power is 100, 101, 102 ... watts."""
    watts, clock = count(100), count(0)
    meter = Sampled("x", 0.001, lambda: float(next(watts)), lambda: float(next(clock)))
    with meter:
        time.sleep(0.02)
    seconds = next(clock) - 1
    assert seconds >= 2
    assert meter.joules == pytest.approx(100 * seconds + seconds**2 / 2)
    assert meter.told()["source"] == "x, power sampled"


def test_a_meter_can_be_used_again() -> None:
    meter = Sampled("x", 10.0, lambda: 50.0, iter([0.0, 1.0, 5.0, 7.0]).__next__)
    joules = []
    for _ in range(2):
        with meter:
            pass
        joules.append(meter.joules)
    assert joules == [50.0, 100.0]


def test_windows_are_long_against_the_interval_of_the_meter() -> None:
    rounds = []
    figures = count(0, 40)
    found = metered(lambda: rounds.append(1), Counter("x", 0.5, lambda: float(next(figures))), round_seconds=0.1)
    assert found["rounds"] == 50
    assert len(rounds) == WINDOWS * 50
    assert found["joules"] == [40 / 50] * WINDOWS


def zone(folder: Path, name: str, what: str, energy: int, most: int = 1000) -> Path:
    made = folder / name
    made.mkdir()
    (made / "name").write_text(what)
    (made / "energy_uj").write_text(str(energy))
    (made / "max_energy_range_uj").write_text(str(most))
    return made


def test_packages_are_added_up_and_what_is_inside_them_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powercap, "TREE", tmp_path)
    zones = [zone(tmp_path, f"intel-rapl:{n}", f"package-{n}", 1_000_000) for n in (0, 1)]
    zone(tmp_path, "intel-rapl:0:0", "core", 5)
    zone(tmp_path, "intel-rapl:2", "psys", 5)
    with open_device("cpu").energy() as meter:
        for n, one in enumerate(zones):
            (one / "energy_uj").write_text(str(3_000_000 + n))
    assert meter.joules == pytest.approx(4.000001)


def test_a_counter_of_a_package_that_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powercap, "TREE", tmp_path)
    zones = [zone(tmp_path, f"intel-rapl:{n}", "package-0", 9_000_000, 10_000_000) for n in (0, 1)]
    with open_device("cpu").energy() as meter:
        (zones[0] / "energy_uj").write_text("1000000")
    assert meter.joules == pytest.approx(2.0)


def test_without_a_readable_counter_the_processor_reports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powercap, "TREE", tmp_path)
    assert powercap.meter() is None
    made = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (made / "energy_uj").unlink()
    assert powercap.meter() is None


class NvmlError(Exception):
    pass


def fake_nvml(monkeypatch: pytest.MonkeyPatch, *millijoules: int) -> list[str]:
    asked: list[str] = []
    figures = iter(millijoules)

    def total(handle: str) -> int:
        found = next(figures, None)
        if found is None:
            raise NvmlError("Not Supported")
        return found

    def by_uuid(uuid: str) -> str:
        asked.append(uuid)
        return uuid

    module = SimpleNamespace(
        NVMLError=NvmlError, nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=by_uuid, nvmlDeviceGetTotalEnergyConsumption=total
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return asked


def test_nvml_counts_millijoules_of_the_very_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_nvml(monkeypatch, 0, 5_000, 7_500)
    with nvml.meter("1a2b") as meter:
        pass
    assert meter.joules == 2.5
    assert asked == ["GPU-1a2b"]


def test_a_gpu_without_a_counter_or_a_host_without_nvml_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml(monkeypatch)
    assert nvml.meter("1a2b") is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.meter("1a2b") is None


class FakeDcmi:
    """Two cards of two chips; chip c of card k draws 90 + 10 k + c watts, in tenths."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def dcmi_get_card_id_device_id_from_logicid(self, card, chip, logical) -> int:
        card._obj.value, chip._obj.value = divmod(logical.value, 2)
        return 0 if logical.value < 4 else -8001

    def dcmi_get_device_power_info(self, card, chip, power) -> int:
        power._obj.value = 10 * (90 + 10 * card.value + chip.value)
        return -8255 if self.broken else 0


def test_dcmi_tells_tenths_of_a_watt_by_logical_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcmi, "_library", FakeDcmi)
    monkeypatch.setattr(dcmi, "COMMAND", "no-such-command")
    assert dcmi._through_library(3)() == 101
    meter = dcmi.meter(3)
    assert meter.source == "DCMI, power sampled"
    assert dcmi.meter(4) is None


def test_the_library_is_initialised_and_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    dcmi._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(dcmi_init=lambda: -8005))
    assert dcmi._library() is None
    dcmi._library.cache_clear()
    monkeypatch.undo()
    assert dcmi._library() is None
    dcmi._library.cache_clear()


CARDS = """\
\tNPU ID                         Chip ID                        Chip Logic ID                  Chip Name
\t0                              0                              0                              Ascend 910B3
\t0                              1                              -                              Mcu
\t5                              0                              1                              Ascend 910B3
"""
POWER = """\
\tNPU ID                         : 5
\tChip ID                        : 0
\tPower Limit(W)                 : 400
\tNPU Real-time Power(W)         : 93.1
"""


def test_the_command_is_asked_where_the_library_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "npu-smi"
    (tmp_path / "cards").write_text(CARDS)
    (tmp_path / "power").write_text(POWER)
    command.write_text(
        f'#!/bin/sh\n[ "$*" = "info -m" ] && cat {tmp_path}/cards && exit\n'
        f'[ "$*" = "info -t power -i 5 -c 0" ] && cat {tmp_path}/power && exit\nexit 1\n'
    )
    command.chmod(0o755)
    monkeypatch.setattr(dcmi, "_library", lambda: FakeDcmi(broken=True))
    monkeypatch.setattr(dcmi, "COMMAND", str(command))
    meter = dcmi.meter(1)
    assert meter.source.endswith("npu-smi, power sampled")
    assert meter._read() == 93.1
    assert dcmi.meter(0) is None  # its power cannot be asked
    assert dcmi.meter(7) is None


@pytest.mark.parametrize(("text", "watts"), [("Power Dissipation(W)  : 67.6", 67.6), (POWER, 93.1)])
def test_either_wording_of_the_command_is_read(text: str, watts: float) -> None:
    assert dcmi._watts(text) == watts
    with pytest.raises(ValueError, match="no power"):
        dcmi._watts("Power Limit(W) : 400")


def test_an_npu_is_meant_by_the_drivers_number_and_an_emulated_one_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(dcmi, "meter", asked.append)
    device = Npu.__new__(Npu)
    device.index = 1
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "4,6")
    monkeypatch.setenv("ASSAY_EMULATOR", "0")
    device.energy()
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "")
    device.energy()
    assert asked == [6, 1]
    monkeypatch.setenv("ASSAY_EMULATOR", "1")
    assert device.energy() is None
    assert asked == [6, 1]


def test_visible_npus_are_numbers_or_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "0-3")
    assert environment.visible_npus() == []
