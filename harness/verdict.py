"""Findings and outcomes: what a check says of one output, and what they amount to. Knows no tensor, file or device."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a case ended. None of them is ever turned into a number."""

    PASS = "pass"
    FAIL = "fail"
    UNSUPPORTED = "unsupported"  # the device said, in its own words, that it cannot do this
    ERROR = "error"  # an exception, crash, time-out or lack of memory
    INCOMPARABLE = "incomparable"  # the two sides did not do the same thing, or one is missing
    MISTRUSTED = "mistrusted"  # it agreed, but could not have disagreed
    INCONCLUSIVE = "inconclusive"  # the samples cannot tell: neither equal within the margin nor different beyond chance; never a pass
    WAIVED = "waived"  # it fails, and somebody signed for just that, with a reason and until a date; never a pass
    FIXED = "fixed"  # somebody signed that it fails, and it does not any more


class Cause(StrEnum):
    """What is probably wrong, as far as the shape of an error tells. A failing test names it, so that somebody knows where to look."""

    PRECISION = "precision"  # the whole output is too coarse: operands, sums or a function in a narrower type
    STATISTIC = "statistic"  # whole rows or columns are scaled: a sum, mean or variance of theirs is too coarse
    ROUNDING = "rounding"  # errors lean to one side: another rounding mode, truncation
    TAIL = "tail"  # wrong in a block or at the end of a dimension: tiling, padding, a loop's remainder
    SPARSE = "sparse"  # a few scattered elements are wrong: a race, a flipped bit, a special case
    VALUES = "values"  # nearly everything is wrong: another formula, an argument ignored
    SPECIAL = "special values"  # NaN, infinity, overflow, subnormals
    CHOICE = "choice"  # a discrete result: indices, an order, routing
    INTEGERS = "integers"  # an integer or exact result is not exact
    LAYOUT = "layout"  # right only for contiguous operands
    UNSTEADY = "unsteady"  # two runs differ
    IMPURE = "impure"  # an operand was written to, or an earlier call shows in a later one
    RANDOM = "random"  # draws do not have the distribution, or repeat themselves
    ARGUMENTS = "arguments"  # accepted what must be refused, or the other way round
    FORM = "form"  # another dtype or shape
    FORWARD = "forward pass"  # of training: the loss left its band before any gradient did
    LEAK = "leak"  # what must have no influence has some: the future, padding, another row or document
    GRADIENT = "gradient"  # a gradient is lost, counted twice, or weighted wrongly, where results are right
    UPDATE = "update"  # the optimizer does another step than its formula


# A verdict is as bad as its worst finding, in this order.
_SEVERITY = (
    Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.UNSUPPORTED, Outcome.WAIVED, Outcome.FIXED, Outcome.MISTRUSTED, Outcome.FAIL,
    Outcome.INCOMPARABLE, Outcome.ERROR,
)  # fmt: skip

#: Outcomes with which a conformance run fails. `inconclusive`, `unsupported` and `waived` do not: listed apart, never a pass.
FAILING = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.INCOMPARABLE, Outcome.MISTRUSTED, Outcome.FIXED})


@dataclass(frozen=True)
class Finding:
    """What one check says of one output.

    `measured` and `bound` are in `unit`; `reference` is the reference device's own figure in the same unit, where it has
    one. `low` and `high` bound `measured` with 95 % confidence where a statistic is behind it. `where` locates the
    worst place (index, step, parameter). `cause` is what the shape of the error says. A finding with no bound informs, or decides by a rule
    that its message states; only `outcome` says how it ended.
    Where what was found is no number, `answer` has it in few words, and `reference_answer` the reference device's.
    """

    check: str
    subject: str
    outcome: Outcome
    measured: float | None = None
    bound: float | None = None
    unit: str = ""
    reference: float | None = None
    low: float | None = None
    high: float | None = None
    where: str = ""
    message: str = ""
    cause: Cause | None = None
    answer: str = ""
    reference_answer: str = ""


@dataclass(frozen=True)
class Verdict:
    """All findings about one case, the outcome that they amount to, and the evidence that a report shows beside them.

    `definition` is the case's. `evidence` maps `candidate`, `reference` and `golden`, as far as there are, to what
    `shown.evidence_of` takes from the recording (device, raw seconds, work, memory, short series ...), so that a reader
    of verdicts needs no recording. `reproduce` is the one command that runs this case again.
    """

    case: str
    area: str
    dtype: str
    outcome: Outcome
    message: str = ""
    findings: tuple[Finding, ...] = ()
    definition: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reproduce: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the verdict as JSON-able values."""
        return asdict(self)


#: How the subject of a finding begins that only tells what somebody else's rule would have said: it never decides.
WOULD_SAY = "would say: "


def sum_up(findings: Iterable[Finding]) -> tuple[Outcome, str]:
    """Return the outcome of the worst finding, and one line about it. No finding of our own at all is `mistrusted`."""
    own = (finding for finding in findings if not finding.subject.startswith(WOULD_SAY))
    worst = max(own, key=lambda f: _SEVERITY.index(f.outcome), default=None)
    if worst is None:
        return Outcome.MISTRUSTED, "no check applied to any output"
    return worst.outcome, "" if worst.outcome is Outcome.PASS else f"{worst.check} of {worst.subject}: {worst.message}"
