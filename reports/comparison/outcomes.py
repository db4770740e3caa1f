"""Several runs by outcome, and which cases ended differently in two of them. Knows no figure."""

from collections.abc import Sequence

import pandas as pd

from harness.verdict import FAILING
from reports.blocks import Block, Mark, Table, Text
from reports.frame import OUTCOMES, Frames, records
from reports.phrases import Words
from reports.words import device, moment

_FAILED = frozenset(map(str, FAILING))


def side_by_side(runs: Sequence[Frames]) -> list[Block]:
    """Return what a reader wants of several runs before any of them: devices and outcomes."""
    present = {outcome for frames in runs for outcome in frames.verdicts["outcome"].unique()}
    used = [outcome for outcome in OUTCOMES if outcome in ("pass", "fail") or outcome in present]
    rows: list[list[Words | Mark]] = []
    for frames in runs:
        counts = frames.verdicts["outcome"].value_counts()
        about = " (one device)" if frames.comparison.get("self_comparison") else ""
        names = [device(frames.side("candidate")) + about, device(frames.side("reference"))]
        rows.append([frames.name, moment(frames.created), *names, *(str(int(counts.get(outcome, 0))) for outcome in used)])
    return [Table("Runs side by side", ["run", "begun", "candidate", "reference", *used], rows, numeric=used)]


def paired(before: Frames, after: Frames) -> pd.DataFrame:
    """Return a row for each case of either run with its outcome in both; NaN where a run does not have it."""
    ends = [frames.verdicts.set_index("case")[["outcome", "message"]] for frames in (before, after)]
    return ends[0].add_suffix("_before").join(ends[1].add_suffix("_after"), how="outer").reset_index()


def worse(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that failed no run before and do now."""
    return pairs[pairs["outcome_after"].isin(_FAILED) & ~pairs["outcome_before"].isin(_FAILED) & pairs["outcome_before"].notna()]


def better(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that pass now and failed before."""
    return pairs[pairs["outcome_before"].isin(_FAILED) & pairs["outcome_after"].eq("pass")]


def changed(before: Frames, after: Frames) -> list[Block]:
    """Return every case whose outcome differs, those that became worse first, and how many only one run has."""
    pairs = paired(before, after)
    both = pairs.dropna(subset=["outcome_before", "outcome_after"])
    differ = both[both["outcome_before"] != both["outcome_after"]]
    lost, gained = worse(pairs), better(pairs)
    text = f"Of {len(both)} cases that both runs have, {len(differ)} ended differently: {len(lost)} fail now that did not"
    blocks: list[Block] = [Text(f"{text}, {len(gained)} pass now that failed.")]
    order = differ.assign(rank=differ["case"].isin(lost["case"]) * -2 + differ["case"].isin(gained["case"]) * -1)
    rows: list[list[Words | Mark]] = [
        [str(r.case), Mark(str(r.outcome_before)), Mark(str(r.outcome_after)), str(r.message_after) or "–"]
        for r in records(order.sort_values(["rank", "case"]).head(501))
    ]
    if rows:
        blocks.append(Table("Cases that ended differently", ["case", "A", "B", "in B"], rows))
    return [*blocks, *_only(before, pairs, "outcome_after", "A"), *_only(after, pairs, "outcome_before", "B")]


def _only(frames: Frames, pairs: pd.DataFrame, missing: str, name: str) -> list[Block]:
    """Say which cases only one run has: a case that was left out is no pass."""
    alone = sorted(pairs.loc[pairs[missing].isna(), "case"])
    some = ", ".join(alone[:10]) + (f" and {len(alone) - 10} more" if len(alone) > 10 else "")
    return [Text(f"{len(alone)} cases are in {name} only ({frames.name}): {some}.", "note")] if alone else []
