"""A statistic and what chance explains of it. Knows no law and no statistic."""

from dataclasses import dataclass

from harness.verdict import Cause, Finding, Outcome

LEVEL = 1e-8  # probability with which a sound device exceeds the bound of one test


@dataclass(frozen=True)
class Statistic:
    """A statistic that is to be no larger than `bound`; `message` says in words what was found."""

    name: str
    value: float
    bound: float
    message: str = ""

    @property
    def outcome(self) -> Outcome:
        """Pass within the bound; a statistic that is not a number fails."""
        return Outcome.PASS if self.value <= self.bound else Outcome.FAIL

    def finding(self, check: str, reference: float | None) -> Finding:
        """Return it as a finding, beside the reference device's own statistic."""
        cause = None if self.outcome is Outcome.PASS else Cause.RANDOM
        return Finding(check, self.name, self.outcome, self.value, self.bound, reference=reference, message=self.message, cause=cause)
