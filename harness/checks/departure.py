"""Where a training run leaves its band: step, layer, parameter, forward or backward. Knows no model but for the names of its parameters.

Within one step things happen in this order: the loss is computed, its gradients, the update. What leaves the band first is to blame. A
gradient that is wrong spoils those of all layers before its own, towards the input, so of the parameters that leave at that step the one
nearest to the loss is named.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.checks.band import Band
from harness.verdict import Cause

_ORDER = (("loss", Cause.FORWARD), ("grad_norms", Cause.GRADIENT), ("grad_norm", Cause.GRADIENT), ("update_norm", Cause.UPDATE))
_WORDS = {Cause.FORWARD: "forward", Cause.GRADIENT: "backward", Cause.UPDATE: "in the optimizer"}
_HINTS = {Cause.FORWARD: "grad_norms", Cause.UPDATE: "update_norms"}
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")


@dataclass(frozen=True)
class Departure:
    """The first step (from 0) at which something is out of its band, in which part of a step, and at which parameter, if that is known."""

    step: int
    part: Cause
    parameter: str = ""

    def where(self, steps: int) -> str:
        """Say it in one line; a layer is named where the parameter's name has its number."""
        layer = layer_of(self.parameter)
        place = f", {layer}" if layer != self.parameter else ""
        return f"first at step {self.step} of {steps}, {_WORDS[self.part]}" + (f"{place}, {self.parameter}" if self.parameter else "")


def layer_of(parameter: str) -> str:
    """Return "layer 3" for a parameter of that layer; a parameter outside all layers is its own."""
    found = _LAYER.search(parameter)
    return f"layer {found[1]}" if found else parameter


def departure(series: Mapping[str, np.ndarray], bands: Mapping[str, Band], parameters: Sequence[str]) -> Departure | None:
    """Return where the candidate's `series` first leave their `bands`; None where they never do.

    Looked at are "loss", "grad_norm", "update_norm" and, [steps, parameters], "grad_norms", as far as there are. `parameters` are in the
    order in which the model runs forward. Of a loss that leaves before any gradient, the parameter named is the one whose gradient is
    farthest out at that step, of an update the one whose own norm ("update_norms") is: only a hint, because either reaches them all.
    """
    first: Departure | None = None
    for name, part in _ORDER:
        found = bands[name].first_outside(series[name]) if name in bands else None
        if found and (first is None or found[0] < first.step):
            step, columns = found
            nearest = parameters[int(columns[-1])] if columns.size and len(parameters) > columns[-1] else ""
            first = Departure(step, part, nearest)
    hint = _HINTS.get(first.part, "") if first else ""
    if first and hint in bands and parameters:
        norms = bands[hint]
        share = norms.off(series[hint])[first.step] / np.maximum(norms.allowed[first.step], np.finfo(float).tiny)
        first = Departure(first.step, first.part, parameters[int(np.argmax(share))] if share.max() > 1 else "")
    return first
