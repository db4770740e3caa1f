"""What localising a case found, in words and on disk. Knows no device and no workload.

`localised/<case>.json` is the result; beside it, `.safetensors` holds the operands of the first operator that is off, from which
`python -m harness.replay` makes that one call again. Nothing is pickled.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.case import Case
from harness.errors import AssayError
from harness.localise.arguments import read_back, tensors_in, written_down
from harness.localise.call import Call
from harness.localise.growth import Row
from harness.localise.lockstep import Pass
from harness.localise.operators import by_name
from harness.recording import FORMAT, read_json, slug, write_json

FOLDER = "localised"
_LARGEST = 512 << 20  # bytes of operands that are saved


@dataclass
class Localisation:
    """What was found about one case: up to two passes in step, the growth when both sides run freely, and what went wrong."""

    case: str
    dtype: str
    candidate: str
    reference: str
    passes: list[Pass] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def guilty(self) -> Pass | None:
        """The pass that found the first offender."""
        return next((p for p in self.passes if p.first), None)


def stem_of(run: Path, case: str) -> Path:
    """Return where the localisation of a case lies in a Run, without a suffix."""
    return run / FOLDER / slug(case)


def conclusion(document: Mapping[str, Any]) -> str:
    """Say in one or two sentences what a stored localisation found."""
    if first := document["first"]:
        place = f"{first['phase']}, {first['path'] or 'outside of any module'}"
        cause = f" [likely cause: {first['cause']}]" if first["cause"] else ""
        what = "is off by itself" if first["state"] == "off" else "raises"
        ran = document["passes"][-1]
        number = f"number {first['index']} of {ran['seen']} on {ran['driver']}"
        figures = f"{first['metric']} {first['message']}".strip()
        return f"the first operator that {what} is {first['operator']} ({place}; {number}): {figures}{cause}"
    if not document["passes"]:
        return "not localised: " + "; ".join(document["notes"])
    compared = sum(document["passes"][0]["counts"].get(state, 0) for state in ("equal", "close", "unjudged"))
    equal = document["passes"][0]["counts"].get("equal", 0)
    text = f"no single operator is off by itself ({compared} compared, {equal} equal bit by bit)"
    if (worst := next(iter(document["worst"]), None)) and worst["ratio"]:
        text += f"; the largest ratio to what is allowed is {worst['ratio']:.2g}, at {worst['operator']}"
        text += f" ({worst['phase']}, {worst['path'] or 'outside of any module'})"
    if alone := [r["operator"] for p in document["passes"] for r in p["refused"] if r["unsupported"]]:
        text += f"; not compared, because one side lacks them: {', '.join(sorted(set(alone)))}"
    return text + ("; " + "; ".join(document["notes"]) if document["notes"] else "")


def write(found: Localisation, stem: Path) -> dict[str, Any]:
    """Write a localisation, and the operands of its first offender; return the document. Raises OSError (disk full)."""
    guilty = found.guilty
    replay = _save(guilty.call, stem, found.notes) if guilty and guilty.call else None
    worst = sorted((step for p in found.passes for step in p.worst), key=lambda step: -step.figures.ratio)
    last = guilty or (found.passes[0] if found.passes else None)
    document: dict[str, Any] = {
        "format": FORMAT, "case": found.case, "dtype": found.dtype, "candidate": found.candidate, "reference": found.reference,
        "first": guilty.first.to_json() if guilty and guilty.first else None,
        "offenders": [step.to_json() for step in last.offenders] if last else [],
        "worst": [step.to_json() for step in (last.worst if guilty and last else worst)[:10]],
        "passes": [_pass(p) for p in found.passes], "growth": [asdict(row) for row in found.growth],
        "notes": found.notes, "replay": replay, "seconds": found.seconds,
    }  # fmt: skip
    document["conclusion"] = conclusion(document)
    write_json(stem.parent / f"{stem.name}.json", document)
    return document


def not_localised(case: Case, candidate: str, reference: str, why: str, stem: Path) -> dict[str, Any]:
    """Write, and return, that a case could not be localised, and why."""
    return write(Localisation(case.id, case.dtype, candidate, reference, notes=[why]), stem)


def _pass(found: Pass) -> dict[str, object]:
    refused = [{"operator": name, "message": text, "calls": n, "unsupported": un} for (name, text, un), n in found.refused.items()]
    return {"driver": found.driver, "seen": found.seen, "counts": dict(found.counts), "note": found.note, "refused": refused[:20]}


def _save(call: Call, stem: Path, notes: list[str]) -> dict[str, object] | None:
    size = sum(t.untyped_storage().nbytes() for t in tensors_in(call.arguments))
    if size > _LARGEST:
        notes.append(f"its operands ({size >> 20} MiB) are too large to be saved, so it cannot be replayed alone")
        return None
    tensors: dict[str, Tensor] = {}
    try:
        arguments = written_down(list(call.arguments[0]), tensors)
        named = [[name, written_down(value, tensors)] for name, value in call.arguments[1].items()]
    except TypeError as error:
        notes.append(f"it cannot be replayed alone: {error}")
        return None
    stem.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, stem.parent / f"{stem.name}.safetensors")
    return {"operator": call.name, "arguments": arguments, "named": named}


def read(stem: Path) -> tuple[dict[str, Any], Call]:
    """Read a localisation and the call that it saved, with operands on the host. Raises AssayError: none there, or none saved."""
    path = stem.parent / f"{stem.name}.json"
    document = read_json(path)
    saved = document.get("replay")
    if not saved:
        raise AssayError(f"{path}: no operator was saved: {document.get('conclusion', 'it is no localisation')}")
    host = torch.device("cpu")
    try:
        tensors = load_file(stem.parent / f"{stem.name}.safetensors")
        positional = read_back(saved["arguments"], tensors, host)
        named = {name: read_back(value, tensors, host) for name, value in saved["named"]}
        return document, Call(by_name(saved["operator"]), (positional, named), host)
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError, SafetensorError) as error:
        raise AssayError(f"{path}: the saved operator cannot be read ({error}); localise again") from error
