"""A second look before a case fails: other accepted forms, the condition of the inputs, fresh seeds. Knows no device and no file.

1. The case is evaluated on the host in other forms that are as sound (`harness.forms`), and in float64 with its inputs moved by one
   roundoff. Both widen what is accepted, never what was found, so that judging with them at once would have given the same.
2. If an error is still too large, but by less than a factor of three, chance may have a part in it. The case is judged again with fresh
   inputs, and fails only if the median of measured / bound is beyond 1 with 95 % confidence, by the bootstrap that the CANN operator
   precision standard prescribes (cann/opbase; it asks for 200 seeds or more of a ratio to one reference, this rule for nine of a ratio to a
   bound that knows the condition).
3. Of an output that should be zero and is not, fresh inputs show whether the reference device's is always zero either.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.case import Case
from harness.checks.closeness import WORST_RATIO
from harness.checks.evidence import plain_name
from harness.judge import judge
from harness.manner import FORMS, MOVED, Manner
from harness.recording import Recording, Status
from harness.standards.cann.repetition import RESAMPLES, bootstrap_medians
from harness.verdict import Cause, Finding, Outcome, Verdict, sum_up

SEEDS = 9
_BEYOND_CHANCE = 3.0  # times the bound
_HEARD = ("closeness", "exact", "choices")  # checks whose verdict depends on what is accepted


@dataclass(frozen=True)
class Sources:
    """Who can record a case again: the candidate and the reference as they are, the host in a given manner."""

    candidate: Callable[[Case], Recording]
    reference: Callable[[Case], Recording]
    host: Callable[[Case, Manner], Recording]


def may_appeal(case: Case, verdict: Verdict) -> bool:
    """Say whether a second look could change one of the findings that fail; what else is wrong stays so, and may have been signed for."""
    failing = [f for f in verdict.findings if f.outcome is Outcome.FAIL]
    return case.probed and verdict.outcome is Outcome.FAIL and any(f.check in _HEARD and f.cause is not Cause.FORM for f in failing)


def appeal(case: Case, verdict: Verdict, candidate: Recording, reference: Recording, golden: Recording | None, sources: Sources) -> Verdict:
    """Return the verdict after a second look; its last finding says how that went."""
    accepted, moved = _others(case, sources)
    second = judge(case, candidate, reference, golden, verdict.reproduce, accepted, moved)
    names = ", ".join(str(manner) for manner in (*FORMS, *MOVED))
    if second.outcome is not Outcome.FAIL:
        text = f"beyond the reference's own error, but within that of other accepted forms or of the inputs' roundoff ({names})"
        return _with(second, Finding("appeal", "forms", Outcome.PASS, message=text))
    if zeros := _zeros(second, golden):
        return _cancelled(case, second, zeros, (candidate, reference), sources)
    if worst(second) >= _BEYOND_CHANCE or not all(f.unit == "u" for f in second.findings if f.outcome is Outcome.FAIL):
        text = f"no accepted form explains it ({names})"
        return _alone(case, _with(second, Finding("appeal", "forms", Outcome.PASS, message=text)), reference, golden, sources)
    return _fresh(case, second, sources)


def _alone(case: Case, verdict: Verdict, reference: Recording, golden: Recording | None, sources: Sources) -> Verdict:
    """Ask for the case once more with nothing computed before it on these operands: what is right then was spoilt by what came before."""
    shapes = [f for f in verdict.findings if f.outcome is Outcome.FAIL and f.check in _HEARD]
    if any(f.outcome is Outcome.FAIL and f.cause in (Cause.UNSTEADY, Cause.IMPURE) for f in verdict.findings) or all(
        "@" in f.subject for f in shapes
    ):
        return verdict
    found = judge(case, sources.candidate(case), reference, golden, verdict.reproduce)
    if found.outcome is not Outcome.PASS:
        return verdict
    text = "right when nothing was computed before with other values of the same operands"
    named = [replace(f, cause=Cause.IMPURE, message=f"{f.message}; {text}") if f in shapes else f for f in verdict.findings]
    return replace(verdict, findings=tuple(named), message=f"{verdict.message}; {text}")


def _others(case: Case, sources: Sources) -> tuple[list[Recording], list[Recording]]:
    """Return the accepted forms and the moved evaluations that succeeded."""
    forms = [sources.host(case, manner) for manner in FORMS]
    moved = [sources.host(case, manner) for manner in MOVED]
    return [r for r in forms if r.status is Status.OK], [r for r in moved if r.status is Status.OK]


def worst(verdict: Verdict) -> float:
    """Return the largest measured / bound of the verdict's error figures; infinite where one cannot be expressed so."""
    figures = [(f.measured, f.bound) for f in verdict.findings if f.unit == "u" and f.outcome is not Outcome.MISTRUSTED]
    shares = [a / b if b else math.inf if a else 0.0 for a, b in figures if a is not None and b is not None]
    return max(shares, default=math.inf)


