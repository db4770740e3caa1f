"""What other rules would have said of a case: it informs, and never decides. Knows no operator; the rules are in `harness/standards`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.case import Case
from harness.checks.cann_standard import finding_of
from harness.checks.evidence import Evidence, plain_name, told_of
from harness.standards import likeness, msprobe
from harness.standards.cann.exact import unequal
from harness.standards.cann.floating import Said
from harness.standards.segments import Output, Segments, in_groups, lay_out
from harness.verdict import Finding

_COSINES = (0.99, 0.999)


def operator_of(case: Case) -> str:
    """Return the lower-case name of a case's operator, as far as its id tells: `operators/layer_norm-odd[float32]` is `layer_norm`."""
    return case.id.split("[")[0].rsplit("/", 1)[-1].split("-")[0].lower()


@dataclass(frozen=True)
class OtherRules:
    """torch.testing.assert_close, cosine similarity above 0.99 and 0.999, msprobe's dual benchmark: a finding each, on the worst output."""

    name: str = "other_rules"

    def __call__(self, evidence: Evidence, /) -> list[Finding]:
        """Return a finding for each rule that covers one of the outputs."""
        exact, groups = _sorted(evidence)
        level = msprobe.level_of(operator_of(evidence.case))
        close, dual = list(exact), list(exact)
        alike: dict[float, list[Said]] = {least: [] for least in _COSINES}
        for dtype, segments in groups:
            close += likeness.assert_close(segments, dtype) if dtype in likeness.CLOSE else []
            dual += msprobe.judge(segments, dtype, level) if dtype in msprobe.CONFIGS and evidence.golden else []
            found = likeness.cosines(segments)
            for least, said in alike.items():
                said += likeness.above(segments.names, found, least)
        columns = {"assert_close": close, **{f"cosine > {least}": said for least, said in alike.items()}, f"msprobe dual {level}": dual}
        return [finding_of(self.name, rule, max(said, key=lambda s: s.badness)) for rule, said in columns.items() if said]


def _sorted(evidence: Evidence) -> tuple[list[Said], list[tuple[str, Segments]]]:
    """Return what the exact outputs come to, and the floating ones in groups of one dtype."""
    exact: list[Said] = []
    floating: dict[str, list[Output]] = {}
    for output, dtype in _outputs(evidence):
        if output.candidate.shape != output.reference.shape:
            exact.append(Said(output.name, "fail", "the shapes differ"))
        elif np.issubdtype(output.candidate.dtype, np.floating):
            if output.candidate.size and output.golden.shape == output.candidate.shape:
                floating.setdefault(dtype, []).append(output)
        elif output.candidate.dtype.kind in "iub":
            wrong = unequal(output.candidate, output.reference)
            exact.append(Said(output.name, "fail" if wrong else "pass", f"{wrong} elements differ" if wrong else ""))
    return exact, [(dtype, lay_out(group)) for dtype, outputs in floating.items() for group in in_groups(outputs)]


def _outputs(evidence: Evidence) -> Iterator[tuple[Output, str]]:
    """Yield the outputs that all sides have, with their dtypes; where there is no golden the reference stands for it."""
    golden = (evidence.golden or evidence.reference).tensors
    for name, dtype in evidence.candidate.dtypes.items():
        plain = plain_name(name)
        sides = [evidence.candidate.tensors.get(name), evidence.reference.tensors.get(plain), golden.get(plain)]
        found = [side for side in sides if side is not None]
        if len(found) == 3 and not told_of(name):
            yield Output(name, *found), dtype
