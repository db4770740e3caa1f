"""How much of a signal is noise, layer by layer, in dB: what a number format loses, and what the device adds. Knows no format and no model.

SNR = 10 log10(sum golden^2 / sum (output - golden)^2). Two noises are told apart. The device's own is that of its quantised layers
against the same quantised layers in float64; it is judged, at most twice the reference's (6.02 dB, the ratio of `closeness`). What the
format loses is the distance from the model that is not quantised, also in float64; it is told for each side and never judged: both
sides were asked for it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.checks.closeness import RMS_RATIO, roundoff, widening
from harness.checks.evidence import Evidence
from harness.verdict import Cause, Finding, Outcome

_NOTHING = 400.0  # dB; shown where there is no noise at all


def decibels(golden: np.ndarray, output: np.ndarray) -> float:
    """Return the signal-to-noise ratio in dB, at most 400; minus infinity where the output is not finite."""
    signal, noise = (float(np.sum(np.square(np.asarray(x, np.float64)))) for x in (golden, output - golden))
    if not math.isfinite(noise) or signal == 0:
        return -math.inf
    return _NOTHING if noise == 0 else min(_NOTHING, 10 * math.log10(signal / noise))


@dataclass(frozen=True)
class SignalToNoise:
    """Outputs `<judged>/<layer>` are as near to the golden's as the reference's; what `<free>/<layer>` lose is told, by `<plain>/<layer>`.

    `plain` is an output of the golden alone.
    """

    judged: str
    free: str
    plain: str
    name: str = "signal_to_noise"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding on the layer that is nearest to its bound, in dB, and one on what the format costs in the last layer."""
        layers = self._layers(evidence, self.judged)
        if not layers or evidence.golden is None:
            return [Finding(self.name, f"{self.judged}/*", Outcome.INCOMPARABLE, message="no such output, or no float64 golden")]
        worst = min((self._layer(evidence, layer) for layer in layers), key=lambda f: (f.measured or 0.0) - (f.bound or 0.0))
        return [worst, *self._lost(evidence)]

    def told(self, evidence: Evidence, /) -> Mapping[str, Any]:
        """Return `snr`: by layer, in dB, [device, reference] against the same format, and `snr/format` against the model without it."""
        if evidence.golden is None:
            return {}
        both = (evidence.candidate, evidence.reference)
        found: dict[str, Any] = {}
        for name, kind, right in (("snr", self.judged, self.judged), ("snr/format", self.free, self.plain)):
            layers = self._layers(evidence, kind)
            golden = evidence.golden.tensors
            if all(f"{right}/{n}" in golden and f"{kind}/{n}" in side.tensors for n in layers for side in both):
                values = [[decibels(golden[f"{right}/{n}"], side.tensors[f"{kind}/{n}"]) for side in both] for n in layers]
                found[name] = [[n, *(round(max(v, -_NOTHING), 2) for v in pair)] for n, pair in zip(layers, values, strict=True)]
        return found

    def _layers(self, evidence: Evidence, kind: str) -> list[str]:
        return [name.removeprefix(f"{kind}/") for name in evidence.floating((f"{kind}/*",))]

    def _layer(self, evidence: Evidence, layer: str) -> Finding:
        output = f"{self.judged}/{layer}"
        sides = evidence.sides(output)
        if isinstance(sides, str):
            return Finding(self.name, output, Outcome.INCOMPARABLE, -math.inf, message=sides)
        if not sides.one_shape():
            return Finding(self.name, output, Outcome.FAIL, -math.inf, message="another shape than the golden's", cause=Cause.FORM)
        ours, theirs = decibels(sides.golden, sides.candidate), decibels(sides.golden, sides.reference)
        wide = widening(max(sides.golden.size, 10))
        least = -20 * math.log10(2 * roundoff(evidence, output).floor / math.sqrt(3))  # what a faithfully rounded result has
        allowed = min(theirs - 20 * math.log10(RMS_RATIO), least) - 20 * math.log10(wide)
        text = "" if ours >= allowed else f"{ours:.1f} dB, at least {allowed:.1f} dB are asked for (the reference device: {theirs:.1f} dB)"
        outcome = Outcome.PASS if ours >= allowed else Outcome.FAIL
        if outcome is Outcome.PASS and allowed < -20 * math.log10(0.5):
            outcome, text = Outcome.MISTRUSTED, f"{allowed:.1f} dB are asked for, half of the signal; nothing could have failed"
        return Finding(self.name, output, outcome, ours, allowed, "dB", theirs, where=f"layer {layer}", message=text)

    def _lost(self, evidence: Evidence) -> list[Finding]:
        rows = self.told(evidence).get("snr/format", [])
        if not rows:
            return []
        layer, ours, theirs = rows[-1]
        text = "against the model that is not quantised, in the last layer; told, not judged"
        return [Finding(self.name, "format", Outcome.PASS, ours, None, "dB", theirs, where=f"layer {layer}", message=text)]
