"""The story of each training run: does it go as the reference's, and if not, where does it part? Knows no other section."""

from collections.abc import Sequence

import numpy as np

from reports import figures
from reports.blocks import Block, Figure, Fold, Heading, Mark, Row, Table, Text
from reports.frame import Frames, records
from reports.training import Training, trainings
from reports.words import device, number

ORDER, TITLE = 22, "Training"
_DRAWN = 6
_SERIES = {"loss": "loss", "grad_norm": "gradient norm", "update_norm": "norm of the update"}


def render(frames: Frames) -> Sequence[Block]:
    """Return what became of the training runs: in a sentence, run by run in a table, and drawn where it matters."""
    runs = trainings(frames)
    chosen = _selections(frames)
    rest = _figures(frames)
    if not runs and not chosen and not rest:
        return []
    blocks: list[Block] = []
    if frames.emulated:
        text = (
            "EMULATED: the stand-in computes on the CPU. What stays in its band here shows that the path works; it is no parity of devices."
        )
        blocks.append(Text(text, "banner"))
    if runs:
        blocks += [Text(sentence(frames, runs), "lead"), *_left(runs), _table(runs), *_drawn(runs)]
    return [*blocks, *chosen, *rest]


def sentence(frames: Frames, runs: Sequence[Training]) -> str:
    """Say how the runs went, claiming no more than was judged."""
    good = sum(run.outcome == "pass" for run in runs)
    other = [run for run in runs if run.outcome != "pass"]
    left = sum(bool(run.left) for run in other)
    theirs = device(frames.side("reference"))
    if frames.comparison.get("self_comparison"):
        whose = "its own runs span"
    else:
        whose = f"the runs of {theirs} span" if all(run.reruns for run in runs) else f"{theirs} allows"
    which = {0: "None", len(runs): "All" if len(runs) > 1 else "The one"}.get(good, str(good))
    of = "" if good == len(runs) else f" of {len(runs)}"
    text = f"{which}{of} training run{'s' if len(runs) > 1 else ''} stayed in the band that {whose}, step by step."
    if left:
        text += f" {left} left {'it' if left == 1 else 'their bands'}; the table says at which step, and where in the model."
    if len(other) > left:
        text += f" {len(other) - left} did not pass for another reason, told under What did not pass."
    return text


def _left(runs: Sequence[Training]) -> list[Block]:
    reruns = max(run.reruns for run in runs)
    span = (
        f"The band is measured, not agreed upon: the reference trained once as it is and up to {reruns} times with its weights moved by "
        "one roundoff, and what those runs are off from float64 at most, widened for their small number, is what a sound device may be off."
        if reruns
        else "The reference was recorded without reruns, so no band was measured: each run is judged by the reference's one run."
    )
    return [Text(span, "note")]


def _table(runs: Sequence[Training]) -> Table:
    rows: list[list[str | Mark]] = []
    for run in runs:
        loss = run.series("loss")["candidate"]
        used, worst = run.used, run.worst_layer
        rows.append([
            run.name, Mark(run.outcome), run.left or "–", _share(used),
            f"{number(loss[0])}\u00a0→\u00a0{number(loss[-1])}", _held_out(run),
            f"{number(worst[1])}\u00a0× in {worst[0]}" if worst else "–",
        ])  # fmt: skip
    head = ["training run", "outcome", "left its band at", "band used", "loss", "loss held out", "worst layer"]
    caption = (
        "Training runs: losses from the first to the last step; on held-out data, the reference's in brackets; and the layer whose first "
        "gradient is off most, in units of the reference's own error there"
    )
    return Table(caption, head, rows, numeric=("band used",))


def _share(used: float | None) -> str:
    if used is None:
        return "–"
    return f"{number(100 * used)} %" if used <= 1 else f"{number(used)} times"


def _held_out(run: Training) -> str:
    if run.held_out is None:
        return "–"
    ours, theirs = run.held_out
    return f"{number(ours[0], 4)}\u00a0→\u00a0{number(ours[1], 4)} ({number(theirs[1], 4)})"


def _drawn(runs: Sequence[Training]) -> list[Block]:
    blocks: list[Block] = []
    if len(runs) > _DRAWN:
        text = (
            f"Drawn are {_DRAWN} of {len(runs)} training runs: those that did not pass, then those that come closest to leaving their band."
        )
        blocks.append(Text(text, "note"))
    for run in runs[:_DRAWN]:
        blocks += [Heading(run.name), *([Text(f"Left its band at {run.left}.")] if run.left else [])]
        shown = [_curve(run, name) for name in _SERIES if "candidate" in run.series(name)]
        shown += [_distance(run, name) for name in _SERIES if run.band(name) and "golden" in run.series(name)]
        blocks += [Row(shown), *_layers(run)]
    return blocks


