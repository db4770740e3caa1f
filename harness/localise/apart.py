"""Localise a case in a process of its own, so that no crash and no hang takes the run down. Knows no operator."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness import environment
from harness.case import Case
from harness.localise.result import not_localised, stem_of
from harness.recording import read_json

_GRACE = 120.0  # seconds beyond those allowed: to import, to set up, and for one operator that takes long


def localise_apart(
    case: Case, device: str, reference: str, run: Path, seconds: float, show: Callable[[str], None] | None = None, rounds: int = 1
) -> dict[str, Any]:
    """Localise `case` and return the document that now lies in the Run. Never raises for what happens there; the document says it."""
    stem = stem_of(run, case.id)
    stem.parent.mkdir(parents=True, exist_ok=True)
    result, at, log = (stem.parent / f"{stem.name}.{suffix}" for suffix in ("json", "at", "log"))
    for old in (result, at, stem.parent / f"{stem.name}.safetensors"):
        old.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "harness.localise", case.module, case.id, "--params", json.dumps(dict(case.params)), "--device", device,
        "--reference", reference, "--into", str(stem.parent), "--seconds", str(seconds), "--rounds", str(rounds),
    ]  # fmt: skip
    path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True,
            env=environment.child_environment() | {"PYTHONPATH": path},
        )  # fmt: skip
    ended = _wait(process, at, time.monotonic() + seconds + _GRACE, show)
    if ended == 0 and result.exists():
        for left in (at, log):
            left.unlink(missing_ok=True)
        return read_json(result)
    why = _why(ended, _read(at).strip(), [line for line in _read(log).splitlines() if line.strip()])
    at.unlink(missing_ok=True)
    return not_localised(case, device, reference, why, stem)


def _wait(process: "subprocess.Popen[bytes]", at: Path, deadline: float, show: Callable[[str], None] | None) -> int | None:
    """Wait for the process, showing what it is at; None if it had to be ended."""
    while True:
        try:
            return process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if show and (text := _read(at).strip()):
                show(text)
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _why(ended: int | None, at: str, log: list[str]) -> str:
    if ended == 2 and log:
        return log[-1].removeprefix("localise: ")
    how = "hung and was ended" if ended is None else f"died ({signal.Signals(-ended).name})" if ended < 0 else f"ended with status {ended}"
    return f"the process {how} at {at or 'its start'}" + (f"; last lines: {' | '.join(log[-4:])[-600:]}" if log else "")


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
