"""Figures that others published of post-training, inference and accuracy, and the rates of devices. Knows no run and no verdict.

They lie in `published.toml`, each with its source and with what one must know before setting a figure beside another. Every Run carries
them, so that a report can do so; only `reports/sections/published.py` decides what is comparable.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from reference.links import plain_address

#: The registry that comes with Assay.
PACKAGED = Path(__file__).with_name("published.toml")

KINDS = ("training", "inference", "accuracy")
#: What a figure is a figure of: one silicon die (a logical device), a card, a machine, all machines together, or no hardware at all.
PER = ("die", "card", "machine", "system", "presumed-device", "none")
#: What makes a figure unlike one that is measured here.
FLAGS = ("offline", "forced-balance", "estimated", "mtp-acceptance", "presumed-unit", "quantised", "random-weights", "other-reference")

_TABLES = ("figures", "peaks", "bandwidths")
_DATE_LENGTHS = (4, 7, 10)


@dataclass(frozen=True)
class Figure:
    """A published figure: `value` in `unit`, `per` what, of a model in a stage, on hardware.

    `hardware` is text for people; `device` is a pattern of the name by which the framework knows such hardware, or empty where none is.
    `devices` says how many of what. `date` is a year, a month or a day in ISO 8601, or "undated". `link` may be empty where `source`
    is all there is. `upto`: the upper end where a range was published.
    """

    name: str
    kind: str
    model: str
    stage: str
    measure: str
    value: float
    unit: str
    per: str
    hardware: str
    source: str
    date: str
    devices: str = ""
    device: str = ""
    upto: float | None = None
    conditions: str = ""
    flags: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True)
class Peak:
    """A peak rate of dense matrix products: `low` to `high` operations a second in `dtype`, of one `per` (a die or a card).

    `device` is a pattern of the framework's name for one logical device, which is what `per` says: of a card with two dies, one die.
    """

    name: str
    device: str
    hardware: str
    dtype: str
    low: float
    high: float
    per: str
    source: str
    estimated: bool = False
    link: str = ""


@dataclass(frozen=True)
class Bandwidth:
    """How fast the memory beside a device can be read or written: `low` to `high` bytes a second, of one `per` (a die or a card).

    `device` and `per` are those of `Peak`.
    """

    name: str
    device: str
    hardware: str
    low: float
    high: float
    per: str
    source: str
    estimated: bool = False
    link: str = ""


_OPTIONAL = {"devices", "device", "upto", "conditions", "flags", "link", "estimated"}
_NUMBERS = {"value", "upto", "low", "high"}


def stored(path: Path = PACKAGED) -> Mapping[str, Any]:
    """Return `figures`, `peaks` and `bandwidths`, JSON-able, each a list of tables in the order of the file. Raises as `load` does."""
    tables: Sequence[Sequence[Figure | Peak | Bandwidth]] = load(path)
    return {name: [asdict(entry) for entry in entries] for name, entries in zip(_TABLES, tables, strict=True)}


def load(path: Path = PACKAGED) -> tuple[tuple[Figure, ...], tuple[Peak, ...], tuple[Bandwidth, ...]]:
    """Read the registry. Raises AssayError, in one line that names file and entry, for what is missing, unknown or malformed."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # tomllib's error, and that of undecodable bytes, are ValueErrors
        raise AssayError(f"{path}: cannot be read as TOML ({error})") from None
    for table in document:
        if table not in _TABLES:
            known = ", ".join(f"[{name}.<name>]" for name in _TABLES)
            raise AssayError(f"{path}: has the unknown table {table!r}; there are {known}")
    figures = tuple(_figure(f"{path.name}: {name}", name, entry) for name, entry in document.get("figures", {}).items())
    peaks = tuple(Peak(**_rate(f"{path.name}: {name}", name, entry, Peak)) for name, entry in document.get("peaks", {}).items())
    bandwidths = tuple(
        Bandwidth(**_rate(f"{path.name}: {name}", name, entry, Bandwidth)) for name, entry in document.get("bandwidths", {}).items()
    )
    return figures, peaks, bandwidths


def _figure(where: str, name: str, entry: object) -> Figure:
    values = _values(where, name, entry, Figure)
    _one_of(where, "kind", values["kind"], KINDS)
    _one_of(where, "per", values["per"], PER)
    flags = values.get("flags", [])
    if not isinstance(flags, list):
        raise AssayError(f'{where}: flags is a list, as flags = ["offline"], not {flags!r}')
    for flag in flags:
        _one_of(where, "flags", flag, FLAGS)
    _check_date(where, values["date"])
    if values.get("upto") is not None and values["upto"] < values["value"]:
        raise AssayError(f"{where}: upto is {values['upto']}, less than value {values['value']}; write the lower end as value")
    return Figure(**{**values, "flags": tuple(flags)})


def _rate(where: str, name: str, entry: object, kind: type[Peak] | type[Bandwidth]) -> dict[str, Any]:
    values = _values(where, name, entry, kind)
    _one_of(where, "per", values["per"], ("die", "card"))
    if not 0 < values["low"] <= values["high"]:
        raise AssayError(f"{where}: low is {values['low']} and high {values['high']}; a rate is positive, and low is not above high")
    return values


def _values(where: str, name: str, entry: object, kind: type[Figure] | type[Peak] | type[Bandwidth]) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise AssayError(f"{where}: is no table; write [figures.{name}] and its values below")
    known = [key for key in kind.__dataclass_fields__ if key != "name"]
    for key in entry:
        if key not in known:
            raise AssayError(f"{where}: has the unknown key {key!r}; the nearest is {difflib.get_close_matches(key, known, 1, 0)[0]!r}")
    for key in known:
        if key not in entry and key not in _OPTIONAL:
            raise AssayError(f"{where}: has no {key}")
    values = {key: _value(where, key, value) for key, value in entry.items()}
    _check_link(where, str(values.get("link", "")))
    return {"name": name, **values}


def _value(where: str, key: str, value: object) -> object:
    if key in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
            raise AssayError(f"{where}: {key} is {value!r}; write a finite number")
        return float(value)
    if key == "estimated":
        if not isinstance(value, bool):
            raise AssayError(f"{where}: estimated is true or false, not {value!r}")
        return value
    if key == "flags":
        return value
    if not isinstance(value, str) or not value.strip():
        raise AssayError(f'{where}: {key} is {value!r}; write {key} = "..."')
    return " ".join(value.split())


def _one_of(where: str, key: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise AssayError(f"{where}: {key} is {value!r}; it is one of {', '.join(allowed)}")


def _check_date(where: str, date: str) -> None:
    parts = date.split("-")
    good = len(date) in _DATE_LENGTHS and all(part.isdigit() for part in parts) and [len(part) for part in parts] == [4, 2, 2][: len(parts)]
    if date != "undated" and not (good and (len(parts) < 2 or 1 <= int(parts[1]) <= 12) and (len(parts) < 3 or 1 <= int(parts[2]) <= 31)):
        raise AssayError(f'{where}: date is {date!r}; write a year, a month or a day, as "2026-06", or "undated"')


def _check_link(where: str, link: str) -> None:
    if link and not plain_address(link):
        raise AssayError(f"{where}: link is {link!r}; give a http or https address without a user's name, or leave it out")
