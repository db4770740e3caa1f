"""One operator's results on two devices against float64: equal, close, off, or not to be judged. Knows no device and no workload.

The rules are those of a verdict: `checks.closeness` with its bounds and its structure tests, the truth table of `checks.special_values`,
discrete results exactly. Where a golden is constant or nearly all zero, a verdict says nothing; here what is not zero is judged, or the
largest error alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.checks.closeness import UNIT_ROUNDOFF, WORST_RATIO, Roundoff, bounds_of, vacuous
from harness.checks.errors import Output, Sized, size_up, worst_at
from harness.checks.structure import cause_of, misshapen
from harness.verdict import Cause

_ORDER = ("equal", "close", "unjudged", "off")


@dataclass(frozen=True)
class Figures:
    """How an operator's worst result compares.

    `state`: "equal" (bit by bit, to the reference), "close", "off", or "unjudged" (it differs, and there is no float64 result to
    tell who is right); of a call that did not compute, "raised" or "unsupported". `measured`, `bound` and `reference` are the
    candidate's error, the largest allowed, and the accepted sides' own, in u (or elements, where a result is discrete).
    """

    state: str
    metric: str = ""
    measured: float | None = None
    bound: float | None = None
    reference: float | None = None
    unit: str = "u"
    where: str = ""
    message: str = ""
    cause: Cause | None = None

    @property
    def ratio(self) -> float:
        """How many times the allowed error this is; 0 where nothing was measured, infinite where nothing is allowed."""
        if self.measured is None or self.bound is None:
            return math.inf if self.state == "off" else 0.0
        return self.measured / self.bound if self.bound else (math.inf if self.measured else 0.0)


Results = Sequence[Tensor | None]


@dataclass(frozen=True)
class Truth:
    """What a call's results are to be held against: float64 (None where there is none), the longest sum's terms, ties.

    A discrete result whose entry in `ties` is true differs only in which of equal values it took.
    """

    golden: Results | None
    chain: int
    ties: Sequence[bool]


def equal(candidate: Results, reference: Results) -> bool:
    """Tell whether all results of a call are the same bit by bit, NaN or not."""
    return all(
        a is None or b is None or (a.shape == b.shape and a.dtype == b.dtype and bool(same(a, b).all()))
        for a, b in zip(candidate, reference, strict=True)
    )


def judge(candidate: Results, accepted: Sequence[Results], truth: Truth) -> Figures:
    """Return the figures of the worst result of a call.

    All tensors are on the host. `accepted` are the reference's results, then those of other sound forms of the same operator.
    """
    worst = Figures("equal")
    several = sum(t is not None for t in candidate) > 1
    for number, ours in enumerate(candidate):
        theirs = [side[number] for side in accepted]
        if ours is not None and theirs[0] is not None:
            golden = truth.golden[number] if truth.golden is not None else None
            found = _one(
                f"result {number}: " if several else "", ours, [t for t in theirs if t is not None], golden, truth, truth.ties[number]
            )
            worst = max(worst, found, key=lambda f: (_ORDER.index(f.state), f.ratio))
    return worst


def _one(name: str, ours: Tensor, accepted: Sequence[Tensor], golden: Tensor | None, truth: Truth, tie: bool) -> Figures:
    theirs = accepted[0]
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        text = f"{name}it is {_form(ours)}, the reference's is {_form(theirs)}"
        return Figures("off", "form", message=text, cause=Cause.FORM)
    accepted = [t for t in accepted if t.shape == ours.shape]
    if any(bool(same(ours, t).all()) for t in accepted):
        return Figures("equal")
    if not (ours.is_floating_point() or ours.is_complex()):
        return _discrete(name, ours, theirs, golden, tie)
    if golden is None or golden.shape != ours.shape:
        return Figures("unjudged", message=f"{name}it differs, and the operator has no float64 result on the host")
    if ours.is_complex():
        ours, golden, *accepted = (torch.view_as_real(t.resolve_conj()) for t in (ours, golden, *accepted))
    return _special(name, ours, accepted[0], golden) or _close(name, ours, accepted, golden, truth.chain)


def same(a: Tensor, b: Tensor) -> Tensor:
    """Elementwise: equal, or NaN on both sides."""
    return (a == b) | ((a != a) & (b != b))


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _discrete(name: str, ours: Tensor, theirs: Tensor, golden: Tensor | None, tie: bool) -> Figures:
    if tie:
        return Figures("close", "elements", message="takes another of equal values")
    wrong = ~same(ours, theirs)
    if golden is not None and golden.shape == ours.shape:
        wrong &= ~same(ours, golden)
    count = int(wrong.sum())
    if not count:
        return Figures("close", "elements", 0.0, 0.0, 0.0, "elements", message="agrees with float64 where the reference does not")
    at = [int(i) for i in wrong.nonzero()[0]]
    text = f"{name}{count} of {wrong.numel()} differ; the first is {ours[tuple(at)].item()}, not {theirs[tuple(at)].item()}"
    return Figures("off", "elements", float(count), 0.0, 0.0, "elements", f"index {at}", text, Cause.INTEGERS)


def _special(name: str, ours: Tensor, theirs: Tensor, golden: Tensor) -> Figures | None:
    """Apply the truth table of the CANN precision standard, as `checks.special_values` does; None if all is well."""
    rounded = golden.to(ours.dtype)
    finite = ours.isfinite()
    right = (finite & (theirs.isfinite() | rounded.isfinite())) | (~finite & (same(ours, theirs) | same(ours, rounded)))
    wrong = int((~right).sum())
    if not wrong:
        return None
    at = [int(i) for i in (~right).nonzero()[0]]
    value, wanted = ours[tuple(at)].item(), rounded[tuple(at)].item()
    text = f"{name}{wrong} of {right.numel()} are wrongly finite or not; the first is {value:.6g}, expected {wanted:.6g}"
    return Figures("off", "special values", float(wrong), 0.0, 0.0, "elements", f"index {at}", text, Cause.SPECIAL)


def _close(name: str, ours: Tensor, accepted: Sequence[Tensor], golden: Tensor, chain: int) -> Figures:
    u = UNIT_ROUNDOFF.get(str(ours.dtype).removeprefix("torch."), 2.0**-3)
    finite = ours.isfinite() & golden.isfinite() & accepted[0].isfinite()
    sides = [golden, ours, *(t for t in accepted if t[finite].isfinite().all())]
    if not finite.all():
        sides = [t[finite] for t in sides]
    if not sides[0].numel():
        return Figures("close", message="nothing is finite, as it should be")
    if (sides[0] == 0).float().mean() > 0.5:
        some = torch.stack([t != 0 for t in sides]).any(0)
        sides = [t[some] for t in sides]
    if not sides[0].numel():
        return Figures("close", message="all is zero, as it should be")
    output = Output(sides[0].double().numpy(), _array(sides[1]), tuple(_array(t) for t in sides[2:]))
    sized = size_up([output])[0]
    if vacuous("", "", sized.signal):
        return _by_size(name, sides, u)
    return _by_the_rules(name, output, sized, u, chain)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    wide = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
    return wide.contiguous().numpy()


def _by_the_rules(name: str, output: Output, sized: Sized, u: float, chain: int) -> Figures:
    bounds = bounds_of(sized.error, sized.own, Roundoff(u, u), max(sized.signal.count, 10), chain)
    worst = max(bounds, key=lambda b: b.share)
    measured, allowed, own = worst.measured / u, worst.allowed / u, worst.accepted / u
    at = sized.error.at if sized.error.at >= 0 else worst_at(output)
    where = f"index {[int(i) for i in np.unravel_index(at, output.golden.shape)]}" if output.golden.ndim else ""
    if not worst.share <= 1:
        text = f"{name}{measured:.3g} u, allowed {allowed:.3g} u (the reference: {own:.3g} u)"
        return Figures("off", worst.metric, measured, allowed, own, "u", where, text, cause_of(output, bounds[1].allowed))
    if shape := misshapen(output, sized, u, chain):
        measured, allowed, own = shape.measured / u, shape.bound / u, shape.accepted / u
        text = f"{name}{measured:.2g} u of the error have one structure ({shape.metric}); allowed are {allowed:.2g} u"
        return Figures("off", shape.metric, measured, allowed, own, "u", "", text, shape.cause)
    return Figures("close", worst.metric, measured, allowed, own, "u", where)


def _by_size(name: str, sides: Sequence[Tensor], u: float) -> Figures:
    """Judge the largest error alone, in u of the largest element: as faithfully rounded, or ten times the accepted sides' own."""
    golden, ours, *accepted = (t.double().reshape(-1) for t in sides)
    scale = float(golden.abs().max()) or max(float(t.abs().max()) for t in accepted) or 1.0
    error = float((ours - golden).abs().max()) / scale / u
    own = max(float((t - golden).abs().max()) for t in accepted) / scale / u
    bound = max(WORST_RATIO * own, 2.0)
    if error <= bound:
        return Figures("close", "largest", error, bound, own)
    text = f"{name}largest error {error:.3g} u of the largest element, allowed {bound:.3g} u (the reference: {own:.3g} u)"
    return Figures("off", "largest", error, bound, own, "u", "", text, Cause.VALUES)
