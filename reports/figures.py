"""Drawings as inline SVG that follow the page's colours, in light and dark. Knows no verdict.

Text stays text (searchable, legible at any width) and takes the page's colour; the two series colours are CSS variables.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from itertools import count, cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Stand-ins that are replaced by CSS variables once the SVG is written.
_CANDIDATE, _REFERENCE, _INK, _FAINT = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
_COLOURS = {_CANDIDATE: "var(--candidate)", _REFERENCE: "var(--reference)", _INK: "currentColor", _FAINT: "var(--rule)"}
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "assay", "font.size": 9, "text.color": _INK, "axes.edgecolor": _FAINT, "axes.labelcolor": _INK,
    "xtick.color": _INK, "ytick.color": _INK, "grid.color": _FAINT, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False, "text.parse_math": True,
}  # fmt: skip
_LOOKS: dict[str, dict[str, Any]] = {
    "golden": {"color": _INK, "linewidth": 0.7, "linestyle": "--"},
    "reference": {"color": _REFERENCE, "marker": "o", "markersize": 6.5, "markerfacecolor": "none", "linewidth": 0},
    "candidate": {"color": _CANDIDATE, "marker": "o", "markersize": 3, "linewidth": 1.2},
}
_serial = count()


def number_anew() -> None:
    """Number drawings from 0 on, as each page does: the same Run gives the same page."""
    global _serial
    _serial = count()


def _svg(figure: Figure, label: str) -> str:
    out = io.StringIO()
    FigureCanvasSVG(figure)
    with warnings.catch_warnings():  # the text stays text, and the browser has the letters that matplotlib's font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font|Matplotlib currently does not support")
        figure.savefig(out, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.03, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)  # that style would be the whole page's
    text = re.sub(r"font: ?(?:[^;\"']|'[^']*')*?([\d.]+)px(?:[^;\"']|'[^']*')*", r"font-size: \1px", text)  # the page's own typeface
    for stand_in, colour in _COLOURS.items():
        text = text.replace(stand_in, colour)
    prefix = f"f{next(_serial)}-"  # ids are unique in a file in SVG, and in a page here
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


def _axes(width: float, height: float, grid: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_subplot()
    axes.grid(True, axis=grid, linewidth=0.6)  # type: ignore[arg-type]  # matplotlib names the two axes in a Literal
    return figure, axes


def _plain(name: str) -> str:
    return name.replace("$", r"\$")  # a name is no formula


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_plain(name) for name in names])
    axes.set_ylim(-0.7, len(names) - 0.3)


def dots(rows: Sequence[tuple[str, float, float]], label: str, xlabel: str) -> str:
    """Draw rows (name, candidate, reference), positive figures: reference as ring, candidate as dot, on a logarithmic axis."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(6.4, 0.6 + 0.19 * len(rows), "x")
        for y, (_, ours, theirs) in enumerate(reversed(rows)):
            axes.plot([ours, theirs], [y, y], color=_FAINT, linewidth=1.5, zorder=1)
            axes.plot(theirs, y, "o", markersize=6.5, markerfacecolor="none", markeredgecolor=_REFERENCE, markeredgewidth=1.3)
            axes.plot(ours, y, "o", markersize=3.4, color=_CANDIDATE)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _named_rows(axes, [name for name, _, _ in reversed(rows)])
        axes.set_xlabel(xlabel)
        return _svg(figure, label)


def curves(series: Mapping[str, Sequence[float]], label: str, ylabel: str, band: Sequence[float] = ()) -> str:
    """Draw series over steps from 0 on: candidate, reference and float64 golden, as far as there are.

    `band` is the half width of an area around the golden, step by step.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 2.2, "y")
        if band and np.isfinite(band).any():
            middle, half = np.asarray(series["golden"]), np.asarray(band)
            axes.fill_between(range(len(half)), middle - half, middle + half, color=_FAINT, alpha=0.6, linewidth=0)
        for name, look in _LOOKS.items():
            if name in series:
                axes.plot(range(len(series[name])), series[name], **look)
        axes.set_xlabel("optimizer step, from 0")
        axes.set_ylabel(ylabel)
        return _svg(figure, label)


def distances(series: Mapping[str, Sequence[float]], band: Sequence[float], label: str, ylabel: str) -> str:
    """Draw distances over steps from 0 on, on a logarithmic axis, over the area of the band; a distance of 0 lies at the lower edge."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 2.2, "y")
        positive = [v for values in (*series.values(), band) for v in values if np.isfinite(v) and v > 0]
        edge = min(positive, default=1e-9) / 2
        steps = range(len(band))
        axes.fill_between(steps, edge / 2, [v if np.isfinite(v) else max(positive) for v in band], color=_FAINT, alpha=0.6, linewidth=0)
        for name in ("reference", "candidate"):
            if name in series:
                drawn = [max(v, edge) if np.isfinite(v) else np.nan for v in series[name]]
                axes.plot(range(len(drawn)), drawn, **_LOOKS[name])
        axes.set_yscale("log")
        axes.set_ylim(bottom=edge / 2)
        axes.set_xlabel("optimizer step, from 0")
        axes.set_ylabel(ylabel)
        return _svg(figure, label)


