"""Numbers as people write them: units, intervals, few digits, never a NaN by accident. Knows no verdict."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from reports.statistics import Estimate

#: Figures of memory by name, the most telling first.
PEAKS = {
    "allocated_peak": "allocated by tensors", "reserved_peak": "reserved by the allocator", "resident_peak": "resident set of the process"
}  # fmt: skip
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits; a dash for none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:,.{decimals}f}".replace(",", "\u202f")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}·10{_superscript(int(exponent))}"


def _superscript(value: int) -> str:
    return str(value).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def interval(estimate: Estimate, digits: int = 3) -> str:
    """Return '95 % interval a to b', or the words that there is none."""
    if estimate.low is None or estimate.high is None:
        return "too few rounds for an interval"
    return f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"


def size(count: float | None) -> str:
    """Return bytes in binary units."""
    if count is None:
        return "–"
    power = min(len(_BINARY) - 1, int(math.log(count, 1024)) if count >= 1 else 0)
    return f"{number(count / 1024**power)} {_BINARY[power]}"


def signed(value: float, points: bool) -> str:
    """Return a difference with its sign: points of 100 with one decimal, or a small figure with four."""
    text = f"{value:+.1f}" if points else f"{value:+.4f}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def duration(seconds: float) -> str:
    """Return seconds in a unit that suits."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{number(seconds * factor)} {unit}"
    raise AssertionError


def moment(text: object) -> str:
    """Return an ISO time as '2026-11-01 09:30 UTC'; anything else as it is."""
    try:
        return f"{datetime.fromisoformat(str(text)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(text)


def device(described: Mapping[str, object]) -> str:
    """Return a device as 'npu:0, Ascend 910B2', and 'npu:0, emulated Ascend 910B2' where something stands in for it."""
    name, hardware = described.get("name", "unknown"), described.get("hardware")
    kind = "emulated " if described.get("emulated") else ""
    return f"{name}, {kind}{hardware}" if hardware else f"{kind}{name}"
