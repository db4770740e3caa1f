"""A fast wrong result scores nothing: a time counts only beside the verdict on the same work. Knows no run, no device and no workload."""

from dataclasses import replace

from harness.verdict import FAILING, Finding, Outcome, Verdict, sum_up

CHECK = "vouched"

_RIGHT = (Outcome.PASS, Outcome.FIXED)  # a waiver that has to go fails the run, but what it was for is right


def vouched(verdict: Verdict, by: str, other: Verdict | None) -> Verdict:
    """Return the verdict on a timed case with what the verdict on `by`, which does the same, says of it; an earlier such word is replaced.

    Where that failed, this fails. The finding's `answer` is "yes", "waived" (the difference is known and signed for), or "no": it was not
    run here, or the device could not, or nobody can tell; the time is then shown as what it is.
    """
    own = tuple(finding for finding in verdict.findings if finding.check != CHECK)
    finding = _finding(by, other)
    bare = verdict if len(own) == len(verdict.findings) else _summed(verdict, own)
    if finding.outcome is Outcome.PASS:
        return replace(bare, findings=(*own, finding))
    return replace(bare, outcome=Outcome.FAIL, message=f"{CHECK} of {by}: {finding.message}", findings=(*own, finding))


def _finding(by: str, other: Verdict | None) -> Finding:
    if other is None:
        return Finding(CHECK, by, Outcome.PASS, message="not run here, so nothing says that what was timed is right", answer="no")
    if other.outcome in _RIGHT:
        return Finding(CHECK, by, Outcome.PASS, message=f"{by}: {other.outcome}", answer="yes")
    if other.outcome in FAILING:
        text = f"{by}, which does the same, ended as {other.outcome}: a fast wrong result scores nothing"
        return Finding(CHECK, by, Outcome.FAIL, message=text, answer="no")
    if other.outcome is Outcome.WAIVED:
        return Finding(CHECK, by, Outcome.PASS, message=f"{by} fails, and somebody signed for that", answer="waived")
    return Finding(
        CHECK, by, Outcome.PASS, message=f"{by} ended as {other.outcome}, so nothing says that what was timed is right", answer="no"
    )


def _summed(verdict: Verdict, own: tuple[Finding, ...]) -> Verdict:
    outcome, message = sum_up(own)
    return replace(verdict, outcome=outcome, message=message)