def over(
    at: Sequence[float], series: Mapping[str, Sequence[float]], label: str, xlabel: str, ylabel: str, *, log: str = ""
) -> str:  # fmt: skip
    """Draw candidate and reference over `at`; `log` has the letters of the axes that are logarithmic. What is not finite is left out.

    On a logarithmic axis a zero lies at the lower edge.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 2.2, "y")
        positive = [v for values in series.values() for v in values if np.isfinite(v) and v > 0]
        edge = min(positive, default=1e-9) / 2
        for name in ("reference", "candidate"):
            if name in series:
                drawn = [(max(v, edge) if "y" in log else v) if np.isfinite(v) else np.nan for v in series[name]]
                axes.plot(at, drawn, **_LOOKS[name])
        if "y" in log:
            axes.set_yscale("log")
        if "x" in log:
            axes.set_xscale("log", base=2)
            axes.set_xticks(sorted(set(at)), [f"{value:g}" for value in sorted(set(at))])
            axes.minorticks_off()
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        return _svg(figure, label)


def bars(rows: Sequence[tuple[str, float, float]], label: str, xlabel: str) -> str:
    """Draw a pair of bars a row (name, candidate, reference), candidate above reference, from zero."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(6.4, 0.6 + 0.42 * len(rows), "x")
        for y, (_, ours, theirs) in enumerate(reversed(rows)):
            axes.barh(y + 0.17, ours, height=0.3, color=_CANDIDATE)
            axes.barh(y - 0.17, theirs, height=0.3, color=_REFERENCE)
        _named_rows(axes, [name for name, _, _ in reversed(rows)])
        axes.set_xlabel(xlabel)
        return _svg(figure, label)


def against(
    sides: Mapping[str, Sequence[tuple[float, float, float, float]]], label: str, xlabel: str, ylabel: str, limit: float | None = None
) -> str:  # fmt: skip
    """Draw candidate and reference, points (x, y, low, high) in order of x with their intervals, and a dashed line at x = `limit`."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 2.2, "y")
        for name in ("reference", "candidate"):
            if points := sides.get(name):
                x, y, low, high = (list(part) for part in zip(*points, strict=True))
                axes.vlines(x, low, high, color=_FAINT, linewidth=3)
                axes.plot(x, y, **{**_LOOKS[name], "linewidth": 1.0})
        if limit is not None:
            axes.axvline(limit, color=_INK, linewidth=0.8, linestyle="--")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        return _svg(figure, label)


def trend(
    values: Sequence[float], low: Sequence[float], high: Sequence[float], steps: Sequence[int], label: str, ylabel: str
) -> str:  # fmt: skip
    """Draw one figure over runs, the oldest first, its interval where there is one (NaN where not), and a line before each of `steps`."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 2.0, "y")
        at, y = np.arange(1, len(values) + 1), np.asarray(values, dtype=float)
        axes.vlines(at, low, high, color=_FAINT, linewidth=3)
        for step in steps:
            axes.axvline(step + 0.5, color=_REFERENCE, linewidth=1.2, linestyle="--")
        axes.plot(at, y, color=_CANDIDATE, marker="o", markersize=3.4, linewidth=1.0)
        axes.set_xlim(0.5, len(values) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if (y == np.round(y)).all():  # counts: no tick between two, and none below nought
            axes.set_ylim(max(0.0, y.min() - 1), y.max() + 1)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_xlabel("run, the oldest first")
        axes.set_ylabel(ylabel)
        return _svg(figure, label)


def forest(rows: Sequence[tuple[str, float, float, float, float]], label: str, xlabel: str) -> str:
    """Draw differences (name, value, low, high, margin) around zero: the interval as a line, behind it the margin to lie within."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(6.4, 0.7 + 0.26 * len(rows), "x")
        axes.axvline(0, color=_INK, linewidth=0.7)
        for y, (_, value, low, high, margin) in enumerate(reversed(rows)):
            axes.barh(y, 2 * margin, left=-margin, height=0.62, color=_FAINT, alpha=0.6)
            axes.plot([low, high], [y, y], color=_CANDIDATE, linewidth=1.6, solid_capstyle="butt")
            axes.plot(value, y, "o", markersize=4.6, color=_CANDIDATE)
        _named_rows(axes, [name for name, *_ in reversed(rows)])
        axes.set_xlabel(xlabel)
        return _svg(figure, label)


def roofline(points: Sequence[tuple[str, float, float]], bandwidth: float, peak: float, label: str) -> str:
    """Draw points (name, operations a byte, operations a second) below the roof of `bandwidth` bytes and `peak` operations a second."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(6.4, 3.6, "both")
        ridge = peak / bandwidth
        left = min([ridge, *(x for _, x, _ in points)]) / 3
        right = max([ridge, *(x for _, x, _ in points)]) * 6
        axes.plot([left, ridge, right], [left * bandwidth, peak, peak], color=_INK, linewidth=1.2)
        for (name, x, y), above in zip(sorted(points, key=lambda point: point[1]), cycle((True, False)), strict=False):
            axes.plot(x, y, "o", markersize=4.6, color=_CANDIDATE)
            axes.annotate(_plain(name), (x, y), xytext=(5, 4 if above else -9), textcoords="offset points", fontsize=7.5)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("operations a byte, at most")
        axes.set_ylabel("operations a second")
        return _svg(figure, label)
