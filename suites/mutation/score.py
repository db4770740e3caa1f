"""What became of each mutant, and the score. Knows no device and no process."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.verdict import FAILING, Cause, Finding, Verdict

CAUGHT, CAUSE_RIGHT = 0.95, 0.90  # the least that is good enough
FEWEST_FAULTS, FEWEST_BENIGN = 40, 80
_SHOWN = 5  # failing cases that a row tells of

# What a probe has shown beats what the shape of an error suggests; of these the first explains the others. A wrong choice explains
# the values that were chosen.
# That integers or special values are wrong, or arguments, names the cause only where ordinary numbers are right, in three cases of four.
_ONLY_ALONE = (Cause.INTEGERS, Cause.SPECIAL, Cause.ARGUMENTS)
_SHOWN_DIRECTLY = (Cause.IMPURE, Cause.UNSTEADY, Cause.FORM, Cause.RANDOM, Cause.CHOICE)


@dataclass(frozen=True)
class Row:
    """One mutant: what it was put to, which of it failed and why, and what cause that names (the most frequent one over cases).

    `expected` are the causes that an honest diagnosis may name; none for a benign variant. `struck` counts replaced calls, `failed`
    failing cases out of `cases`; `shown` are the first few: case, check, subject, cause, message. `stumbled` lists defects of the mutant
    itself.
    """

    name: str
    how: str  # "dispatch", "emulator", or "training"
    source: str
    operators: tuple[str, ...]
    expected: tuple[str, ...]
    cases: int
    struck: int
    failed: int
    named: str
    shown: tuple[Mapping[str, str], ...] = ()
    stumbled: tuple[str, ...] = ()

    @property
    def benign(self) -> bool:
        """Whether it must not alarm."""
        return not self.expected

    @property
    def caught(self) -> bool:
        """Whether a case failed: right for a fault, an alarm for a benign variant."""
        return self.failed > 0

    @property
    def cause_right(self) -> bool:
        """Whether the cause named is one of those expected."""
        return self.caught and self.named in self.expected


def named_cause(verdict: Verdict) -> Cause | None:
    """Return the cause that a failing verdict names: the one that a probe has shown, else the most frequent of its failing findings.

    Gradients have a say only where every result is right, other layouts only where the plain one is, and what was refused or accepted
    only where every answer is right: a wrong index or size is refused by the next operator.
    """
    failing = [f for f in verdict.findings if f.outcome in FAILING and f.cause]
    for cause in _SHOWN_DIRECTLY:
        if any(f.cause is cause for f in failing):
            return cause
    for less in (_of_an_argument, _of_a_layout, _of_a_gradient):
        failing = [f for f in failing if not less(f)] or failing
    frequent: Cause | None = _most_frequent(f.cause for f in failing)
    return frequent


def _of_an_argument(finding: Finding) -> bool:
    return finding.cause is Cause.ARGUMENTS


def _of_a_layout(finding: Finding) -> bool:
    return "@" in finding.subject


def _of_a_gradient(finding: Finding) -> bool:
    return "grad" in finding.subject


def _most_frequent(causes: Iterable[Any]) -> Any:
    counted = Counter(causes)
    return counted.most_common(1)[0][0] if counted else None


def row(name: str, how: str, source: str, operators: Sequence[str], expected: Sequence[Cause], cases: int, struck: int,
        verdicts: Sequence[Verdict], stumbled: Iterable[str] = ()) -> Row:  # fmt: skip
    """Sum up the verdicts of one mutant."""
    failing = [verdict for verdict in verdicts if verdict.outcome in FAILING]
    votes = [cause for verdict in failing if (cause := named_cause(verdict))]
    others = [cause for cause in votes if cause not in _ONLY_ALONE]
    named = _most_frequent(others if 4 * len(others) >= len(votes) else votes)
    shown = tuple(_shown(verdict) for verdict in failing[:_SHOWN])
    causes = tuple(str(cause) for cause in expected)
    return Row(
        name, how, source, tuple(operators), causes, cases, struck, len(failing), str(named or ""), shown, tuple(sorted(set(stumbled)))
    )


def _shown(verdict: Verdict) -> dict[str, str]:
    worst = next((f for f in verdict.findings if f.outcome is verdict.outcome), None)
    cause = str(named_cause(verdict) or "")
    check, subject, message = (worst.check, worst.subject, worst.message) if worst else ("", "", verdict.message)
    return {"case": verdict.case, "check": check, "subject": subject, "cause": cause, "message": message[:200]}


@dataclass(frozen=True)
class Score:
    """All rows. A mutant that replaced no call was never there: the device does not run its operator. It does not count."""

    rows: tuple[Row, ...]

    @property
    def faults(self) -> list[Row]:
        """The rows of faults that were there."""
        return [r for r in self.rows if not r.benign and (r.struck or r.caught or r.how == "emulator")]

    @property
    def benign(self) -> list[Row]:
        """The rows of benign variants that were tried."""
        return [r for r in self.rows if r.benign and (r.struck or r.caught)]

    @property
    def missed(self) -> list[Row]:
        """The faults that no case caught."""
        return [r for r in self.faults if not r.caught]

    @property
    def alarms(self) -> list[Row]:
        """The benign variants that failed a case."""
        return [r for r in self.benign if r.caught]

    def figures(self) -> dict[str, int]:
        """Return the six numbers of the last line."""
        caught = [r for r in self.faults if r.caught]
        return {
            "faults": len(self.faults), "caught": len(caught), "benign": len(self.benign), "alarms": len(self.alarms),
            "named": len(caught), "right": sum(r.cause_right for r in caught),
        }  # fmt: skip

    def line(self) -> str:
        """Return `mutation: caught 41/42, alarms 0/83, cause right 38/41`."""
        f = self.figures()
        return f"mutation: caught {f['caught']}/{f['faults']}, alarms {f['alarms']}/{f['benign']}, cause right {f['right']}/{f['named']}"

    def shortfalls(self) -> list[str]:
        """Return in what the score is not good enough; empty when it is."""
        f, short = self.figures(), []
        if f["faults"] < FEWEST_FAULTS or f["benign"] < FEWEST_BENIGN:
            short.append(f"fewer than {FEWEST_FAULTS} faults or {FEWEST_BENIGN} benign variants were tried")
        if f["caught"] < CAUGHT * f["faults"]:
            short.append(f"fewer than {CAUGHT:.0%} of the faults were caught")
        if f["alarms"]:
            short.append(f"{f['alarms']} benign variants alarmed")
        if f["right"] < CAUSE_RIGHT * f["named"]:
            short.append(f"the cause is right in fewer than {CAUSE_RIGHT:.0%} of those caught")
        return short

    def to_json(self) -> dict[str, Any]:
        """Return figures and rows, JSON-able."""
        return {"line": self.line(), "figures": self.figures(), "rows": [asdict(r) for r in self.rows]}
