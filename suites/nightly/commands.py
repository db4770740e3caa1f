"""The commands of a night, each in a process of its own: pytest, repeats, the report. Knows no figure and no store."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.environment import child_environment
from harness.errors import AssayError

_SUITES = Path(__file__).parents[1]
_RAN = (0, 1)  # pytest's own exit statuses: all passed; some failed, which is a result
_WRONG = (4, 5)  # a wrong command line; no case chosen


class WrongRequestError(AssayError):
    """What was asked for cannot be run at all."""


def surroundings(device: str | None) -> dict[str, Any]:
    """Return what a night runs on, from a process that ends before any case begins. Raises WrongRequestError: no such device."""
    done = _call("-m", "suites.nightly.surroundings", *([device] if device else []))
    if done.returncode:
        raise WrongRequestError(_last_line(done.stderr) or f"the device {device or 'here'} cannot be opened")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(device: str, run: Path, log: Path, arguments: Sequence[str], cases: Iterable[str] = ()) -> None:
    """Run the suite into a Run, or go on with it. Raises WrongRequestError for a wrong command line, AssayError when it could not run."""
    chosen = [word for case in sorted(cases) for word in ("--case", case)]
    command = [
        "-m", "pytest", str(_SUITES), "--device", device, "--run", str(run), "--resume", "-q", "-p", "no:cacheprovider",
        *arguments, *chosen,
    ]  # fmt: skip
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, cwd=_SUITES.parent, env=child_environment(), check=False
        )
    if done.returncode in _RAN and (run / "run.json").exists():
        return
    text = f"{_last_line(log.read_text(encoding='utf-8', errors='replace'))} (exit status {done.returncode}; all of it is in {log})"
    raise (WrongRequestError if done.returncode in _WRONG else AssayError)(f"pytest: {text}")


def report(runs: Sequence[Path], page: Path) -> None:
    """Write the report. Raises AssayError when that fails."""
    done = _call("-m", "reports", *map(str, runs), "-o", str(page))
    if done.returncode:
        raise AssayError(f"the report could not be written: {_last_line(done.stderr)}")


def _call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, errors="replace", cwd=_SUITES.parent, env=child_environment(), check=False
    )


def _last_line(text: str) -> str:
    """Return the line that says what went wrong: the last with an error in it, or just the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("ERROR", "assay", "!", "E  "))]
    return (telling or lines or [""])[-1][:300]
