"""Run a case on a device, in this process, and say what happened. Knows no file, no reference and no suite.

Every round is synchronized on every device; there is no path without it.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.case import Case, Step
from harness.chain import Chain
from harness.devices import Device
from harness.forms import form
from harness.inputs import Inputs
from harness.manner import Manner
from harness.probes import altered, decoy, differences, laid_out, other_work
from harness.recording import Recording, Status
from harness.rounds import Rounds

#: Runs a round so often, or as often as it sees fit, and returns the seconds of each.
Stopwatch = Callable[[Callable[[], None], int], Rounds]

_BLOCK = 256  # steps whose values are kept one by one
_NARROW = (torch.bfloat16, torch.float16)


@dataclass
class _Kept:
    """What the first `most` rounds returned: device tensors, not yet copied, so that keeping them costs nothing while the clock runs."""

    step: Step
    progress: Callable[[int], None] | None
    most: int
    first: Mapping[str, Tensor] = field(default_factory=dict)
    series: dict[str, list[Tensor]] = field(default_factory=dict)
    blocks: dict[str, list[Tensor]] = field(default_factory=dict)
    rounds: int = 0

    def round(self) -> None:
        outputs = self.step.call()
        if self.rounds == 0:
            self.first = {name: value for name, value in outputs.items() if name not in self.step.series}
        for name in self.step.series if self.rounds < self.most else ():
            if name in outputs:  # or else `finish` returns it whole
                self._keep(name, outputs[name])
        self.rounds += 1
        if self.progress:
            self.progress(self.rounds)

    def _keep(self, name: str, value: Tensor) -> None:
        """Add a step's value; so many of them become one tensor, because a tensor object costs a hundred times its single figure."""
        loose = self.series.setdefault(name, [])
        loose.append(value)
        if len(loose) == _BLOCK:
            self.blocks.setdefault(name, []).append(torch.stack(loose))
            loose.clear()

    def _whole(self, name: str) -> Tensor:
        loose = self.series[name]
        return torch.cat([*self.blocks.get(name, []), *([torch.stack(loose)] if loose else [])])

    def outputs(self) -> dict[str, Tensor]:
        last = self.step.finish() if self.step.finish else {}
        found = {**self.first, **last, **{name: self._whole(name) for name in self.series}}
        if missing := [name for name in self.step.series if name not in found]:
            raise KeyError(f"the step returned no series {missing[0]!r}")
        return found


def measure(
    case: Case,
    device: Device,
    *,
    environment: str = "",
    manner: Manner = Manner.PLAIN,
    stopwatch: Stopwatch | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Recording, dict[str, np.ndarray]]:
    """Return the recording, not yet written, and its arrays. Never raises for what the case does; the status says it.

    In an exact `manner` it is evaluated in float64 on `device` (the CPU). `stopwatch` defaults to the device's own timer;
    `progress` is called with the number of finished rounds.
    """
    inputs = _inputs(case, device, manner)
    blank = Recording(
        case.definition(), case.key(), case.area, device.name, environment, Status.OK, golden=manner.exact, inputs=inputs.digests
    )
    try:
        with form(manner) if case.probed else nullcontext() as entered:
            recording, arrays = _run(case, device, inputs, blank, stopwatch or device_stopwatch(device), progress, manner)
        if isinstance(entered, Chain):
            recording = replace(recording, details={**recording.details, "chain": entered.longest})
        return recording, arrays
    except Exception as error:  # the one broad except of the house: whatever a case does becomes its status
        return replace(blank, status=_status(device, error), message=_one_line(error)), {}
    finally:
        device.empty_cache()


def _inputs(case: Case, device: Device, manner: Manner, rotation: int | None = None) -> Inputs:
    dtype = getattr(torch, case.dtype)
    return Inputs(
        case.seed, dtype, device.place, device.torch_device, manner.exact, device.fused, moved=manner.moved, rotation=rotation,
        allocated=lambda: device.memory().allocated, engine=device.engine, room=lambda: _room(device),
    )  # fmt: skip


def _room(device: Device) -> tuple[int, int]:
    """Return the bytes that were in use at most since this was last asked, or since rounds began, and those that there are."""
    peak = device.memory().peak
    device.reset_peak_memory()
    return peak, device.memory_bytes()


def _run(
    case: Case,
    device: Device,
    inputs: Inputs,
    blank: Recording,
    stopwatch: Stopwatch,
    progress: Callable[[int], None] | None,
    manner: Manner,
) -> tuple[Recording, dict[str, np.ndarray]]:
    device.deterministic(True)
    device.seed(case.seed)
    begun = time.perf_counter()
    step = case.workload(inputs, **case.params)
    device.synchronize()
    setup = time.perf_counter() - begun
    probed = manner is Manner.PROBED and case.probed
    misled = decoy(step, inputs, device) if probed else {}
    device.seed(case.seed)
    device.reset_peak_memory()
    kept = _Kept(step, progress, case.rounds)
    taken = stopwatch(kept.round, case.rounds)
    memory = device.memory().to_json() if taken.memory is None else taken.memory
    arrays, dtypes = _to_arrays(device, kept.outputs())
    details = {**(step.details() if step.details else {}), **({"timing": taken.told()} if taken.facts else {})}
    if case.probed and not manner.exact:
        details["altered"] = altered(inputs, device)
    if probed:
        again, details["probes"] = _probe(case, device, step, misled, arrays, len(inputs.placed))
        dtypes |= {name: dtypes[name.partition("@")[0]] for name in again}
        arrays |= again
    recording = replace(blank, seconds=taken.seconds if step.timed else (), setup_seconds=setup, work=step.work, unit=step.unit)
    return replace(recording, memory=memory, details=details, dtypes=dtypes, series=step.series), arrays


def _probe(
    case: Case, device: Device, step: Step, misled: Mapping[str, Tensor], arrays: dict[str, np.ndarray], operands: int
) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Ask the questions that follow the recorded round; return outputs in other layouts, and what was found."""

    def host(outputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        return _to_arrays(device, outputs)[0]

    first = {name: array for name, array in arrays.items() if name not in step.series}
    before = host(misled)
    stale = [name for name in before if name in first and not differences({name: first[name]}, before)]
    other_work(device)
    unsteady = differences(first, host(step.call())) if step.finish is None else {}
    again, layouts = laid_out(case, lambda rotation: _inputs(case, device, Manner.PLAIN, rotation), host, first, operands)
    stale = [name for name in stale if f"{name}@rotation0" in again or "refused" in layouts["rotation0"]]
    return again, {"stale": stale, "unsteady": unsteady, "layouts": layouts}


def device_stopwatch(device: Device) -> Stopwatch:
    """Return a stopwatch on the device's own timer (device events where it has them)."""

    def run(one_round: Callable[[], None], rounds: int) -> Rounds:
        seconds = []
        for _ in range(rounds):
            with device.timer() as timer:
                one_round()
            seconds.append(timer.seconds)
        return Rounds(tuple(seconds))

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
