"""What `harness.localise` left in a Run, checked: a Run may come from anybody. Knows no section."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from harness.recording import read_json


@dataclass(frozen=True)
class Step:
    """One operator: its name and place, and its figures in `unit`; NaN where there is none."""

    operator: str
    place: str
    operands: str
    measured: float
    bound: float
    reference: float
    ratio: float
    unit: str
    cause: str
    message: str


@dataclass(frozen=True)
class Grown:
    """One module's output when both sides run freely: distances from float64, and of the two sides, in u; NaN where there is none."""

    path: str
    candidate: float
    reference: float
    between: float


@dataclass(frozen=True)
class Localised:
    """One case: the conclusion in words, the first operator that is off (if any), the worst ones, and the growth by module.

    `replay` is the path to be given to `python -m harness.replay`, empty where no operator was saved.
    """

    conclusion: str
    first: Step | None
    worst: tuple[Step, ...]
    growth: tuple[Grown, ...]
    replay: str


def load(folder: Path) -> dict[str, Localised]:
    """Return all localisations of a Run by case. Raises AssayError naming a file that is none."""
    found = {}
    for path in sorted((folder / "localised").glob("*.json")):
        document = read_json(path)
        try:
            found[_text(document["case"])] = _localised(document, path.with_suffix(""))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AssayError(f"{path}: is no localisation ({error!r}); remove it, or localise again") from error
    return found


def _localised(document: Mapping[str, Any], stem: Path) -> Localised:
    first = _step(document["first"]) if document["first"] else None
    worst = tuple(_step(step) for step in document["worst"])
    growth = tuple(
        Grown(_text(row["path"]) or "the whole model", *(_number(row[name]) for name in ("candidate", "reference", "between")))
        for row in document["growth"]
    )
    return Localised(_text(document["conclusion"]), first, worst, growth, _text(stem) if document["replay"] else "")


def _step(step: Mapping[str, Any]) -> Step:
    place = ", ".join(_text(part) for part in (step["phase"], step["path"]) if part)
    measured, bound, reference, ratio = (_number(step[name]) for name in ("measured", "bound", "reference", "ratio"))
    unit, cause, message = (_text(step[name] or "") for name in ("unit", "cause", "message"))
    return Step(_text(step["operator"]), place, _text(step["operands"]), measured, bound, reference, ratio, unit, cause, message)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)  # numbers that are not finite are stored as text


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode("utf-8")
