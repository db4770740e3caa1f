"""One comparison: a candidate, a reference, a Run that both are written to. Knows no pytest."""

import datetime
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.case import Case
from harness.devices import open_device
from harness.errors import AssayError
from harness.judge import judge
from harness.recorder import Recorder
from harness.recording import Recording
from harness.run import Run
from harness.verdict import FAILING, Finding, Outcome, Verdict
from reference.source import Golden, Live, Recorded, Reference

Progress = Callable[[Case, int], None]


@dataclass(frozen=True)
class Request:
    """What the command line asked for, checked. `reference` is a device name or the folder of a Run."""

    device: str
    reference: str | Path
    run: Path
    resume: bool
    model: str


def parse(device: str | None, reference: str, run: str | None, resume: bool, model: str) -> Request:
    """Check the options before anything runs. Raises AssayError: no such device, folder, or a Run of another format."""
    name = open_device(device).name
    source: str | Path
    if re.fullmatch(r"[a-z]+(:\d+)?", reference) and not Path(reference).is_dir():
        source = open_device(reference).name
    else:
        source = Path(reference)
        Run.open(source)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path(run) if run else Path("runs") / f"{stamp}-{name.replace(':', '')}"
    if isinstance(source, Path) and folder.resolve() == source.resolve():
        raise AssayError(f"{folder}: is both --run and --reference; name another folder for --run")
    return Request(name, source, folder, resume, model)


class Session:
    """Records, judges and stores; one object for a whole pytest session."""

    def __init__(self, request: Request, cases: Mapping[str, Case], progress: Progress | None = None) -> None:
        self.request, self._cases = request, cases
        self.run = Run.create(request.run, request.device, request.resume)
        self.candidate = Recorder(self.run, request.device, progress=progress)
        self._golden_recorder = Recorder(self.run.nested("golden", "cpu"), "cpu", golden=True, progress=progress)
        self.live: Recorder | None = None
        self._reference: Reference
        if isinstance(request.reference, Path):
            recorded = Run.open(request.reference)
            self._reference_run, self._reference = recorded, Recorded(recorded)
            self._golden = Golden(self._golden_recorder, request.reference / "golden")
        else:
            self.live = Recorder(self.run.nested("reference", request.reference), request.reference, progress=progress)
            self._reference_run, self._reference = self.live.run, Live(self.live)
            self._golden = Golden(self._golden_recorder)

    def verdict(self, case: Case) -> Verdict:
        """Record the case on the candidate unless that is done, judge it, store the verdict and return it."""
        return self.judge(case, self.candidate.record(case))

    def judge(self, case: Case, candidate: Recording) -> Verdict:
        """Judge a recording of the candidate, store the verdict and return it."""
        reference = self._expected(case)
        source = replace(self._cases[case.golden_of], params=case.params) if case.golden_of else case
        golden = self._golden.expected(source, candidate.inputs)
        verdict = judge(case, candidate, reference, golden, self._reproduce(case))
        if case.vouched_by:
            verdict = _vouched(verdict, case.vouched_by, self.run.verdict(case.vouched_by))
        self.run.write_verdict(verdict)
        self.run.describe_comparison(self._comparison())
        return verdict

    def _expected(self, case: Case) -> Recording | str:
        try:
            return self._reference.expected(case)
        except AssayError as error:
            if self.live:
                raise  # no worker, no disk: that concerns the whole run
            return str(error)

    def _reproduce(self, case: Case) -> str:
        model = "" if self.request.model == "default" or "model" not in case.params else f" --model {self.request.model}"
        return f"pytest suites/ --case '{case.id}' --device {self.request.device} --reference {self.request.reference}{model}"

    def _comparison(self) -> dict[str, Any]:
        ours, theirs = _device(self.run), _device(self._reference_run)
        same = _same_device(ours, theirs)
        return {
            "candidate": ours, "reference": theirs,
            "reference_kind": "live" if self.live else "recorded", "reference_source": str(self.request.reference),
            "reference_created": self._reference_run.manifest["created"],
            "self_comparison": bool(same), "self_reason": same,
            "emulated": bool(ours.get("emulated") or theirs.get("emulated")),
            "reference_environments": self._reference_run.manifest["environments"], "model": Path(self.request.model).name,
        }  # fmt: skip

    def close(self) -> None:
        """Stop all worker processes."""
        for recorder in (self.candidate, self.live, self._golden_recorder):
            if recorder:
                with suppress(OSError):
                    recorder.close()


def _device(run: Run) -> dict[str, Any]:
    blocks = list(run.manifest["environments"].values())
    return dict(blocks[-1]["device"]) if blocks else {"name": run.manifest["device"]}


def _same_device(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say why this is no comparison between devices; empty when it is one."""
    if ours.get("kind") == theirs.get("kind") == "cpu":
        return "both sides are CPUs"
    if (ours.get("kind"), ours.get("hardware")) == (theirs.get("kind"), theirs.get("hardware")):
        return f"both sides are {ours.get('hardware') or ours.get('name')}"
    return ""


def _vouched(verdict: Verdict, by: str, other: Verdict | None) -> Verdict:
    """A fast wrong result scores nothing: fail a timing whose conformance case failed, and say so where there is no such verdict."""
    if other is None:
        note = Finding("vouched", by, Outcome.PASS, message="not run here, so nothing says that what was timed is right")
        return replace(verdict, findings=(*verdict.findings, note))
    if other.outcome not in FAILING:
        return replace(verdict, findings=(*verdict.findings, Finding("vouched", by, Outcome.PASS, message=f"{by}: {other.outcome}")))
    message = f"{by}, which does the same, ended as {other.outcome}: a fast wrong result scores nothing"
    bad = Finding("vouched", by, Outcome.FAIL, message=message)
    return replace(verdict, outcome=Outcome.FAIL, message=f"vouched of {by}: {message}", findings=(*verdict.findings, bad))
