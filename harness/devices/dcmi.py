"""What an Ascend NPU tells of its power: DCMI, the driver's own library, or its command npu-smi. It has no counter of energy. Knows no
case.

The power is that of a chip where the driver knows it by chip, and may be that of its card. A device is meant by its logical number, that of
the driver.
"""

import ctypes
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from harness.devices.energy import Sampled

LIBRARY = "libdcmi.so"
COMMAND = "npu-smi"

_OFTEN, _SELDOM = 0.05, 0.5  # seconds between samples: a call into the library, and a process


def meter(logical: int) -> Sampled | None:
    """Return a meter of the device of that logical number; None where neither library nor command tell its power."""
    for source, interval, read in (("DCMI", _OFTEN, _through_library(logical)), (COMMAND, _SELDOM, _through_command(logical))):
        if read is not None:
            with suppress(OSError, ValueError):
                read()
                return Sampled(source, interval, read)
    return None


@cache
def _library() -> ctypes.CDLL | None:
    with suppress(OSError):
        library = ctypes.CDLL(LIBRARY)
        return library if library.dcmi_init() == 0 else None
    return None


def _through_library(logical: int) -> Callable[[], float] | None:
    """Return what reads watts; None where the library is absent or knows no such device."""
    library = _library()
    if library is None or not hasattr(library, "dcmi_get_device_power_info"):
        return None
    card, chip = ctypes.c_int(), ctypes.c_int()
    if library.dcmi_get_card_id_device_id_from_logicid(ctypes.byref(card), ctypes.byref(chip), ctypes.c_uint(logical)):
        return None

    def read() -> float:
        power = ctypes.c_int()
        if code := library.dcmi_get_device_power_info(card, chip, ctypes.byref(power)):
            raise OSError(f"dcmi_get_device_power_info: {code}")
        return power.value / 10  # from tenths of a watt

    return read


def _through_command(logical: int) -> Callable[[], float] | None:
    """Return what reads watts; None where the command is absent or knows no such device."""
    with suppress(OSError, ValueError):
        place = next((row[:2] for row in _rows() if row[2:3] == [str(logical)]), None)
        if place is not None:
            return lambda: _watts(_asked("-t", "power", "-i", place[0], "-c", place[1]))
    return None


def _rows() -> list[list[str]]:
    """Return the table of chips: card, chip, logical number ("-" of a controller), name."""
    return [line.split() for line in _asked("-m").splitlines()]


def _asked(*words: str) -> str:
    try:
        done = subprocess.run([COMMAND, "info", *words], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{COMMAND} does not answer") from error
    if done.returncode:
        raise OSError(f"{COMMAND} info {' '.join(words)}: exit status {done.returncode}")
    return done.stdout


def _watts(text: str) -> float:
    """Return the first power of "NPU Real-time Power(W) : 93.1" or "Power Dissipation(W) : 67.6". Raises ValueError where there is none."""
    match = re.search(r"^(?!.*[Ll]imit).*[Pp]ower.*\(W\)\s*:\s*([\d.]+)\s*$", text, re.MULTILINE)
    if match is None:
        raise ValueError(f"no power in {text[:80]!r}")
    return float(match[1])
