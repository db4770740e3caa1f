"""Is the device's error against float64 of the size that sound arithmetic has on these inputs? Knows no operator.

Errors (see `errors.py`) are given in units of u, the unit roundoff of the dtype (2^-24 float32, 2^-11 float16, 2^-8 bfloat16), and
bounded by what the accepted sides do on the same inputs: rms <= 2 x theirs, worst <= 10 x theirs, the ratios of level L0 of the CANN
operator precision standard (cann/opbase). The accepted sides are the reference device, and where that leaves a doubt the same computation
taken apart and summed in another order (`harness.forms`). Never less is allowed than a faithfully rounded result, after a sum of n terms in
the arithmetic's own roundoff v = 2^-24 (Higham, Accuracy and Stability, 2nd ed., 4.2: sequential, random signs):

    rms    2 sqrt(u^2 / 3 + v^2 (n - 1) / 6)
    worst  2 u + 10 v sqrt((n - 1) / 6)

Where there is a doubt each element may also be off by four times what moving the inputs by one roundoff v moves it: that is the condition
of the problem, for which no device can be blamed. With few elements the ratio of two sound devices scatters; the rms bound is widened by
the root of the 99.9 % quantile of F(n, n), which tends to 1 (below ten elements: as for ten).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import f as f_distribution

from harness.checks.errors import ErrorSize, Output, Signal, Sized, size_up, worst_at
from harness.checks.evidence import MANY, Evidence, Sides, plain_name
from harness.checks.rounding import representable
from harness.checks.structure import cause_of, cause_of_few, leaning, misshapen
from harness.inputs import ARITHMETIC
from harness.verdict import Cause, Finding, Outcome

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
RMS_RATIO, WORST_RATIO = 2.0, 10.0

_CONDITION = 4.0  # times what the moved inputs move an element
_SPARSE = 0.9  # share of zeros in the golden from which an agreement says nothing
_NOISE = 2.0**-40  # a golden below this, of samples of order one, is float64's own roundoff of what is zero


class Roundoff(NamedTuple):
    """Two unit roundoffs: `unit`, in which figures are given, and `floor`, up to which a result is always accepted."""

    unit: float
    floor: float


def roundoff(evidence: Evidence, output: str) -> Roundoff:
    """Return the roundoffs that govern an output: figures in the coarser of its own and the case's, accepted is only its own.

    A float32 output of a bfloat16 case (logits, a softmax that is to be done in float32) may thus only be as coarse as the
    reference's is.
    """
    own = UNIT_ROUNDOFF[evidence.candidate.dtypes[output]]
    return Roundoff(max(own, UNIT_ROUNDOFF.get(evidence.case.dtype, own)), own)


@lru_cache(maxsize=4096)
def widening(independent: int, of_reference: int | None = None) -> float:
    """Return the factor by which the rms errors of two equally sound devices may differ by chance, given so many independent elements.

    `of_reference`: how many the reference's error was estimated from, if not as many.
    """
    return math.sqrt(float(f_distribution.ppf(0.999, independent, of_reference or independent)))


class Bound(NamedTuple):
    """One of the two figures of an output, relative (not in u): what was measured, what is allowed, what the accepted sides have."""

    metric: str
    measured: float
    allowed: float
    accepted: float

    @property
    def share(self) -> float:
        """How much of the bound is used up; infinite for an error where none is allowed."""
        return self.measured / self.allowed if self.allowed else (math.inf if self.measured else 0.0)


def bounds_of(
    error: ErrorSize, own: ErrorSize, u: Roundoff, independent: int, chain: int = 1, absolute: bool = False
) -> tuple[Bound, Bound]:
    """Return rms and worst with their bounds. `absolute`: the golden is zero, so nothing is owed to rounding."""
    sums = ARITHMETIC * math.sqrt((chain - 1) / 6)
    least_rms, least_worst = 2 * math.sqrt(u.floor**2 / 3 + sums**2), 2 * u.floor + 10 * sums
    if absolute:
        least_rms = least_worst = 0.0
    return (
        Bound("rms", error.rms, max(RMS_RATIO * own.rms, least_rms) * widening(independent), own.rms),
        Bound("worst", error.worst, max(WORST_RATIO * own.worst, least_worst), own.worst),
    )


def compare(name: str, sides: Sides, u: Roundoff, check: str, independent: int | None = None) -> list[Finding]:
    """Judge one output of any shape against one reference.

    `independent` is how many elements count as independent (default: all, at least ten). Elements at which the golden is
    not finite are left to the special-values check.
    """
    candidate, reference, golden = sides
    if not sides.one_shape():
        text = f"shape {candidate.shape}, reference {reference.shape}, golden {golden.shape}"
        return [Finding(check, name, Outcome.FAIL, message=text, cause=Cause.FORM)]
    if golden.size == 0:
        return [Finding(check, name, Outcome.PASS, message="empty, as it should be")]
    output = Output(golden, candidate, (reference,))
    sized = size_up([output])[0]
    return vacuous(check, name, sized.signal) or _judge(_Judged(name, output, sized, u), check, independent)


def vacuous(check: str, name: str, signal: Signal) -> list[Finding]:
    """Return one finding that says why an agreement with this golden says nothing; none where it does say something."""
    if signal.count and not (signal.rms == 0 or signal.constant or signal.zeros > _SPARSE):
        return []
    what = "it is constant" if signal.constant else f"{signal.zeros:.0%} of it is zero"
    text = f"an agreement with this golden says nothing: {what}" if signal.count else "the golden has no finite element"
    return [Finding(check, name, Outcome.MISTRUSTED, message=text)]


@dataclass(frozen=True)
class _Judged:
    name: str
    output: Output
    sized: Sized
    u: Roundoff
    chain: int = 1


def _judge(one: _Judged, check: str, independent: int | None = None) -> list[Finding]:
    """Return two findings, and a third where the error has a structure that no accepted side has."""
    error, own, unit = one.sized.error, one.sized.own, one.u.unit
    if not math.isfinite(own.rms + own.worst):
        return [Finding(check, one.name, Outcome.INCOMPARABLE, message="the reference's own result is not finite where float64 is")]
    count = independent or max(one.sized.signal.count, 10)
    bounds = bounds_of(error, own, one.u, count, one.chain, one.sized.signal.rms == 0)
    findings = [_finding(one, check, bound, bounds[1].allowed) for bound in bounds]
    if findings[0].outcome is Outcome.PASS and findings[1].cause not in (None, Cause.LAYOUT):  # sound but for few elements
        findings[1] = replace(findings[1], cause=cause_of_few(one.output, bounds[1].allowed))
    if all(f.outcome is Outcome.PASS for f in findings) and (shape := misshapen(one.output, one.sized, one.u.floor, one.chain)):
        text = f"{shape.measured / unit:.2g} u of the error have one structure ({shape.metric}); allowed are {shape.bound / unit:.2g} u"
        figures = (shape.measured / unit, shape.bound / unit, "u", shape.accepted / unit)
        findings.append(Finding(check, f"{one.name} {shape.metric}", Outcome.FAIL, *figures, message=text, cause=shape.cause))
    return findings


def _finding(one: _Judged, check: str, bound: Bound, worst_allowed: float) -> Finding:
    unit, outcome, message, where, cause = one.u.unit, Outcome.PASS, "", "", None
    if not bound.measured <= bound.allowed:
        outcome = Outcome.FAIL
        whose = "the reference device" if len(one.output.accepted) == 1 else "the reference device and accepted forms, at most"
        own = f"{whose}: {bound.accepted / unit:.3g} u"
        message = f"{bound.measured / unit:.3g} u, allowed {bound.allowed / unit:.3g} u ({own})"
        cause = Cause.LAYOUT if "@" in one.name else cause_of(one.output, worst_allowed)
    elif bound.allowed >= 0.5 and bound.metric == "rms":
        outcome, message = Outcome.MISTRUSTED, f"the bound is {bound.allowed:.0%} of the signal; nothing could have failed it"
    elif bound.allowed >= 0.5:
        message = f"blunt: a single element may be off by {bound.allowed:.0%} of the signal; rms decides here"
    if bound.metric == "worst":
        where = _index(worst_at(one.output) if one.sized.error.at < 0 else one.sized.error.at, one.output.golden)
    figures = (bound.measured / unit, bound.allowed / unit, "u", bound.accepted / unit)
    return Finding(check, f"{one.name} {bound.metric}", outcome, *figures, where=where, message=message, cause=cause)


def _index(at: int, golden: np.ndarray) -> str:
    if not golden.shape or not np.isfinite(golden).all():  # an index into what is left would mislead
        return ""
    return f"index {[int(i) for i in np.unravel_index(at, golden.shape)]}"


@dataclass(frozen=True)
class Closeness:
    """Every floating output (or those matching `only`) is as close to float64 as sound arithmetic brings it.

    With `samples` the outputs are those of many small samples: some may be constant or zero, and one finding a metric stands for
    all that pass.
    """

    only: tuple[str, ...] = ("*",)
    samples: bool = False
    name: str = "closeness"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return two findings an output; the two worst for all that pass, where there are many. Without a golden: `incomparable`."""
        findings: list[Finding] = []
        found_on_all: dict[str, Output] = {}
        for output in evidence.floating(self.only):
            sides = evidence.sides(output)
            if isinstance(sides, str):
                findings.append(Finding(self.name, output, Outcome.INCOMPARABLE, message=sides))
            elif found := self._form(evidence, output, sides):
                findings.append(found)
            elif sides.golden.size:
                found_on_all[output] = _output(evidence, output, sides)
            elif not self.samples:
                findings.append(Finding(self.name, output, Outcome.PASS, message="empty, as it should be"))
        sized, chain = size_up(list(found_on_all.values())), evidence.chain()
        judged = [
            _Judged(name, output, size, roundoff(evidence, name), chain)
            for (name, output), size in zip(found_on_all.items(), sized, strict=True)
        ]
        return findings + (self._summed_up(judged) if self.samples else self._each(judged))

    def _form(self, evidence: Evidence, output: str, sides: Sides) -> Finding | None:
        ours, theirs = evidence.candidate.dtypes[output], evidence.reference.dtypes[plain_name(output)]
        if ours != theirs:
            return Finding(self.name, output, Outcome.FAIL, message=f"dtype {ours}, the reference has {theirs}", cause=Cause.FORM)
        if not sides.one_shape():
            text = f"shape {sides.candidate.shape}, reference {sides.reference.shape}, golden {sides.golden.shape}"
            return Finding(self.name, output, Outcome.FAIL, message=text, cause=Cause.FORM)
        return None

    def _each(self, judged: Sequence[_Judged]) -> list[Finding]:
        return [f for one in judged for f in vacuous(self.name, one.name, one.sized.signal) or _judge(one, self.name)]

    def _summed_up(self, judged: Sequence[_Judged]) -> list[Finding]:
        """Judge many outputs; return what fails, or else the one closest to each bound."""
        failing: list[Finding] = []
        closest: dict[str, tuple[float, _Judged, Bound]] = {}
        blunt = sharp = 0
        for one in judged:
            own, signal = one.sized.own, one.sized.signal
            if not math.isfinite(own.rms + own.worst):
                continue  # the special-values check says so
            bounds = bounds_of(one.sized.error, own, one.u, max(signal.count, 10), one.chain, signal.rms == 0)
            if signal.rms > _NOISE:
                sharp, blunt = sharp + (bounds[0].allowed < 0.5), blunt + (bounds[0].allowed >= 0.5)
            if not all(b.measured <= b.allowed for b in bounds) or one.output.golden.size >= 256:
                failing += [f for f in _judge(one, self.name) if f.outcome is Outcome.FAIL]
            for bound in bounds:
                if bound.metric not in closest or bound.share > closest[bound.metric][0]:
                    closest[bound.metric] = (bound.share, one, bound)
        failing += self._leaning(judged) if not failing else []
        if failing:
            return sorted(failing, key=lambda f: -_share(f))[:MANY]
        if blunt and not sharp:
            text = f"none of {blunt} outputs could have failed: the bound of each is half of the signal or more"
            return [Finding(self.name, "all", Outcome.MISTRUSTED, message=text)]
        shown = [_finding(one, self.name, bound, math.inf) for _, one, bound in closest.values()]
        return [replace(f, outcome=Outcome.PASS) for f in shown]

    def _leaning(self, judged: Sequence[_Judged]) -> list[Finding]:
        """Return a finding for each dtype in which the outputs lean to one side together, too little in each of them to see."""
        found = []
        for u in {one.u for one in judged}:
            alike = [one for one in judged if one.u == u and "@" not in one.name]
            if alike and (shape := leaning([(one.output, one.sized) for one in alike], u.floor, alike[0].chain)):
                text = f"the outputs lean to one side by {shape.measured / u.unit:.2g} u; allowed are {shape.bound / u.unit:.2g} u"
                figures = (shape.measured / u.unit, shape.bound / u.unit, "u", shape.accepted / u.unit)
                found.append(Finding(self.name, f"{len(alike)} outputs bias", Outcome.FAIL, *figures, message=text, cause=shape.cause))
        return found


def _share(finding: Finding) -> float:
    return finding.measured / finding.bound if finding.measured is not None and finding.bound else math.inf


def _output(evidence: Evidence, output: str, sides: Sides) -> Output:
    """Collect an output from all sides; accepted forms of another shape, and outputs that they lack, are left out."""
    plain, golden = plain_name(output), representable(sides.golden, evidence.candidate.dtypes[output])
    forms = [recording.tensors.get(plain) for recording in evidence.accepted]
    accepted = (sides.reference, *(form for form in forms if form is not None and form.shape == golden.shape))
    others = [recording.tensors.get(plain) for recording in evidence.moved]
    moves = [np.abs(other - sides.golden) for other in others if other is not None and other.shape == golden.shape]
    excused = _CONDITION * np.nan_to_num(np.maximum.reduce(moves), nan=0.0, posinf=0.0) if moves else None
    return Output(golden, sides.candidate, accepted, excused)
