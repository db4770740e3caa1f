"""What kind of machine is this? Facts about a device's arithmetic, from small exact probes. Knows no device and no bound of an operator.

Each fact is a finding with the device's answer and the reference device's beside it. Most inform: a report shows them on its first page.
Some are judged, because a standard, or the program's own demand, leaves no choice; the module of each says which, and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.checks.evidence import Evidence
from harness.checks.fingerprint import generators, integers, products, repeats, rounding, special, support
from harness.checks.fingerprint.fact import Fact, Reading
from harness.recording import Recording
from harness.verdict import Finding, Outcome

#: What a probe's case can be about, with how its outputs are read.
READINGS: Mapping[str, Sequence[Reading]] = {
    "products": products.READINGS,
    "convolution": products.OPERANDS,
    "rounding": rounding.READINGS,
    "special values": special.READINGS,
    "integers": integers.READINGS,
    "repeats": repeats.REPEATS,
    "batches": repeats.BATCHES,
    "generators": generators.READINGS,
    "support": support.READINGS,
}


@dataclass(frozen=True)
class Fingerprint:
    """Reads the facts that a case's outputs hold; `about` is one of READINGS."""

    about: str
    name: str = "fingerprint"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding a fact, and one a probe that the device refused."""
        theirs = {fact.subject: fact for fact in self.facts(evidence.reference)}
        found = [_finding(self.name, fact, theirs.get(fact.subject)) for fact in self.facts(evidence.candidate)]
        return [*found, *_refusals(self.name, evidence)]

    def facts(self, recording: Recording) -> list[Fact]:
        """Return what a recording tells, in order."""
        here = recording.tensors.keys()
        return [fact for reading in READINGS[self.about] if here >= set(reading.needs) for fact in reading.read(recording)]


def _finding(check: str, fact: Fact, other: Fact | None) -> Finding:
    excused = fact.shared and other is not None and other.words == fact.words
    broken = bool(fact.broken) and not excused
    beside = other.words if other else "no answer"
    message = f"{fact.broken}: {fact.words}" if broken else fact.words
    return Finding(
        check, fact.subject, Outcome.FAIL if broken else Outcome.PASS, fact.measured, fact.bound, fact.unit,
        other.measured if other else None, message=f"{message}; the reference: {beside}", cause=fact.cause if broken else None,
        answer=fact.words, reference_answer=beside,
    )  # fmt: skip


def _refusals(check: str, evidence: Evidence) -> list[Finding]:
    """Return a finding for each probe that raised: information where the device said that it cannot, an error where it said anything else.

    Where raising is one of the answers that were expected, a fact tells it.
    """
    theirs = evidence.reference.details.get("refused", {})
    return [
        Finding(
            check, f"{name}, not probed", Outcome.PASS if said["known"] else Outcome.ERROR, message=said["words"],
            answer="refuses", reference_answer="refuses" if name in theirs else "computes",
        )
        for name, said in evidence.candidate.details.get("refused", {}).items()
        if not said["expected"]
    ]  # fmt: skip
