"""Questions to a device that need no reference: the same again, elsewhere in memory, after other values? Knows no operator and no bound.

They are asked of the candidate, around the round that is recorded:

    decoy     before it: a call on the same memory with other values in it. Whoever keeps results or operands by address answers
              with the decoy's result (vllm-project/vllm-ascend 4939).
    altered   after it: which operands no longer hold what they held.
    repeat    the call once more, after other work on the device: the same bits?
    layouts   the workload anew, its operands laid out otherwise, each in another way (see `harness.layouts`): once where there are many,
              in every rotation where there are few. An output that is not the same bits is kept under `<output>@rotation<n>`, to be
              judged as any other.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.case import Case, Step
from harness.devices import Device
from harness.inputs import Inputs
from harness.layouts import LAYOUTS

Outputs = Mapping[str, Tensor]
Arrays = dict[str, np.ndarray]

_FEW = 8  # operands, up to which every rotation is tried


def decoy(step: Step, inputs: Inputs, device: Device) -> Outputs:
    """Call `step` with each floating operand reversed and halved, put the values back, and return what it gave ({}: nothing)."""
    movable = [(placed, host) for placed, host in inputs.placed if host.is_floating_point() and _writable(placed)]
    outputs: Outputs = {}
    if not movable:  # the same call again, which could tell nothing
        return outputs
    with torch.no_grad():
        for placed, host in movable:
            placed.copy_((host * 0.5).reshape(-1).flip(0).reshape(host.shape))
    with suppress(RuntimeError, ValueError, IndexError):  # other values may be none that the operator takes
        outputs = step.call()
    device.synchronize()
    with torch.no_grad():
        for placed, host in movable:
            placed.copy_(host)
    return outputs


def _writable(tensor: Tensor) -> bool:
    return tensor.numel() > 0 and all(stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)


def altered(inputs: Inputs, device: Device) -> list[int]:
    """Return which operands (in the order in which they were given) do not hold the values that they were given."""
    return [i for i, (placed, host) in enumerate(inputs.placed) if not _same(device.to_host(placed), host)]


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())  # NaN equals NaN


def differences(first: Mapping[str, np.ndarray], again: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return for each output that is not bit for bit the same how many elements differ (-1: another shape, or it is missing)."""
    found = {}
    for name, array in first.items():
        other = again.get(name)
        if other is None or other.shape != array.shape or other.dtype != array.dtype:
            found[name] = -1
        elif array.tobytes() != other.tobytes():
            found[name] = int(np.count_nonzero((array != other) & ~((array != array) & (other != other))))
    return {name: count for name, count in found.items() if count}


def other_work(device: Device) -> None:
    """Keep the device busy with something else, and its memory in use, so that what is left behind cannot serve."""
    filling = device.place(torch.full((64, 64), 3.0))
    device.to_host(filling @ filling + 1.0)


def rotations(operands: int) -> range:
    """Return the rotations that so many operands are tried in."""
    return range(len(LAYOUTS) if operands <= _FEW else 1)


def laid_out(
    case: Case, inputs_for: Callable[[int], Inputs], arrays_of: Callable[[Outputs], Arrays], first: Arrays, operands: int
) -> tuple[Arrays, Any]:
    """Run the case with its operands in other layouts; return the outputs that are not bit for bit the first ones, and counts.

    A workload that refuses a layout has `refused` in its place, in its own words.
    """
    kept: Arrays = {}
    said: dict[str, object] = {}
    for rotation in rotations(operands):
        name = f"rotation{rotation}"
        try:
            again = arrays_of(case.workload(inputs_for(rotation), **case.params).call())
        except (RuntimeError, ValueError, IndexError) as error:
            said[name] = {"refused": " ".join(str(error).split())[:200]}
            continue
        unlike = differences(first, again)
        kept |= {f"{output}@{name}": again[output] for output in unlike if output in again}
        said[name] = {"same": len(first) - len(unlike), "other": len(unlike)}
    return kept, said
