"""The nightly job's command line: `python -m suites.nightly --store URL [options] [pytest selections]`. Knows no case."""

import argparse
import sys
from pathlib import Path

from harness.errors import AssayError
from harness.history.rules import Rules
from harness.history.store import Store
from suites.nightly import commands
from suites.nightly.folder import alone, begin, resumable, unfinished
from suites.nightly.job import Asked, Result, go, store_late
from suites.nightly.summary import lines

GOOD, REGRESSION, WRONG_REQUEST, COULD_NOT_RUN = range(4)
_SMALL = ("run", "verdicts", "localised", "repeats")


def main(arguments: list[str] | None = None) -> int:
    """Run one night, or finish an interrupted one. Returns 0 good, 1 confirmed regression, 2 wrong request, 3 could not run."""
    options, selections = _parser().parse_known_args(arguments)
    try:
        labels = _labels(options.label)
        if options.repeats < 1:
            raise AssayError("--repeats: nothing is confirmed without a repeat; give 1 or more")
        store = Store(options.store)
    except AssayError as error:
        return _failed(error, WRONG_REQUEST)
    try:
        with alone(options.work):
            result = _night(options, store, labels, [word for word in selections if word != "--"])
    except commands.WrongRequestError as error:
        return _failed(error, WRONG_REQUEST)
    except AssayError as error:
        return _failed(error, COULD_NOT_RUN)
    if result is None:
        print("night: nothing to finish")
        return GOOD
    for line in lines(result):
        print(line)
    return REGRESSION if result.confirmed() else GOOD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m suites.nightly", allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the suite, store the Run, compare it with the last good nights of this machine, and write the report.",
        epilog="All else is pytest's: -m performance ...\nexit status: 0 good, 1 confirmed regression, 2 wrong request, 3 could not run",
    )  # fmt: skip
    add = parser.add_argument
    add("--store", default="runs/store", metavar="URL", help="a folder or fsspec URL, s3://bucket/folder (default: runs/store)")
    add("--device", metavar="NAME", help="the candidate, as of pytest suites/ (default: the best device found)")
    add("--work", type=Path, default=Path("runs/nightly"), metavar="FOLDER", help="where nights work (default: runs/nightly)")
    add("--label", action="append", default=[], metavar="KEY=VALUE", help="what is under test, kept with the Run (may be repeated)")
    add(
        "--accept",
        action="append",
        default=[],
        metavar="PATTERN",
        help="cases whose regression is from now on how things are (may be repeated)",
    )
    add(
        "--repeats",
        type=int,
        default=Rules.repeats,
        metavar="N",
        help=f"how often a suspected case is run again (default: {Rules.repeats})",
    )
    add("--unfinished", action="store_true", help="only go on with a night that was cut off, if there is one: for after a reboot")
    add("--hours", type=float, default=20.0, metavar="H", help="an interrupted night that is older is not gone on with (default: 20)")
    add("--keep", choices=("all", "small"), default="all", help="what of the Run is stored: small leaves out the recordings (default: all)")
    return parser


def _night(options: argparse.Namespace, store: Store, labels: dict[str, str], selections: list[str]) -> Result | None:
    around = commands.surroundings(options.device)
    device = str(around["device"]["name"])
    asked, work = [*selections, *map(str, sorted(labels.items()))], options.work.resolve()
    night = resumable(work, asked, around, options.hours)
    if night:
        _say(f"going on with {night.path}")
    store_late([other for other in unfinished(work) if night is None or other.path != night.path], store, _say)
    if night is None and options.unfinished:
        return None
    night = night or begin(work, device, asked, around)
    _say(f"working in {night.path}")
    parts = _SMALL if options.keep == "small" else None
    rules = Rules(repeats=options.repeats)
    try:
        return go(night, Asked(store, device, tuple(selections), labels, tuple(options.accept), parts, rules), _say)
    except commands.WrongRequestError:
        night.at("done")  # there is nothing to go on with
        raise


def _say(text: str) -> None:
    print(f"night: {text}", flush=True)


def _labels(texts: list[str]) -> dict[str, str]:
    """Return labels by key. Raises AssayError for a text without a key or a value."""
    for text in texts:
        if not all(text.partition("=")):
            raise AssayError(f"--label {text}: is no KEY=VALUE; give for example --label compiler=1a2b3c")
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _failed(error: AssayError, status: int) -> int:
    print(f"nightly: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
