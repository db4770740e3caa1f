"""The command line: `python -m reports RUN [RUN ...] -o report.html`. Knows no section."""

import argparse
import sys
from pathlib import Path

from harness.errors import AssayError
from reports.frame import load_all
from reports.machine import as_json, as_junit
from reports.render import page


def main(arguments: list[str] | None = None) -> int:
    """Write what is asked for, and print the report's path as the last line; wrong requests are one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Write one self-contained HTML report on one or several runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder made with pytest suites/ --run")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the report (default: report.html)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every verdict and finding as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    options = parser.parse_args(arguments)
    try:
        runs = load_all(options.runs)
        for path, make in ((options.json, as_json), (options.junit, as_junit), (options.output, page)):
            if path:
                _write(path, make(runs))
    except AssayError as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    print(options.output)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise AssayError(f"{path}: cannot be written ({error.strerror}); name another file with -o") from error


if __name__ == "__main__":
    sys.exit(main())
