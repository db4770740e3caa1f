"""How fast it was, as a figure with its interval. It never fails a run for being slow. Knows no model.

The interval is that of the median by order statistics (Conover, Practical Nonparametric Statistics, 3.2): no distribution is assumed.
"""

from dataclasses import dataclass

from scipy.stats import binom

from harness.checks.evidence import Evidence
from harness.recording import Recording
from harness.verdict import Finding, Outcome


def median_interval(samples: tuple[float, ...]) -> tuple[float, float | None, float | None]:
    """Return the median and its 95 % interval; with fewer than six samples there is none, and the ends are None."""
    ordered, n = sorted(samples), len(samples)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    rank = int(binom.ppf(0.025, n, 0.5))
    return (median, None, None) if rank < 1 else (median, ordered[rank - 1], ordered[n - rank])


@dataclass(frozen=True)
class Throughput:
    """Work a second, from the raw rounds, beside the reference's."""

    name: str = "throughput"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return one finding without a bound; `mistrusted` when nothing was timed."""
        candidate, reference = evidence.candidate, evidence.reference
        unit = f"{candidate.unit}/s"
        if not candidate.seconds or min(candidate.seconds) <= 0:
            return [
                Finding(self.name, "rate", Outcome.MISTRUSTED, unit=unit, message="no round was timed; run without --benchmark-disable")
            ]
        rate, low, high = _rate(candidate)
        own = _rate(reference)[0] if reference.seconds else None
        text = f"median of {len(candidate.seconds)} rounds" + ("" if low else "; fewer than six rounds carry no 95 % interval")
        return [Finding(self.name, "rate", Outcome.PASS, rate, None, unit, own, low, high, message=text)]


def _rate(recording: Recording) -> tuple[float, float | None, float | None]:
    median, low, high = median_interval(recording.seconds)
    return recording.work / median, recording.work / high if high else None, recording.work / low if low else None
