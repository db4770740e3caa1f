"""What a store holds: `python -m harness.history URL list | changes | fetch ID FOLDER | publish RUN | tidy`. Knows no gate."""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from harness.errors import AssayError
from harness.history.changes import changes
from harness.history.seal import Entry
from harness.history.store import SMALL, Store
from harness.run import Run


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; a wrong request is one line and exit status 2."""
    options = _parser().parse_args(arguments)
    try:
        for line in _ACTIONS[options.action](Store(options.store), options):
            print(line)
    except AssayError as error:
        print(f"history: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness.history", description="What a store of Runs holds.")
    parser.add_argument("store", metavar="URL", help="a folder or an fsspec URL")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="the stored Runs, oldest first")
    actions.add_parser("changes", help="where a figure stepped, on each machine, and what came with it")
    fetch = actions.add_parser("fetch", help="bring a Run here, without its recordings")
    fetch.add_argument("id")
    fetch.add_argument("folder", type=Path)
    fetch.add_argument("--all", action="store_true", help="with its recordings")
    actions.add_parser("publish", help="store a Run").add_argument("run", type=Path)
    tidy = actions.add_parser("tidy", help="remove uploads that were never finished")
    tidy.add_argument("--days", type=float, default=7.0, help="and have not grown for so many days (default: 7)")
    return parser


def _list(store: Store, _: argparse.Namespace) -> Iterator[str]:
    listing = store.runs()
    yield from (_told(entry) for entry in listing.entries)
    yield from (f"broken: {line}" for line in listing.broken)


def _told(entry: Entry) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(entry.outcomes.items()))
    labels = "".join(f" {key}={value}" for key, value in entry.labels.items())
    confirmed = len(entry.gate.get("confirmed", ()))
    return f"{entry.id} {entry.hardware}{' emulated' if entry.emulated else ''}: {counts}{labels}" + (
        f"; {confirmed} regressions" if confirmed else ""
    )


def _changes(store: Store, _: argparse.Namespace) -> Iterator[str]:
    entries = sorted(store.runs().entries, key=lambda entry: (entry.machine, entry.created))
    for machine, nights in groupby(entries, key=lambda entry: entry.machine):
        series = [store.figures(entry) for entry in nights]
        found = changes(series)
        yield f"{machine} {series[-1].hardware}: {len(series)} Runs, {len(found) or 'no'} steps"
        yield from (f"  {change.text()}" for change in found)


def _fetch(store: Store, options: argparse.Namespace) -> Iterator[str]:
    found = [entry for entry in store.runs().entries if entry.id == options.id]
    if not found:
        raise AssayError(f"{store}: holds no Run {options.id}; `list` shows what there is")
    yield str(store.fetch(found[0], options.folder, None if options.all else SMALL).folder)


def _publish(store: Store, options: argparse.Namespace) -> Iterator[str]:
    yield store.publish(Run.open(options.run)).id


def _tidy(store: Store, options: argparse.Namespace) -> Iterator[str]:
    yield from (f"removed {name}" for name in store.tidy(options.days))


_ACTIONS = {"list": _list, "changes": _changes, "fetch": _fetch, "publish": _publish, "tidy": _tidy}


if __name__ == "__main__":
    sys.exit(main())