def _curve(run: Training, name: str) -> Figure:
    series = run.series(name)
    band = run.band(name) if "golden" in series else []
    svg = figures.curves(series, f"{name} of {run.case} over steps", _SERIES[name], band)
    dashed = " The dashed line is the float64 run" + (", the grey area the band around it." if band else ".") if "golden" in series else ""
    return Figure(svg, f"{_SERIES[name].capitalize()}.{dashed}{_gaps(series)}")


def _distance(run: Training, name: str) -> Figure:
    series = run.series(name)
    golden = np.asarray(series["golden"])
    off: dict[str, Sequence[float]] = {side: np.abs(np.asarray(series[side]) - golden).tolist() for side in series if side != "golden"}
    svg = figures.distances(off, run.band(name), f"distance of the {name} of {run.case} from float64", "distance from float64")
    return Figure(svg, f"How far the {_SERIES[name]} is off. In the grey area it is in the band.")


def _layers(run: Training) -> list[Block]:
    rows = [row for row in run.by_layer() if all(np.isfinite(row[1:])) and max(row[1:]) > 0]
    lost = [layer for layer, *both in run.by_layer() if not np.isfinite(both).all()]
    if not rows and not lost:
        return []
    told = f" Not drawn, because it is not finite: {', '.join(lost)}." if lost else ""
    if not rows:
        return [Text(f"Gradients by layer:{told}")]
    floor = min(value for _, *both in rows for value in both if value > 0)
    svg = figures.dots(
        [(layer, max(ours, floor), max(theirs, floor)) for layer, ours, theirs in rows],
        f"relative error of the first gradient of {run.case} by layer, candidate and reference",
        "relative error of the gradient against float64",
    )  # fmt: skip
    text = f"{run.name}: the first gradient, layer by layer; the reference's is over all its runs.{told}"
    return [Figure(svg, text, wide=True)]


def _gaps(series: dict[str, Sequence[float]]) -> str:
    """Say which curves have steps that no drawing can show."""
    lost = {side: np.flatnonzero(~np.isfinite(values)) for side, values in series.items()}
    told = [
        f"{side}: {len(at)} of {len(series[side])} steps are not finite, the first is step {at[0]}" for side, at in lost.items() if at.size
    ]
    return f" {'; '.join(told)}." if told else ""


def _selections(frames: Frames) -> list[Block]:
    """Return how much of what float64 selects each side selects, model by model, place by place."""
    rows: list[list[str | Mark]] = []
    for row in records(frames.area("post_training")):
        places = row.evidence.get("told", {}).get("overlap", ())
        found = frames.findings[(frames.findings["case"] == row.case) & (frames.findings["check"] == "selections")]
        wrong = found[found["unit"] == "rows"]["measured"].sum()
        if places:
            lowest = min(places, key=lambda place: float(place[1]))
            name = str(row.case).removeprefix("post_training/selections/")
            shares = [f"{100 * float(np.mean([float(place[side]) for place in places])):.2f} %" for side in (1, 2)]
            rows.append(
                [name, Mark(str(row.outcome)), str(len(places)), *shares, f"{100 * float(lowest[1]):.2f} % in {lowest[0]}", number(wrong)]
            )
    if not rows:
        return []
    text = (
        "Experts and keys that are selected, apart from numeric drift: each selection is made after all before it went as in float64. "
        "Where two candidates score alike within the accuracy of the scores, either may be taken; only a row that selects wrongly by more "
        "than that counts as wrong."
    )
    head = ["model", "outcome", "selections", "same as float64's", "the reference's", "least alike", "rows that select wrongly"]
    return [
        Heading("Selections"),
        Text(text),
        Table("What is selected before training begins", head, rows, numeric=(head[2], *head[3:5], head[6])),
    ]


def _figures(frames: Frames) -> list[Block]:
    found = frames.found("post_training")
    rows: list[list[str | Mark]] = [
        [str(f.case), str(f.subject), Mark(str(f.outcome)), number(f.measured), number(f.reference), number(f.bound), str(f.where) or "–"]
        for f in records(found[found["unit"] == "u"])
    ]  # fmt: skip
    head = ["case", "what", "outcome", "candidate", "reference", "bound", "where it is worst"]
    table = Table(
        "Post-training: errors against a float64 run of the same steps, in u", head, rows, numeric=("candidate", "reference", "bound")
    )
    return [Fold("Every figure of post-training", [table])] if rows else []
