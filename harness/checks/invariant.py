"""Does a property hold that needs no reference? Judges the candidate's outputs against each other alone. Knows no model and no property.

A workload says by the names of its outputs what must hold of them:

    left/<x>, right/<x>               two ways to the same numbers: they agree up to rounding
    addends/<x>                       (beside them) each is a sum of so many terms, which may cancel
    exact_left/<x>, exact_right/<x>   the same operations on the same numbers: the same bits
    zero/<x>, scale/<x>               sums whose terms, of size `scale`, cancel: zero up to rounding
    low/<x>, high/<x>                 low <= high, element by element, with nothing tolerated
    present/<x>                       not zero
    signal/<x>                        what would have moved, had the property been broken; zero means that nothing was asked

The bound. Along one way from the inputs to an output lie `terms` roundings (the workload counts them: the lengths of all sums that follow
upon each other; `details["terms"]`). Each is a relative error of at most u, of random sign; together they amount to u sqrt(terms / 3) (the
probabilistic bound of Higham and Mary, SIAM J. Sci. Comput. 41, 2019), and to sqrt(2) times that for the difference of two ways. Norms
and exponentials enlarge what they are given; 2.5 times is allowed for all of that, so that

    rms(left - right) <= 2 u sqrt(terms) rms(right),     worst |left - right| / (|right| + rms(right)) <= 5 times that

(2 = 2.5 sqrt(2 / 3) rounded; a normal error exceeds 5 standard deviations once in 1.7 million elements). In float32 two ways through
a model of 2000 roundings may differ by 5e-6. A sum of n terms may cancel, to no less than a typical one of them as a rule; its relative
error is then sqrt(n) times as large. u is that of the case's dtype.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.checks.closeness import UNIT_ROUNDOFF
from harness.checks.evidence import Evidence
from harness.verdict import Cause, Finding, Outcome

_GROWTH = 2.0
_WORST = 5.0
_BLUNT = 0.1  # a bound that is this share of the signal would let a wrong formula pass

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Invariant:
    """What the outputs' names say holds. `cause` is what is probably wrong where it does not: a property is narrow enough to say so."""

    cause: Cause = Cause.VALUES
    name: str = "invariant"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding for each statement; one that nothing was stated, as `mistrusted`."""
        arrays = evidence.candidate.tensors
        unit = max(UNIT_ROUNDOFF.get(evidence.case.dtype, 0.0), 2.0**-53)
        allowed = _GROWTH * unit * math.sqrt(int(str(evidence.candidate.details.get("terms", 1))))
        findings = []
        for output in sorted(arrays):
            kind, _, subject = output.partition("/")
            match kind:
                case "left":
                    bound = allowed * math.sqrt(int(np.max(arrays.get(f"addends/{subject}", np.ones(1)))))
                    findings.append(self._agree(subject, arrays[output], arrays[f"right/{subject}"], bound, unit))
                case "exact_left":
                    signal = arrays.get(f"signal/{subject}")
                    findings.append(self._exact(subject, arrays[output], arrays[f"exact_right/{subject}"], signal))
                case "zero":
                    findings.append(self._zero(subject, arrays[output], arrays[f"scale/{subject}"], allowed, unit))
                case "low":
                    findings.append(self._ordered(subject, arrays[output], arrays[f"high/{subject}"]))
                case "present":
                    findings.append(self._present(subject, arrays[output]))
                case "signal" if not _moves(arrays[output]):
                    text = "nothing would have moved had the property been broken"
                    findings.append(Finding(self.name, subject, Outcome.MISTRUSTED, message=text))
        if not findings:
            return [Finding(self.name, "all", Outcome.MISTRUSTED, message="the workload states nothing")]
        return findings

    def _agree(self, subject: str, left: np.ndarray, right: np.ndarray, allowed: float, unit: float) -> Finding:
        if wrong := self._misfit(subject, left, right):
            return wrong
        a, b = left.astype(np.float64), right.astype(np.float64)
        size = math.sqrt(np.mean(b * b))
        if size == 0:
            return self._says_nothing(subject, "both sides are zero" if not a.any() else "the right side is zero")
        error = np.abs(a - b)
        share = error / (np.abs(b) + size)
        rms, at = math.sqrt(np.mean(error * error)) / size, int(np.argmax(share))
        worst = float(share.flat[at])
        over, bound = (rms, allowed) if rms / allowed >= worst / (_WORST * allowed) else (worst, _WORST * allowed)
        return self._against(subject, over, bound, unit, _index(at, b), "the two ways differ by")

    def _zero(self, subject: str, value: np.ndarray, scale: np.ndarray, allowed: float, unit: float) -> Finding:
        if not (np.isfinite(value).all() and np.isfinite(scale).all()):
            return self._not_finite(subject)
        size = math.sqrt(np.mean(scale.astype(np.float64) ** 2)) if scale.size else 0.0
        if size == 0 or not value.size:
            return self._says_nothing(subject, "the terms are zero themselves")
        share = np.abs(value.astype(np.float64)) / size
        rms, at = math.sqrt(np.mean(share * share)), int(np.argmax(share))
        worst = float(share.flat[at])
        over, bound = (rms, allowed) if rms >= worst / _WORST else (worst, _WORST * allowed)
        return self._against(subject, over, bound, unit, _index(at, value), "what should cancel amounts to")

    def _against(self, subject: str, measured: float, bound: float, unit: float, where: str, what: str) -> Finding:
        outcome, text, cause = Outcome.PASS, "", None
        if not measured <= bound:
            outcome, cause = Outcome.FAIL, self.cause
            text = f"{what} {measured:.3g} of the signal; rounding explains {bound:.3g}"
        elif bound >= _BLUNT:
            outcome, text = Outcome.MISTRUSTED, f"the bound is {bound:.0%} of the signal"
        return Finding(self.name, subject, outcome, measured / unit, bound / unit, "u", where=where, message=text, cause=cause)

    def _exact(self, subject: str, left: np.ndarray, right: np.ndarray, signal: np.ndarray | None) -> Finding:
        if wrong := self._misfit(subject, left, right):
            return wrong
        if not right.any() and signal is None:
            return self._says_nothing(subject, "it is all zero, and nothing says that it need not be")
        unlike = left != right  # of -0 and 0 nobody can tell
        count = int(np.count_nonzero(unlike))
        if not count:
            return Finding(self.name, subject, Outcome.PASS, 0.0, 0.0, "elements")
        at = int(np.flatnonzero(unlike)[0])
        text = f"{count} of {left.size} elements are not the same; the first is {left.flat[at]!s} against {right.flat[at]!s}"
        figures = (float(count), 0.0, "elements")
        return Finding(self.name, subject, Outcome.FAIL, *figures, where=_index(at, left), message=text, cause=self.cause)

    def _ordered(self, subject: str, low: np.ndarray, high: np.ndarray) -> Finding:
        if wrong := self._misfit(subject, low, high):
            return wrong
        over = ~(low <= high)
        count = int(np.count_nonzero(over))
        if not count:
            return Finding(self.name, subject, Outcome.PASS, 0.0, 0.0, "elements")
        at = int(np.flatnonzero(over)[0])
        text = f"{count} of {low.size} elements are out of bounds; the first: {low.flat[at]!s} is above {high.flat[at]!s}"
        figures = (float(count), 0.0, "elements")
        return Finding(self.name, subject, Outcome.FAIL, *figures, where=_index(at, low), message=text, cause=self.cause)

    def _present(self, subject: str, value: np.ndarray) -> Finding:
        if not np.isfinite(value).all():
            return self._not_finite(subject)
        if np.any(value):
            return Finding(self.name, subject, Outcome.PASS)
        return Finding(self.name, subject, Outcome.FAIL, message="it is zero, and must not be", cause=self.cause)

    def _misfit(self, subject: str, left: np.ndarray, right: np.ndarray) -> Finding | None:
        """Return why two sides cannot be compared: another shape or dtype, no element, NaN or infinity."""
        if left.shape != right.shape or left.dtype != right.dtype:
            text = f"{left.dtype} of shape {left.shape} against {right.dtype} of shape {right.shape}"
            return Finding(self.name, subject, Outcome.FAIL, message=text, cause=Cause.FORM)
        if not left.size:
            return self._says_nothing(subject, "there is no element")
        if left.dtype.kind == "f" and not (np.isfinite(left).all() and np.isfinite(right).all()):
            return self._not_finite(subject)
        return None

    def _not_finite(self, subject: str) -> Finding:
        return Finding(self.name, subject, Outcome.FAIL, message="NaN or infinity, where every number is finite", cause=Cause.SPECIAL)

    def _says_nothing(self, subject: str, why: str) -> Finding:
        return Finding(self.name, subject, Outcome.MISTRUSTED, message=f"an agreement says nothing: {why}")


def _moves(signal: np.ndarray) -> bool:
    return bool(np.any(signal) and np.isfinite(signal).all())


def _index(at: int, array: np.ndarray) -> str:
    return f"index {[int(i) for i in np.unravel_index(at, array.shape)]}" if array.ndim else ""
