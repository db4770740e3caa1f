"""Both environments, with what differs. Knows no other section."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reports.blocks import Block, Fold, Heading, Mark, Table, Text
from reports.frame import Frames

ORDER, TITLE = 60, "Environment"

# The recording allows only harmless variables; this is the second lock.
_SECRET = re.compile(r"TOKEN(?!IZERS)|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)


def render(frames: Frames) -> Sequence[Block]:
    """Return rows that differ, then those that are equal, folded."""
    ours, theirs = merged(frames.environments), merged(frames.comparison.get("reference_environments") or {})
    names = sorted({*ours, *theirs})
    differ: list[list[str | Mark]] = [[n, ours.get(n, "–"), theirs.get(n, "–")] for n in names if ours.get(n) != theirs.get(n)]
    equal: list[list[str | Mark]] = [[n, ours[n]] for n in names if ours.get(n) == theirs.get(n)]
    blocks: list[Block] = []
    if differ:
        blocks += [Heading("What differs"), Table("Different on the two sides", ["item", "candidate", "reference"], differ)]
    elif theirs:
        blocks.append(Text("The two environments are the same in every recorded item."))
    if equal:
        blocks.append(Fold(f"{len(equal)} items are equal on both sides", [Table("Equal on both sides", ["item", "value"], equal)]))
    return blocks


def merged(environments: Mapping[str, Any]) -> dict[str, str]:
    """Return dotted names and their values; a value that changed during the run (after a resume) shows both."""
    found: dict[str, list[str]] = {}
    for environment in environments.values():
        for name, value in flat(environment):
            values = found.setdefault(name, [])
            if value not in values:
                values.append(value)
    return {name: " / ".join(values) for name, values in found.items()}


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return (dotted name, text) pairs of nested JSON; a name that could hold a secret is left out."""
    if isinstance(value, Mapping):
        return [
            pair
            for key, part in value.items()
            if not _SECRET.search(str(key))
            for pair in flat(part, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        return [(prefix, ", ".join(" ".join(text for _, text in flat(part)) for part in value))]
    return [(prefix, str(value))]
