"""Run a case on a device, in this process, and say what happened. Knows no file, no reference and no suite.

Every round is synchronized on every device; there is no path without it.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.case import Case, Step
from harness.devices import Device
from harness.inputs import Inputs
from harness.recording import Recording, Status

#: Runs a round so often (after so many that do not count) and returns the seconds of each that counts.
Stopwatch = Callable[[Callable[[], None], int, int], list[float]]

_NARROW = (torch.bfloat16, torch.float16)


@dataclass
class _Kept:
    """What the rounds returned: device tensors, not yet copied, so that keeping them costs nothing while the clock runs."""

    step: Step
    progress: Callable[[int], None] | None
    first: Mapping[str, Tensor] = field(default_factory=dict)
    series: dict[str, list[Tensor]] = field(default_factory=dict)
    rounds: int = 0

    def round(self) -> None:
        outputs = self.step.call()
        if self.rounds == 0:
            self.first = {name: value for name, value in outputs.items() if name not in self.step.series}
        for name in self.step.series:
            self.series.setdefault(name, []).append(outputs[name])
        self.rounds += 1
        if self.progress:
            self.progress(self.rounds)

    def outputs(self) -> dict[str, Tensor]:
        last = self.step.finish() if self.step.finish else {}
        return {**self.first, **last, **{name: torch.stack(values) for name, values in self.series.items()}}


def measure(
    case: Case,
    device: Device,
    *,
    environment: str = "",
    golden: bool = False,
    stopwatch: Stopwatch | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Recording, dict[str, np.ndarray]]:
    """Return the recording, not yet written, and its arrays. Never raises for what the case does; the status says it.

    `golden` evaluates in float64 on `device` (the CPU). `stopwatch` defaults to the device's own timer; `progress` is called
    with the number of finished rounds.
    """
    inputs = Inputs(case.seed, getattr(torch, case.dtype), device.place, device.torch_device, golden)
    blank = Recording(case.definition(), case.key(), case.area, device.name, environment, Status.OK, golden=golden, inputs=inputs.digests)
    try:
        return _run(case, device, inputs, blank, stopwatch or device_stopwatch(device), progress)
    except Exception as error:  # the one broad except of the house: whatever a case does becomes its status
        return replace(blank, status=_status(device, error), message=_one_line(error)), {}
    finally:
        device.empty_cache()


def _run(
    case: Case, device: Device, inputs: Inputs, blank: Recording, stopwatch: Stopwatch, progress: Callable[[int], None] | None
) -> tuple[Recording, dict[str, np.ndarray]]:
    device.deterministic(True)
    device.seed(case.seed)
    begun = time.perf_counter()
    step = case.workload(inputs, **case.params)
    device.synchronize()
    setup = time.perf_counter() - begun
    device.reset_peak_memory()
    kept = _Kept(step, progress)
    seconds = stopwatch(kept.round, case.rounds, 0 if inputs.golden else case.warmup)
    memory = device.memory().to_json()
    arrays, dtypes = _to_arrays(device, kept.outputs())
    details = dict(step.details()) if step.details else {}
    recording = replace(blank, seconds=tuple(seconds), setup_seconds=setup, work=step.work, unit=step.unit)
    return replace(recording, memory=memory, details=details, dtypes=dtypes, series=step.series), arrays


def device_stopwatch(device: Device) -> Stopwatch:
    """Return a stopwatch on the device's own timer (device events where it has them)."""

    def run(one_round: Callable[[], None], rounds: int, warmup: int) -> list[float]:
        for _ in range(warmup):
            one_round()
        seconds = []
        for _ in range(rounds):
            with device.timer() as timer:
                one_round()
            seconds.append(timer.seconds)
        return seconds

    return run


def _to_arrays(device: Device, outputs: Mapping[str, Tensor]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Bring outputs to the host as numpy arrays (bfloat16 and float16 widened, exactly), with the names of their dtypes."""
    arrays, dtypes = {}, {}
    for name, tensor in outputs.items():
        host = device.to_host(tensor.detach())
        dtypes[name] = str(tensor.dtype).removeprefix("torch.")
        arrays[name] = (host.float() if host.dtype in _NARROW else host).numpy()
    return arrays, dtypes


def _status(device: Device, error: Exception) -> Status:
    if device.out_of_memory(error):
        return Status.OUT_OF_MEMORY
    return Status.UNSUPPORTED if device.unsupported(error) else Status.ERROR


def _one_line(error: Exception) -> str:
    """Say what was raised, in the words of whoever raised it, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:500]}{place}"
