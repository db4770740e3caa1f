"""Which waivers excused something, who signed them and until when; the reasons are in their owners' words. Knows no other section."""

from collections.abc import Sequence

from reports.blocks import Block, Table, Text
from reports.frame import Frames, records
from reports.phrases import Words, say

ORDER, TITLE = 30, "title-signed"


def render(frames: Frames) -> Sequence[Block]:
    """Return a row a waiver that applied; a sentence where none did."""
    found = frames.findings[frames.findings["check"] == "waiver"]
    if found.empty:
        return [Text(say("signed-none"))]
    known = {waiver["source"]: waiver for waiver in frames.waivers}
    rows: list[list[Words]] = []
    for source, group in found.groupby("subject", observed=True):
        waiver = known.get(str(source))
        first = next(records(group))
        if waiver is None:  # gone since, after a resume: its sentence is left
            rows.append([str(first.message), "–", "–", str(len(group))])
            continue
        until: Words = say("signed-expired", date=waiver["expires"]) if waiver["state"] == "expired" else waiver["expires"]
        rows.append([waiver["reason"], waiver["owner"], until, str(len(group))])
    head = [say(f"head-{name}") for name in ("reason", "owner", "until", "applies")]
    return [Text(say("signed-about")), Table(say("table-signed"), head, rows, numeric=head[3:])]
