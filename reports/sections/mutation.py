"""What the suite catches of seeded faults, as it was last measured. Knows no other section and how no fault works."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reports.blocks import Block, Fold, Mark, Table, Text, Tile, Tiles
from reports.frame import Frames
from reports.words import moment

ORDER, TITLE = 75, "Mutation score"


def render(frames: Frames) -> Sequence[Block]:
    """Return the score that travels with the Run; nothing where it has none."""
    score = frames.mutation
    if not score:
        return []
    rows = list(score["rows"])
    faults, benign = [r for r in rows if r["expected"]], [r for r in rows if not r["expected"]]
    return [
        Text(
            "How much can a pass be trusted? Faults of known kinds, most of them reported of devices, were put into single operators, "
            "forward and backward, and the cases of this suite were judged by the rules that judged this run. Beside them stand "
            "benign variants, which must not fail anything: other orders of summation, fused and unfused forms, other algorithms of "
            "the same accuracy."
        ),
        _tiles(score["figures"]),
        Text(f"Measured {_when(score, frames.created)}. {_limits(score)}", "note"),
        *_missed(faults),
        Fold(f"All {len(faults)} faults", [_faults(faults)]),
        Fold(f"All {len(benign)} benign variants", [_benign(benign)]),
    ]


def _tiles(figures: Mapping[str, int]) -> Tiles:
    caught, faults = figures["caught"], figures["faults"]
    alarms, right, named = figures["alarms"], figures["right"], figures["named"]
    return Tiles(
        [
            Tile("faults caught", f"{caught} of {faults}", "at least 95 %", "pass" if caught >= 0.95 * faults else "fail"),
            Tile("false alarms", f"{alarms} of {figures['benign']}", "benign variants; none is allowed", "fail" if alarms else "pass"),
            Tile(
                "cause named rightly", f"{right} of {named}", "of those caught; at least 90 %", "pass" if right >= 0.9 * named else "fail"
            ),
        ]
    )


def _when(score: Mapping[str, Any], run: str) -> str:
    where = f"on {score['device']}{', emulated' if score['emulated'] else ''} ({score['hardware']}), with " + ", ".join(
        f"{name} {version}" for name, version in sorted(score["packages"].items())
    )
    return f"{moment(score['created'])}{_age(score['created'], run)}, {where}"


def _age(created: str, run: str) -> str:
    """Say how much older the score is than the run."""
    try:
        days = (datetime.fromisoformat(run).astimezone(UTC) - datetime.fromisoformat(created).astimezone(UTC)).days
    except ValueError:
        return ""
    return f", {days} days before this run" if days > 1 else ""


def _limits(score: Mapping[str, Any]) -> str:
    text = "The same authors wrote the faults and the rules, so the score is an upper estimate for faults that nobody thought of. "
    text += (
        f"A fault was put to at most {score['fault_cases']} cases that reach its operators, a benign variant to {score['benign_cases']}. "
    )
    text += f"The emulator: {score['emulator']}."
    for name, why in score["not_counted"].items():
        text += f" Not counted: {name}, because {why}."
    return text


def _missed(faults: Sequence[Mapping[str, Any]]) -> list[Block]:
    missed = [row for row in faults if not row["failed"] and row["struck"]]
    if not missed:
        return []
    cells = [[str(row["name"]), ", ".join(row["operators"]), f"{row['cases']} cases pass"] for row in missed]
    return [Table("Faults that nothing caught", ["fault", "operators", "what happened"], cells)]


def _faults(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells: list[list[str | Mark]] = []
    for row in rows:
        first = row["shown"][0] if row["shown"] else {}
        place = f"{first['case']}: {first['check']} of {first['subject']}" if first else ""
        named = row["named"] or "none"
        cause = "" if not row["failed"] else named if row["named"] in row["expected"] else f"{named}, not {' or '.join(row['expected'])}"
        cells.append(
            [
                str(row["name"]),
                "caught" if row["failed"] else "missed" if row["struck"] else "not reached",
                cause,
                f"{row['failed']} of {row['cases']}",
                place,
                str(row["source"]),
            ]
        )
    return Table(
        "Seeded faults",
        ["fault", "outcome", "cause named", "cases that fail", "the first", "reported as"],
        cells,
        numeric=("cases that fail",),
    )


def _benign(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = [
        [
            str(row["name"]),
            "ALARM" if row["failed"] else "silent" if row["struck"] else "not reached",
            str(row["cases"]),
            str(row["source"]),
        ]
        for row in rows
    ]
    return Table("Benign variants", ["variant", "outcome", "cases", "why it is legal"], cells, numeric=("cases",))
