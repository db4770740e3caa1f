"""What the CANN operator precision standard says of a case. Knows no operator; the rules are in `harness/standards/cann`.

By default it informs: a finding that passes, whose message says what the standard would have said. It decides where a case asks for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.checks.evidence import Evidence, Sides, told_of
from harness.standards.cann import exact
from harness.standards.cann.floating import METRICS, Said, errors_of, judge, ratios
from harness.standards.cann.repetition import recheck
from harness.standards.cann.special import Special, classify
from harness.standards.cann.thresholds import FORMATS
from harness.standards.segments import Output, in_groups, lay_out
from harness.verdict import WOULD_SAY, Finding, Outcome

_OUTCOMES = {"pass": Outcome.PASS, "fail": Outcome.FAIL, "investigate": Outcome.INCOMPARABLE}
_BY_BITS = {"bitwise": exact.bitwise, "equal": exact.unequal, "step": exact.beyond_a_step}


@dataclass(frozen=True)
class CannStandard:
    """Every floating and integer output, by the standard at `level`; one finding, on the worst output.

    `decides`: the finding's outcome is the standard's. `integers` is what integer outputs are held to ("equal", or "step" for a
    quantised result), `floats` what floating ones are ("floating", or "bitwise" for data that are only moved). `seeds`: outputs have a
    first dimension for seeds; the first is judged, and if it fails the others are its re-check. `as_dtype` replaces the dtype in tables
    ("hifloat32": float32 computed with short operands). `inf_nan_mode` false: INF_NAN_MODE_ENABLE=0 on the candidate.
    """

    level: str = "L0"
    decides: bool = False
    seeds: bool = False
    integers: str = "equal"
    floats: str = "floating"
    as_dtype: str = ""
    inf_nan_mode: bool = True
    name: str = "cann_standard"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return the finding; none where the standard covers no output (float64, complex)."""
        said = list(self._said(evidence))
        if not said:
            return []
        worst = max(said, key=lambda s: s.badness)
        return [finding_of(self.name, f"CANN {self.level}", worst, self.decides)]

    def _said(self, evidence: Evidence) -> Iterator[Said]:
        floats: dict[str, list[Output]] = {}
        for name, dtype in {**evidence.reference.dtypes, **evidence.candidate.dtypes}.items():
            if told_of(name):
                continue
            sides = evidence.sides(name)
            if isinstance(sides, str) or not sides.one_shape():
                missing = isinstance(sides, str)
                yield Said(name, "investigate" if missing else "fail", str(sides) if missing else "the shapes differ")
                continue
            table = self.as_dtype or dtype
            floating = np.issubdtype(sides.candidate.dtype, np.floating)
            if floating and self.floats == "floating":
                if table in FORMATS and sides.golden.size:
                    floats.setdefault(table, []).append(Output(name, *sides))
            elif sides.candidate.dtype.kind in "fiub":
                yield _by_bits(name, self._exact_rule(sides.candidate.dtype.kind), sides)
        for dtype, outputs in floats.items():
            yield from self._floating(outputs, dtype)

    def _exact_rule(self, kind: str) -> str:
        return {"f": self.floats, "b": "equal"}.get(kind, self.integers)

    def _floating(self, outputs: list[Output], dtype: str) -> Iterator[Said]:
        first = [Output(o.name, *(side[0] for side in o[1:])) for o in outputs] if self.seeds else outputs
        found = [said for group in in_groups(first) for said in judge(lay_out(group), dtype, self.level, self.inf_nan_mode)]
        for output, said in zip(outputs, found, strict=True):
            yield self._again(output, said, dtype) if said.says == "fail" and said.metric in METRICS else said

    def _again(self, output: Output, said: Said, dtype: str) -> Said:
        """Re-check an output that failed by a ratio, with the seeds that were recorded beside it."""
        if not self.seeds:
            return said
        rows = [Output("", *(side[i] for side in output[1:])) for i in range(1, len(output.golden))]
        found = [ratio for group in in_groups(rows) for ratio in self._ratios(group, dtype, METRICS.index(said.metric))]
        result = recheck(found)
        if result.passed:
            return replace(said, says="pass", why=f"{said.why}, but the re-check passes: {result.why}")
        return replace(said, why=f"{said.why}; re-checked: {result.why}")

    def _ratios(self, rows: list[Output], dtype: str, metric: int) -> list[float]:
        segments = lay_out(rows)
        classes = classify(segments.outputs[0], segments.outputs[1], segments.golden, dtype, self.inf_nan_mode)
        usable = np.ones(segments.golden.shape, dtype=bool) if classes is None else classes == Special.ORDINARY
        return [float(ratio) for ratio in ratios(errors_of(segments, dtype, usable))[metric]]


def _by_bits(name: str, rule: str, sides: Sides) -> Said:
    wrong = _BY_BITS[rule](sides.candidate, sides.golden)
    words = {"bitwise": "differ in their bits", "equal": "differ", "step": "are off by more than one"}
    return Said(name, "fail" if wrong else "pass", f"{wrong} of {sides.golden.size} elements {words[rule]}" if wrong else "", rule)


def finding_of(check: str, rule: str, said: Said, decides: bool = False) -> Finding:
    """Return a finding for what a rule says; unless it decides, it passes, and its subject says that it is somebody else's word."""
    text = said.says if said.says == "pass" and not said.why else f"{said.says}: {said.output}: {said.why}"
    subject, outcome = (rule, _OUTCOMES[said.says]) if decides else (f"{WOULD_SAY}{rule}", Outcome.PASS)
    if not said.bound:
        return Finding(check, subject, outcome, message=text)
    return Finding(check, subject, outcome, said.ratio, said.bound, f"x {said.metric}", message=text)
