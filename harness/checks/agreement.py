"""Do two ways to the same figures agree on the candidate, as well as they do on the reference device? Knows no model.

No golden is needed, and the two devices need not have figures of the same things: each device is compared with itself. This is how
log-probabilities at rollout time stand to those at training time, whose difference makes on-policy training off policy.
"""

import math
from dataclasses import dataclass

import numpy as np

from harness.checks.closeness import RMS_RATIO, WORST_RATIO, roundoff, widening
from harness.checks.evidence import Evidence
from harness.recording import Recording
from harness.verdict import Finding, Outcome


@dataclass(frozen=True)
class Agreement:
    """`one` and `other` (log-probabilities in nats, of one shape) differ by no more than the reference device's, or their own roundoff.

    `one` is at rollout time, `other` at training time. A difference is absolute: of log-probabilities it is the relative error of
    the importance ratio. The floor is a roundoff of the figures' own dtype, of their size.
    """

    one: str
    other: str
    name: str = "agreement"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding on the rms and one on the largest of the differences, in u; the first tells k3 and multiplicative error."""
        subject = f"{self.one} and {self.other}"
        for side, recording in (("candidate", evidence.candidate), ("reference", evidence.reference)):
            if lacking := {self.one, self.other} - recording.tensors.keys():
                return [Finding(self.name, subject, Outcome.INCOMPARABLE, message=f"the {side} has no output {min(lacking)!r}")]
        ours, theirs = self._apart(evidence.candidate), self._apart(evidence.reference)
        if not ours.size or not np.isfinite(theirs).all():
            return [Finding(self.name, subject, Outcome.INCOMPARABLE, message="the reference's own figures are empty or not finite")]
        u, size = roundoff(evidence, self.one), np.abs(evidence.reference.tensors[self.one].astype(np.float64))
        told = f"k3 {_k3(ours):.3g} nats (the reference device: {_k3(theirs):.3g}), multiplicative error {_factor(ours):.9g}"
        rows = (
            ("rms", _rms(ours), _rms(theirs), max(RMS_RATIO * _rms(theirs), 2 / math.sqrt(3) * u.floor * _rms(size)), ours.size, told),
            ("worst", _largest(ours), _largest(theirs), max(WORST_RATIO * _largest(theirs), 2 * u.floor * _largest(size)), 0, ""),
        )
        findings = []
        for metric, measured, accepted, least, count, text in rows:
            bound = least * (widening(max(count, 10)) if count else 1)
            outcome = Outcome.PASS if measured <= bound else Outcome.FAIL
            if outcome is Outcome.FAIL:
                text = f"they differ by {measured:.3g}, allowed {bound:.3g} (the reference device: {accepted:.3g}). {text}".strip()
            figures = (measured / u.unit, bound / u.unit, "u", accepted / u.unit)
            findings.append(Finding(self.name, f"{subject} {metric}", outcome, *figures, message=text))
        return findings

    def _apart(self, recording: Recording) -> np.ndarray:
        one, other = (np.asarray(recording.tensors[name], dtype=np.float64) for name in (self.one, self.other))
        return other - one if one.shape == other.shape else np.full(1, np.nan)


def _rms(values: np.ndarray) -> float:
    return math.sqrt(float(np.mean(np.square(values))))


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values)))


def _k3(apart: np.ndarray) -> float:
    """Return the mean of r - 1 - log r, r the ratio p_train / p_rollout (Schulman, Approximating KL divergence, 2020)."""
    return float(np.mean(np.expm1(apart) - apart))


def _factor(apart: np.ndarray) -> float:
    """Return the mean factor by which the probabilities of a token differ: exp |log p_train - log p_rollout|, 1 where they are equal."""
    return float(np.mean(np.exp(np.abs(apart))))
