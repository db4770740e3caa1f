"""The command line: a report on Runs, a submission of them, and the check of one. Knows no section."""

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import AssayError
from reports.frame import load_all
from reports.machine import as_json, as_junit
from reports.render import page
from reports.submission.checks import Level
from reports.submission.pack import pack
from reports.submission.verify import Verified, verified

_GIB = 1 << 30
_MORE = """two further commands:
  python -m reports pack RUN [RUN ...] -o FILE.zip   one archive to be sent: runs, environments, checksums, waivers, report
  python -m reports verify FILE.zip                  check one that was made elsewhere
each has a --help of its own. A run whose folder is called pack or verify is given as ./pack."""


def main(arguments: list[str] | None = None) -> int:
    """Write what is asked for. Exit status: 0, 1 for a submission that is not sound, 2 for a wrong request, told in one line."""
    given = sys.argv[1:] if arguments is None else arguments
    commands: dict[str, Callable[[list[str]], int]] = {"pack": _pack, "verify": _verify}
    try:
        return commands[given[0]](given[1:]) if given and given[0] in commands else _report(given)
    except AssayError as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2


def _report(arguments: list[str]) -> int:
    """Write a report, and print its path as the last line."""
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Write one self-contained HTML report on one or several runs: of two what changed, of a series the trend.",
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder made with pytest suites/ --run")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the report (default: report.html)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every verdict and finding as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    options = parser.parse_args(arguments)
    runs = load_all(options.runs)
    for path, make in ((options.json, as_json), (options.junit, as_junit), (options.output, page)):
        if path:
            _write(path, make(runs))
    print(options.output)
    return 0


def _pack(arguments: list[str]) -> int:
    """Make a submission, and print its path as the last line."""
    parser = argparse.ArgumentParser(
        prog="python -m reports pack",
        description="Put runs, their environments, waivers, checksums and the report into one archive, which "
        "`python -m reports verify` checks elsewhere. The same runs give the same archive.",
    )  # fmt: skip
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder made with pytest suites/ --run; add the run it was judged against"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("submission.zip"), metavar="FILE", help="(default: submission.zip)")
    parser.add_argument(
        "--no-tensors", action="store_true", help="leave out what was computed: smaller, and errors cannot be computed again"
    )
    parser.add_argument("--private", action="store_true", help="pack although a file tells a token, a user's folder or a host's name")
    options = parser.parse_args(arguments)
    digest = pack(options.runs, options.output, _page, tensors=not options.no_tensors, private=options.private)
    print(f"SHA-256 {digest}: tell it to the receiver by another way")
    print(options.output)
    return 0


def _page(folders: Sequence[Path]) -> str:
    return page(load_all(folders))


def _verify(arguments: list[str]) -> int:
    """Check a submission and say what was found, errors first."""
    parser = argparse.ArgumentParser(
        prog="python -m reports verify",
        description="Check a submission: every checksum and seal, verdicts against findings and recordings, "
        "what was left out, waivers, labels. Nothing in it is run. Exit status: 0 sound, 1 not sound, 2 not readable.",
    )  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="archive made with python -m reports pack")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write a report of its runs with this version")
    parser.add_argument(
        "--against", type=Path, metavar="RUN", help="a run of your own: the cases that it knows have to be in the submission"
    )
    parser.add_argument("--limit", type=float, default=50.0, metavar="GIB", help="the most that it may unpack to (default: 50)")
    options = parser.parse_args(arguments)
    today = datetime.datetime.now(datetime.UTC).date()
    with verified(options.file, int(options.limit * _GIB), today, options.against) as found:
        _tell(options.file, found)
        if options.output and found.runs:
            _write(options.output, _page(found.runs))
            print(options.output)
        return 0 if found.sound else 1


def _tell(path: Path, found: Verified) -> None:
    """Print what a submission says, and what was found, the gravest first."""
    print(
        f"{path}: SHA-256 {found.digest}, made with {found.statement.made_with}" + ("" if found.statement.tensors else ", without tensors")
    )
    for run in found.statement.runs:
        ended = ", ".join(f"{n} {outcome}" for outcome, n in dict(run.get("outcomes") or {}).items())
        print(
            f"{run.get('folder')}: {run.get('device')}, {run.get('created')}: {ended}; "
            f"{len(run.get('not_run') or ())} of {run.get('known')} not run"
        )
    for level in (Level.ERROR, Level.WARNING, Level.NOTE):
        for point in found.points:
            if point.level is level:
                print(f"{level}: {_plain(point.text)}")
    errors = sum(point.level is Level.ERROR for point in found.points)
    print("sound: it is what it says" if found.sound else f"NOT SOUND: {errors} error{'s' if errors > 1 else ''}")


def _plain(text: str) -> str:
    """Return text from elsewhere on one line, without what could steer a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise AssayError(f"{path}: cannot be written ({error.strerror}); name another file with -o") from error


if __name__ == "__main__":
    sys.exit(main())
