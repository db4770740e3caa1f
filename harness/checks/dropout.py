"""Does dropout drop at random, scale what it keeps by just 1 / (1 - p), and drop the same of the gradient? Knows no other operator."""

from dataclasses import dataclass

import numpy as np

from harness.checks.chance import Statistic
from harness.checks.closeness import UNIT_ROUNDOFF
from harness.checks.distribution import seeds_of, statistics_of
from harness.checks.evidence import Evidence
from harness.checks.laws import bernoulli
from harness.recording import Recording
from harness.verdict import Finding

_BEGINNING = 256


@dataclass(frozen=True)
class Dropout:
    """`first`, `second`, `anew` and `other` as for a distribution, of dropout with probability `p` of `operand`, which has no 0.

    `grad` is the gradient that `first` sends back for ones. Outputs are [n], or [n, pixels] where whole channels are dropped.
    """

    p: float
    name: str = "dropout"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return the findings of the mask's distribution, and of scale and gradient."""
        theirs = {test.name: test.value for test in self.tests(evidence.reference)}
        return [test.finding(self.name, theirs.get(test.name)) for test in self.tests(evidence.candidate)]

    def tests(self, recording: Recording) -> list[Statistic]:
        """Apply every test to one recording."""
        drawn = {name: values.reshape(len(values), -1) for name, values in recording.tensors.items()}
        masks = {name: (drawn[name] != 0).astype(np.int64)[:, 0] for name in ("first", "second", "anew", "other")}
        parts = [
            *statistics_of(bernoulli(1 - self.p), masks["first"], masks["second"], "int64"),
            seeds_of(masks["first"][:_BEGINNING], masks["anew"][:_BEGINNING], masks["other"][:_BEGINNING]),
        ]
        roundoff = UNIT_ROUNDOFF[recording.dtypes["first"]]
        return [*parts, _whole(drawn["first"]), self._scale(drawn["operand"], drawn["first"], roundoff), self._gradient(drawn, roundoff)]

    def _scale(self, operand: np.ndarray, out: np.ndarray, roundoff: float) -> Statistic:
        """The largest error of a kept element against operand / (1 - p), in u: the scale, a product, each rounded by at most one ulp."""
        wanted = operand.astype(np.float64) / (1 - self.p)
        errors = np.where(out == 0, 0.0, np.abs(out / wanted - 1)) / roundoff
        worst = float(errors.max())
        return Statistic("scale", worst, 4.0, f"a kept element is {worst:.3g} u from operand / (1 - {self.p:g})")

    def _gradient(self, drawn: dict[str, np.ndarray], roundoff: float) -> Statistic:
        """How many elements of the gradient are not 0 where the element was dropped, or not 1 / (1 - p) where it was kept."""
        grad, kept = drawn["grad"], drawn["first"] != 0
        wrong = int(np.count_nonzero(np.abs(grad * (1 - self.p) - kept) > 4 * roundoff))
        return Statistic(
            "gradient", float(wrong), 0.0, f"{wrong} of {grad.size} elements have another mask or scale than forward" if wrong else ""
        )


def _whole(out: np.ndarray) -> Statistic:
    split = int(np.count_nonzero(((out != 0) != (out[:, :1] != 0)).any(axis=1)))
    return Statistic("channels", float(split), 0.0, f"{split} channels are dropped in part" if split else "")