def _zeros(verdict: Verdict, golden: Recording | None) -> set[str]:
    """Return the outputs that fail, if each of them should be zero throughout; none if another fails too."""
    failing = [f for f in verdict.findings if f.outcome is Outcome.FAIL]
    names = {f.subject.partition(" ")[0] for f in failing}
    held = golden.tensors if golden else {}
    zero = all(f.unit == "u" and f.bound == 0 for f in failing) and all(
        plain_name(n) in held and not held[plain_name(n)].any() for n in names
    )
    return names if zero else set()


def _cancelled(case: Case, verdict: Verdict, names: set[str], first: tuple[Recording, Recording], sources: Sources) -> Verdict:
    """Judge outputs that are zero because terms cancel: what is left over depends on the terms' size, which nobody can see in a zero.

    So the yardstick is what is left over on the reference device with fresh inputs, which need not be nothing where it was with these.
    """
    left = np.zeros(2)
    for k in range(SEEDS + 1):
        again = replace(case, seed=case.seed + 1000 * k)
        for side, recording in enumerate(first if k == 0 else (sources.candidate(again), sources.reference(again))):
            for name in names:
                array = recording.tensors.get(name if side == 0 else plain_name(name))
                left[side] = np.inf if array is None else max(left[side], float(np.abs(array).max(initial=0)))
    ours, theirs = map(float, left)
    bound = WORST_RATIO * theirs
    text = f"zero by cancellation: over {SEEDS + 1} seeds at most {ours:.2g} is left over, on the reference device {theirs:.2g}"
    outcome = Outcome.PASS if ours <= bound < np.inf else Outcome.FAIL
    finding = Finding("appeal", "fresh seeds", outcome, ours, bound, "left over", theirs, message=text)
    return _with(verdict if outcome is Outcome.FAIL else _excused(verdict, "not more than the reference on fresh seeds"), finding)


def _fresh(case: Case, verdict: Verdict, sources: Sources) -> Verdict:
    ratios = []
    for k in range(1, SEEDS + 1):
        again = replace(case, seed=case.seed + 1000 * k)
        golden = sources.host(again, Manner.GOLDEN) if case.golden else None
        found = judge(again, sources.candidate(again), sources.reference(again), golden, verdict.reproduce, *_others(again, sources))
        if found.outcome in (Outcome.PASS, Outcome.FAIL):
            ratios.append(worst(found))
    if len(ratios) < SEEDS:
        text = f"only {len(ratios)} of {SEEDS} fresh seeds could be judged"
        return _with(verdict, Finding("appeal", "fresh seeds", Outcome.FAIL, message=text))
    low, high = median_interval(ratios)
    median, beyond = float(np.median(ratios)), sum(r > 1 for r in ratios)
    text = f"{beyond} of {SEEDS} fresh seeds are beyond their bound; the median of measured / bound is {median:.2f} [{low:.2f}, {high:.2f}]"
    outcome = Outcome.FAIL if low > 1 else Outcome.PASS
    finding = Finding("appeal", "fresh seeds", outcome, median, 1.0, "of the bound", low=low, high=high, message=text)
    if outcome is Outcome.FAIL:
        return _with(verdict, finding)
    return _with(_excused(verdict, "not on fresh seeds"), finding)


def _excused(verdict: Verdict, why: str) -> Verdict:
    kept = [replace(f, outcome=Outcome.PASS, message=f"{f.message}; {why}") if f.outcome is Outcome.FAIL else f for f in verdict.findings]
    return replace(verdict, findings=tuple(kept))


def median_interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the 25th and 976th of 1,000 bootstrap medians, in order: a 95 % interval. The resampling has a fixed seed."""
    values = np.asarray(ratios, dtype=np.float64)
    medians = np.sort(bootstrap_medians(values, RESAMPLES, 0))
    return float(medians[24]), float(medians[975])


def _with(verdict: Verdict, finding: Finding) -> Verdict:
    findings = (*verdict.findings, finding)
    outcome, message = sum_up(findings)
    return replace(verdict, outcome=outcome, message=message, findings=findings)
