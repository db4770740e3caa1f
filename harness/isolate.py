"""Run cases in a worker process, so that a crash, a hang or a lack of memory is the status of one case. Knows no suite by name.

The parent writes one JSON request a line to the worker's standard input, the worker answers in JSON lines on what was its
standard output (anything the case prints goes to the log). The worker writes the recording itself, so tensors never
travel; nothing is pickled.
"""

import faulthandler
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from harness import environment
from harness.case import Case
from harness.errors import AssayError
from harness.manner import Manner
from harness.recording import Recording, Status, write_recording

_START_TIMEOUT = 180.0  # seconds; importing torch from a cold disk is slow
_LOG_TAIL = 6  # lines of the worker's log that are quoted after a crash


@dataclass(frozen=True)
class Request:
    """One case for a worker: where it is defined, what the command line changed, where the recording goes."""

    module: str
    case: str
    params: dict[str, Any]
    seed: int
    folder: str
    environment: str
    manner: str


class WorkerDied(Exception):
    """The worker ended, or had to be ended, before it answered."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Worker:
    """A process bound to one device. It is started when first needed and replaced after it dies."""

    def __init__(self, device: str, log: Path) -> None:
        self.device, self._log = device, log
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._pump: threading.Thread | None = None
        self._environment: dict[str, Any] = {}

    def environment(self) -> dict[str, Any]:
        """Return the worker's environment block, starting it if need be. Raises AssayError when it does not start (no such device)."""
        if self._process is None or self._process.poll() is not None:
            try:
                self._start()
            except WorkerDied as death:
                raise AssayError(f"{self.device}: its worker process does not start: {death.message}") from None
        return self._environment

    def run(self, request: Request, timeout: float, progress: Callable[[int], None] | None = None) -> None:
        """Run one case and wait until its recording is written. Raises WorkerDied, and AssayError when it cannot be written."""
        self.environment()
        try:
            self._requests().write(json.dumps(asdict(request)) + "\n")
            self._requests().flush()
        except BrokenPipeError:
            raise self._death() from None
        for answer in self._answers(timeout):
            if "round" in answer and progress:
                progress(answer["round"])
            if "failed" in answer:
                raise AssayError(answer["failed"])
            if "done" in answer:
                return

    def stop(self) -> None:
        """End the process, politely where it listens."""
        if self._process is None:
            return
        with suppress(OSError):
            self._requests().close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._kill()
        self._forget()

    def _requests(self) -> IO[str]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def _forget(self) -> None:
        with suppress(OSError):
            self._requests().close()
        if self._pump:
            self._pump.join()
        self._process = None

    def _start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._lines = queue.Queue()
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.isolate", self.device],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
                env=environment.child_environment() | {"PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)},
            )  # fmt: skip
        assert self._process.stdout is not None
        self._pump = threading.Thread(target=_pump, args=(self._process.stdout, self._lines), daemon=True)
        self._pump.start()
        for answer in self._answers(_START_TIMEOUT):
            if "failed" in answer:
                self.stop()
                raise AssayError(answer["failed"])
            if "ready" in answer:
                self._environment = answer["ready"]
                return

    def _answers(self, timeout: float) -> Iterator[dict[str, Any]]:
        """Yield answers until the caller has enough. Raises WorkerDied when the process ends or `timeout` seconds have passed."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._kill()
                self._forget()
                raise WorkerDied(Status.TIMEOUT, f"no result after {timeout:g} s; the process was ended") from None
            if line is None:
                raise self._death()
            yield json.loads(line)

    def _death(self) -> WorkerDied:
        assert self._process is not None
        code = self._process.wait()
        self._forget()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        tail = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()][-_LOG_TAIL:]
        status = Status.OUT_OF_MEMORY if code == -signal.SIGKILL else Status.CRASH
        hint = " (killed from outside, which is what the kernel does when memory runs out)" if code == -signal.SIGKILL else ""
        return WorkerDied(status, f"the process died: {how}{hint}; last lines: {' | '.join(tail)[-800:] or 'none'}")

    def _kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _pump(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def record_in(worker: Worker, case: Case, folder: Path, digest: str, manner: Manner, progress: Callable[[int], None] | None = None) -> None:
    """Have `worker` record `case` below `folder`; what kills the worker is written as the status of the case."""
    request = Request(case.module, case.id, dict(case.params), case.seed, str(folder), digest, manner)
    try:
        worker.run(request, case.timeout, progress)
    except WorkerDied as death:
        blank = Recording(case.definition(), case.key(), case.area, worker.device, digest, death.status, death.message, manner.exact)
        write_recording(folder, blank, {})


def find_case(module: str, case: str, params: dict[str, Any], seed: int = 0) -> Case:
    """Return the case `case` of an importable module's CASES, with parameters and seed replaced. Raises AssayError.

    A module may also make cases that the command line asks for: its `case_named` gives one by its id.
    """
    listed = importlib.import_module(module)
    cases: tuple[Case, ...] = listed.CASES
    found = next((c for c in cases if c.id == case), None) or getattr(listed, "case_named", lambda _: None)(case)
    if found is None:
        raise AssayError(f"{module} has no case {case!r}")
    return replace(found.with_params(**params), seed=seed)


def _serve(device_name: str, requests: IO[str], answers: IO[str]) -> None:
    from harness.devices import open_device  # here: the parent imports this module for `Worker`, and needs no device
    from harness.measure import measure

    def answer(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        device = open_device(device_name)
    except AssayError as error:
        answer(failed=str(error))
        return
    answer(ready={"host": environment.describe(), "device": device.describe()})
    for line in requests:
        request = Request(**json.loads(line))
        try:
            case = find_case(request.module, request.case, request.params, request.seed)
            recording, arrays = measure(
                case, device, environment=request.environment, manner=Manner(request.manner), progress=lambda n: answer(round=n)
            )
            write_recording(Path(request.folder), recording, arrays)
        except OSError as error:
            answer(
                failed=f"{request.folder}: {request.case} cannot be written ({error.strerror}); finished cases stay, go on with --resume"
            )
        except AssayError as error:
            answer(failed=str(error))
        else:
            answer(done=request.case)


def main() -> None:
    """Be a worker: `python -m harness.isolate DEVICE`."""
    faulthandler.enable()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a case prints must not look like an answer
    _serve(sys.argv[1], sys.stdin, answers)


if __name__ == "__main__":
    main()
