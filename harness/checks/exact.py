"""Are integers and booleans exactly right? Knows no operator.

The golden says what is right, or the reference device. A golden of real numbers for an integer output is the value
before it was rounded (quantisation): then an integer is right if it is nearest, or next to nearest where the value lies so near to
a tie that its own roundoff decides. That is the CANN standard's |e| <= 1 of float to integer (cann/opbase), confined to where it is due.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from harness.checks.closeness import UNIT_ROUNDOFF
from harness.checks.errors import Output
from harness.checks.evidence import MANY, Evidence, plain_name, told_of
from harness.checks.structure import cause_of
from harness.recording import Recording
from harness.verdict import Cause, Finding, Outcome

_ROUNDINGS = 4  # operations that led to the value: dequantise, scale, shift, and one more
_NARROWEST = 2.0**-8  # bfloat16: the coarsest real numbers that integers may have been taken through
_COARSEST = 2.0**-11  # bfloat16 is a type to store in: values are computed in float16 or wider


@dataclass(frozen=True)
class Exact:
    """Every integer or boolean output equals the golden's; patterns other than "*" name floating outputs too (0 equals -0, NaN NaN)."""

    only: tuple[str, ...] = ("*",)
    name: str = "exact"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding an output; one for all, the worst, where there are more than sixteen."""
        findings = [self._one(evidence, output) for output in sorted(evidence.candidate.tensors) if self._concerns(evidence, output)]
        if len(findings) <= MANY:
            return findings
        wrong = [finding for finding in findings if finding.outcome is not Outcome.PASS]
        if wrong:
            return wrong[:MANY]
        return [Finding(self.name, "all", Outcome.PASS, 0.0, 0.0, "elements", message=f"{len(findings)} outputs are exact")]

    def _concerns(self, evidence: Evidence, output: str) -> bool:
        if not evidence.answered(output) or told_of(output):
            return False
        if self.only == ("*",):
            return not np.issubdtype(evidence.candidate.tensors[output].dtype, np.inexact)
        return any(fnmatchcase(output, pattern) for pattern in self.only)

    def _one(self, evidence: Evidence, output: str) -> Finding:
        device, source, plain = evidence.candidate.tensors[output], evidence.golden or evidence.reference, plain_name(output)
        if plain not in source.tensors or plain not in evidence.reference.tensors:
            return Finding(self.name, output, Outcome.INCOMPARABLE, message="the reference or the golden has no such output")
        expected, ours, theirs = source.tensors[plain], evidence.candidate.dtypes[output], evidence.reference.dtypes[plain]
        if device.shape != expected.shape or ours != theirs:
            text = f"{ours} of shape {device.shape}, expected {theirs} of shape {expected.shape}"
            return Finding(self.name, output, Outcome.FAIL, message=text, cause=Cause.FORM)
        if device.dtype.kind in "iu" and expected.dtype.kind == "f":
            wrong, near = _wrongly_rounded(device, expected, min(UNIT_ROUNDOFF[evidence.case.dtype], _COARSEST))
        else:
            wrong, near = _unequal(device, expected), 0
            forms = evidence.accepted if "float" in evidence.case.dtype else ()  # of integers there is one form only
            for side in (evidence.reference, *forms):  # as in the INF/NaN table: right is what the reference device has, too
                if wrong.any() and (also := side.tensors.get(plain)) is not None and also.shape == device.shape:
                    wrong &= _unequal(device, also)
        if wrong.any() and _picks_the_same(evidence, output, source):
            wrong, near = np.zeros_like(wrong), near + int(np.count_nonzero(wrong))
        if evidence.moved and device.dtype.kind != "f":  # a choice that changes when the inputs move by one roundoff is a near-tie
            unstable = evidence.unstable(output, expected)
            wrong, near = wrong & ~unstable, near + int(np.count_nonzero(wrong & unstable))
        return self._finding(evidence, output, device, expected, wrong, near)

    def _cause(self, evidence: Evidence, output: str, device: np.ndarray, expected: np.ndarray) -> Cause:
        """Say what is wrong: a choice (an index; of a floating case a count or a truth value too), an integer, or what the shape tells."""
        if "@" in output:
            return Cause.LAYOUT
        told = evidence.golden.tensors if evidence.golden else ()
        real = evidence.case.dtype in UNIT_ROUNDOFF
        number = device.dtype.kind in "iu" and (not real or device.dtype.itemsize < 4)
        if (
            _is_place(evidence, output)
            or any(told_of(name) == plain_name(output) for name in told)
            or (real and device.dtype.kind in "iub" and not number)
        ):
            return Cause.CHOICE
        if number and _miscalculated(device, expected):
            return Cause.INTEGERS
        return cause_of(Output(expected.astype(np.float64), device.astype(np.float64), (device,)), 0.0) if device.ndim else Cause.VALUES

    def _finding(self, evidence: Evidence, output: str, device: np.ndarray, expected: np.ndarray, wrong: np.ndarray, near: int) -> Finding:
        count = int(np.count_nonzero(wrong))
        if not count:
            message = f"{near} of {device.size} elements are next to nearest, at a tie" if near else ""
            return Finding(self.name, output, Outcome.PASS, 0.0, 0.0, "elements", message=message)
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        text = f"{count} of {device.size} elements are wrong; the first is {device[at]!s}, expected {expected[at]!s}"
        where, cause = f"index {list(at)}" if at else "", self._cause(evidence, output, device, expected)
        return Finding(self.name, output, Outcome.FAIL, float(count), 0.0, "elements", where=where, message=text, cause=cause)


def _is_place(evidence: Evidence, output: str) -> bool:
    """Tell whether an output stands beside values of the case's integer dtype in another one: where they came from."""
    values, dtypes = f"{output.partition('.')[0]}.0", evidence.candidate.dtypes
    beside = output not in (values, plain_name(values)) and dtypes.get(values) == evidence.case.dtype
    return beside and dtypes[output] == "int64" != evidence.case.dtype


