"""How far each module's output lies from float64 when both sides run freely: where a divergence begins, and how it grows.

Knows no operator. Of each output some thousand elements are kept, the same on every side, so that a large model costs little.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from harness.case import Case
from harness.checks.closeness import UNIT_ROUNDOFF
from harness.devices.device import Device
from harness.localise.arguments import tensors_in
from harness.localise.running import set_up
from harness.localise.whereabouts import Whereabouts

_SAMPLE = 4096  # elements of an output that are kept
_OUTPUTS = 4000  # module calls that are kept
_ROWS = 48  # rows of the table, the outermost modules first

Outputs = Mapping[tuple[str, int], Tensor]


class Tap:
    """While entered, keeps a float64 sample of every module's first floating output, by path and number of the call."""

    def __init__(self) -> None:
        self.outputs: dict[tuple[str, int], Tensor] = {}
        self._where = Whereabouts()
        self._calls: dict[str, int] = {}
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._handle = register_module_forward_hook(self._keep)  # before that of the whereabouts, which leaves the module
        self._where.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._where.__exit__(*raised)
        self._handle.remove()

    def _keep(self, module: nn.Module, _: Any, output: Any) -> None:
        path = self._where.path()
        number = self._calls[path] = self._calls.get(path, -1) + 1
        found = next((t for t in tensors_in(output) if t.is_floating_point() and t.numel()), None)
        if found is not None and len(self.outputs) < _OUTPUTS:
            flat = found.detach().reshape(-1)
            sample = flat[:: max(1, flat.numel() // _SAMPLE)]
            self.outputs[path, number] = sample.to("cpu").double()


@dataclass(frozen=True)
class Row:
    """One module's output, all its calls together: relative rms distances in u of the case's dtype; None without a float64 run."""

    path: str
    calls: int
    candidate: float | None
    reference: float | None
    between: float


def freely(case: Case, device: Device, golden: bool = False) -> Outputs:
    """Run one round of a case on a device and return what its modules gave."""
    step = set_up(case, device, golden)
    with Tap() as tap:
        step.call()
    return tap.outputs


def growth(case: Case, candidate: Device, reference: Device, host: Device, deadline: float) -> list[Row]:
    """Return a row for each module in order of its first call; no more than some dozens, the outermost ones.

    The float64 run is left out where it would probably not end before `deadline` (seconds of `time.monotonic`).
    """
    begun = time.monotonic()
    theirs = freely(case, reference)
    if not theirs:
        return []
    ours = freely(case, candidate)
    left = deadline - time.monotonic()
    exact = freely(case, host, golden=True) if case.golden and left > 2 * (time.monotonic() - begun) else {}
    return table(ours, theirs, exact, UNIT_ROUNDOFF[case.dtype])


def table(ours: Outputs, theirs: Outputs, exact: Outputs, unit: float) -> list[Row]:
    """Return the rows for the outputs that both sides have; the outermost modules if there are many."""
    paths: dict[str, list[int]] = {}
    for path, number in theirs:
        if (path, number) in ours and ours[path, number].shape == theirs[path, number].shape:
            paths.setdefault(path, []).append(number)
    shown = list(paths)
    while len(shown) > _ROWS and (deepest := max(path.count(".") for path in shown)):
        shown = [path for path in shown if path.count(".") < deepest]
    return [_row(path, paths[path], ours, theirs, exact, unit) for path in shown[: 2 * _ROWS]]


def _row(path: str, numbers: list[int], ours: Outputs, theirs: Outputs, exact: Outputs, unit: float) -> Row:
    a, b = (torch.cat([side[path, n] for n in numbers]) for side in (ours, theirs))
    have = all((path, n) in exact and exact[path, n].shape == ours[path, n].shape for n in numbers)
    if not have:
        return Row(path, len(numbers), None, None, _distance(a, b, unit))
    g = torch.cat([exact[path, n] for n in numbers])
    return Row(path, len(numbers), _distance(a, g, unit), _distance(b, g, unit), _distance(a, b, unit))


def _distance(a: Tensor, b: Tensor, unit: float) -> float:
    """Return the root mean square of a - b relative to that of b, in u; elements that are the same infinity on both are equal."""
    difference = torch.where(a == b, 0.0, a - b)
    size = float(torch.linalg.vector_norm(torch.where(b.isfinite(), b, 0.0)))
    return float(torch.linalg.vector_norm(difference)) / (size or 1.0) / unit
