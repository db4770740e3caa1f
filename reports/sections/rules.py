"""What other people's rules would have said of the same outputs, and where they disagree with our verdict. Knows no rule's arithmetic."""

from collections.abc import Sequence

import pandas as pd

from harness.verdict import WOULD_SAY
from reports.blocks import Block, Fold, Mark, Table, Text
from reports.frame import Frames, records

ORDER, TITLE = 25, "What other rules would have said"
_LISTED = 200
_SAYS = ("pass", "fail", "investigate")


def render(frames: Frames) -> Sequence[Block]:
    """Return how often each rule passes and fails, and the cases on which a rule and our verdict disagree, folded."""
    said = told(frames)
    if said.empty:
        return []
    text = (
        "The same recorded outputs, judged by rules that others use. They inform: no verdict of ours depends on them. A rule that passes "
        "what we fail may miss a fault; a rule that fails what we pass may raise a false alarm. Neither is proof."
    )
    folds = [_disagreements(said, rule) for rule in said["rule"].unique()]
    return [Text(text), _counts(said), *(fold for fold in folds if fold)]


def told(frames: Frames) -> pd.DataFrame:
    """Return a row for each case and rule: `case`, `rule`, what it `says`, `why`, and our `verdict`."""
    found = frames.findings[frames.findings["subject"].str.startswith(WOULD_SAY)]
    ours = frames.verdicts.set_index("case")["outcome"]
    says = found["message"].str.partition(": ")
    return pd.DataFrame(
        {
            "case": found["case"], "rule": found["subject"].str.removeprefix(WOULD_SAY),
            "says": says[0] if len(found) else found["message"], "why": says[2] if len(found) else found["message"],
            "verdict": found["case"].map(ours),
        }
    )  # fmt: skip


def _counts(said: pd.DataFrame) -> Table:
    rows = []
    for rule, group in said.groupby("rule", sort=False):
        counts = group["says"].value_counts()
        missed, alarms = _missed(group), _alarms(group)
        rows.append([str(rule), *(str(counts.get(s, 0)) for s in _SAYS), str(len(missed)), str(len(alarms))])
    head = ["rule", *_SAYS, "passes what we fail", "fails what we pass"]
    return Table("Verdicts of other rules, one a case", head, rows, numeric=head[1:])


def _missed(said: pd.DataFrame) -> pd.DataFrame:
    return said[(said["says"] == "pass") & said["verdict"].isin(["fail", "waived"])]


def _alarms(said: pd.DataFrame) -> pd.DataFrame:
    return said[(said["says"] != "pass") & (said["verdict"] == "pass")]


def _disagreements(said: pd.DataFrame, rule: str) -> Fold | None:
    group = said[said["rule"] == rule]
    apart = pd.concat([_missed(group), _alarms(group)])
    if apart.empty:
        return None
    rows: list[list[str | Mark]] = [
        [str(r.case), Mark(str(r.verdict)), str(r.says), str(r.why) or "–"] for r in records(apart.head(_LISTED))
    ]  # fmt: skip
    caption = f"{rule} against our verdict"
    more = f" (the first {_LISTED})" if len(apart) > _LISTED else ""
    return Fold(f"{rule}: {len(apart)} disagreements", [Table(f"{caption}{more}", ["case", "our verdict", "the rule says", "why"], rows)])