def _miscalculated(device: np.ndarray, expected: np.ndarray) -> bool:
    """Whether wrong integers are what a machine makes of right ones: off by one, by a float's rounding or one bit, wrapped, saturated.

    Nearly all must be: a wrapped sum may by accident look like anything.
    """
    wrong, bits, info = _unequal(device, expected), 8 * device.dtype.itemsize, np.iinfo(device.dtype)
    ours, right = device[wrong].astype(np.float64), expected[wrong].astype(np.float64)
    off = np.abs(ours - right)
    near = off <= np.maximum(1.0, _NARROWEST * np.abs(right))
    wrapped = np.logical_or.reduce([(off > 0) & (off % 2.0**k == 0) for k in (8, 16, 32) if k <= bits])
    saturated = (ours == info.max) | (ours == info.min)
    one_bit = (off >= 16) & (np.frexp(off)[0] == 0.5)
    return float(np.mean(near | wrapped | saturated | one_bit)) > 0.9


def _picks_the_same(evidence: Evidence, output: str, golden: Recording) -> bool:
    """Tell whether other indices pick the same values, so that only the order among equal ones differs."""
    told = [name for name in golden.tensors if told_of(name) == plain_name(output)]
    tensors = evidence.candidate.tensors  # of another layout only what differs from the plain one is there
    sides = [(tensors.get(_in_layout(name, output), tensors.get(name)), golden.tensors[name]) for name in told]
    return any(ours is not None and ours.shape == theirs.shape and not _unequal(ours, theirs).any() for ours, theirs in sides)


def _in_layout(name: str, output: str) -> str:
    return name + output[len(plain_name(output)) :]


def _unequal(device: np.ndarray, expected: np.ndarray) -> np.ndarray:
    differs = np.asarray(device != expected)
    if device.dtype.kind in "fc" and expected.dtype.kind in "fc":
        differs &= ~(np.isnan(device) & np.isnan(expected))
    return differs


def _wrongly_rounded(device: np.ndarray, value: np.ndarray, u: float) -> tuple[np.ndarray, int]:
    """Return where `device` is no rounding of `value`, and how many elements are a neighbour of the nearest integer."""
    distance = np.abs(device.astype(np.float64) - value)
    wrong = ~(distance <= 0.5 + np.minimum(_ROUNDINGS * u * np.abs(value), 0.5))
    return wrong, int(np.count_nonzero(~wrong & (distance > 0.5)))
