"""The mutation score as it was last stored: what the suite catches of seeded faults. Knows not how it is measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("mutation.json")


def stored(path: Path = STORED) -> Mapping[str, Any]:
    """Return what `python -m suites.mutation` wrote: `line`, `figures`, `rows`, `created` and where. Empty: never measured here."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return dict(json.loads(text))
