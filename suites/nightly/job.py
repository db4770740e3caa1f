"""One night from start to end: measure, judge, repeat what is suspected, decide, store, report. Knows no command line."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import AssayError
from harness.history.figures import REPEATS, Figures, figures_of
from harness.history.gate import Night, gate_of, judge
from harness.history.rules import Rules, Ruling, State
from harness.history.seal import Entry
from harness.history.store import SMALL, Store
from harness.run import Run
from suites.nightly import commands
from suites.nightly.folder import Folder

_LOOK_BACK = 45  # nights that are read: more than any rule needs

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What a night is asked to do. `arguments` are pytest's. `parts` of the Run are stored (None: all)."""

    store: Store
    device: str
    arguments: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    parts: tuple[str, ...] | None = None
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Result:
    """How a night ended: its figures, what the gate says, what is stored, the nights before it, and what could not be read or done."""

    figures: Figures
    rulings: Sequence[Ruling]
    past: Sequence[Night]
    entry: Entry
    page: Path
    troubles: Sequence[str]

    def confirmed(self) -> list[Ruling]:
        """Return the confirmed regressions."""
        return [ruling for ruling in self.rulings if ruling.state is State.CONFIRMED]


def go(night: Folder, asked: Asked, say: Say) -> Result:
    """Go through a night, or on with it. Raises AssayError when a command or the store fails: the folder keeps what is finished."""
    commands.measure(asked.device, night.run, night.path / "pytest.log", asked.arguments)
    run = Run.open(night.run)
    run.describe_labels(asked.labels)
    figures = figures_of(run)
    past, last_good, troubles = _past(asked.store, figures)
    rulings = judge(figures, past, asked.rules, asked.accepted)
    if suspects := {ruling.case for ruling in rulings if ruling.state is State.SUSPECTED}:
        say(f"{len(suspects)} of {len(figures.outcomes)} cases are worse than before: each is run {asked.rules.repeats} times more")
        _repeat(night, asked, suspects)
        figures = figures_of(run)
        rulings = judge(figures, past, asked.rules, asked.accepted)
    night.at("measured")
    entry = asked.store.publish(run, gate_of(rulings, asked.accepted), asked.parts, figures)
    page = night.path / "report.html"
    commands.report([*_fetched(night, asked.store, last_good, troubles), night.run], page)
    night.at("done")
    return Result(figures, rulings, past, entry, page, troubles)


def store_late(nights: Sequence[Folder], store: Store, say: Say) -> None:
    """Store earlier nights that were measured and could not be stored then.

    Without a ruling, because later nights may be stored already.
    """
    for night in nights:
        if night.state == "measured":
            entry = store.publish(Run.open(night.run))
            night.at("done")
            say(f"stored late: {entry.id}")


def _past(store: Store, tonight: Figures) -> tuple[list[Night], Entry | None, list[str]]:
    """Return the earlier nights of this machine, oldest first, the last of them without a regression, and a line for each that is broken.

    Eturn the earlier nights of this machine, oldest first, the last of them without a regression, and a line for each that is broken.
    """
    listing = store.runs(tonight.machine, before=tonight.created)
    nights, troubles = [], list(listing.broken)
    for entry in listing.entries[-_LOOK_BACK:]:
        try:
            nights.append(Night(store.figures(entry), entry.gate))
        except AssayError as error:
            troubles.append(str(error))
    good = [entry for entry in listing.entries if not entry.gate.get("confirmed")]
    return nights, good[-1] if good else None, troubles


def _repeat(night: Folder, asked: Asked, cases: set[str]) -> None:
    for number in range(1, asked.rules.repeats + 1):
        run = night.run / REPEATS / str(number)
        commands.measure(asked.device, run, night.path / f"pytest-{number}.log", _without_cases(asked.arguments), cases)


def _without_cases(arguments: Sequence[str]) -> list[str]:
    """Return pytest's arguments without the cases that were named: the repeats name their own."""
    kept, skip = [], False
    for word in arguments:
        if not skip and word != "--case" and not word.startswith("--case="):
            kept.append(word)
        skip = word == "--case"
    return kept


def _fetched(night: Folder, store: Store, last_good: Entry | None, troubles: list[str]) -> list[Path]:
    """Return the last good Run, brought here without its recordings, to be reported beside this night's; nothing where there is none."""
    folder = night.path / "last-good"
    if last_good is None:
        return []
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return [store.fetch(last_good, folder, SMALL).folder]
    except AssayError as error:
        troubles.append(str(error))
        return []
