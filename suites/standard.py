"""How much of the CANN standard is run: `--standard quick`, `full`, or figures such as `count=100,repeats=50`. Knows no workload.

`full` asks for the official counts, repeats and sizes. It records no seeds for a re-check, which would take 200 times the disk: a case that
fails is run again with `--standard first=<i>,count=1,seeds=1000,...`, which is when the standard asks for them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from harness.case import Case, Scalar
from harness.errors import AssayError
from harness.standards.cann.shapes import CELLS, count_per_dtype
from harness.standards.cann.thresholds import LEVELS

PREFIX = "operators/standard"
FIGURES = ("first", "count", "seeds", "repeats", "cells", "memory")
_DAY = 86_400.0  # seconds; 30,000 cases a thousand times each take hours


def apply(cases: Mapping[str, Case], wanted: str) -> dict[str, Case]:
    """Return all cases, those of the standard with what `wanted` says. Raises AssayError when it says nothing known."""
    if wanted == "quick":
        return dict(cases)
    dtypes = Counter(str(case.params["operator"]) for case in cases.values() if _counted(case))
    figures = {} if wanted == "full" else _figures(wanted)
    changed = {}
    for name, case in cases.items():
        if name.startswith(PREFIX):
            figures_here = _official(case, dtypes) if wanted == "full" else figures
            case = replace(case.with_params(**figures_here), timeout=_DAY)
        changed[name] = case
    return changed


def told(case: Case, listed: Case) -> str:
    """Return the option that makes `case` of the case as it is listed; empty where it is the same."""
    changed = [f"{key}={value}" for key, value in case.params.items() if key in FIGURES and value != listed.params.get(key)]
    return f" --standard {','.join(changed)}" if case.id.startswith(PREFIX) and changed else ""


def _counted(case: Case) -> bool:
    return case.id.startswith(f"{PREFIX}/") and "level" in case.params


def _official(case: Case, dtypes: Mapping[str, int]) -> dict[str, Scalar]:
    if not _counted(case):
        return {}
    level = str(case.params["level"])
    return {
        "count": count_per_dtype(level, dtypes[str(case.params["operator"])]), "repeats": LEVELS[level].repeats,
        "seeds": 0, "cells": CELLS,
    }  # fmt: skip


def _figures(wanted: str) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for part in wanted.split(","):
        key, _, value = part.partition("=")
        if key not in FIGURES or not value.isdecimal():
            raise AssayError(f"--standard {wanted}: {part!r} is none of quick, full, or {', '.join(f'{f}=N' for f in FIGURES)}")
        found[key] = int(value)
    return found
