"""One comparison: a candidate, a reference, a Run that both are written to. Knows no pytest."""

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import harness
import reference
from harness.appeal import Sources, appeal, may_appeal
from harness.case import Case
from harness.devices import UNSTATED, open_device
from harness.errors import AssayError
from harness.isolate import Worker
from harness.judge import judge
from harness.manner import Manner
from harness.recorder import Recorder
from harness.recording import Recording
from harness.run import Run
from harness.verdict import Verdict
from reference import mutation, published, reruns
from reference.cache import Goldens
from reference.source import Golden, Live, Recorded, Reference
from reference.waiver import PACKAGED, Waiver
from reference.waiving import apply, stated
from suites import asking, assets, standard, workloads
from suites.serving import asked as endpoint
from suites.vouching import vouched
from suites.workloads.serving.parity import ENDPOINT

Progress = Callable[[Case, int], None]


@dataclass(frozen=True)
class Request:
    """What the command line asked for, checked. `reference` is a device name or the folder of a Run, `waivers` a folder of TOML files."""

    device: str
    reference: str | Path
    run: Path
    resume: bool
    model: str
    waivers: Path = PACKAGED
    process: str = ""  # its name, where several fill one Run


def parse(device: str | None, reference: str, run: str | None, resume: bool, model: str, waivers: str | None = None) -> Request:
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
    return Request(name, source, folder, resume, model, Path(waivers) if waivers else PACKAGED)


class Session:
    """Records, judges and stores; one object for a whole pytest session. `today` decides which waivers have expired (default: UTC's)."""

    def __init__(
        self, request: Request, cases: Mapping[str, Case], progress: Progress | None = None,
        waivers: Sequence[Waiver] = (), today: datetime.date | None = None,
    ) -> None:  # fmt: skip
        self.request, self._cases = request, cases
        self._waivers = [w for w in waivers if w.concerns in (request.device, request.device.partition(":")[0])]
        self._today = today or datetime.datetime.now(datetime.UTC).date()
        self.run = Run.create(request.run, request.device, request.resume or bool(request.process))
        self.run.describe_mutation(mutation.stored())
        self.run.describe_published(published.stored())
        self.run.describe_catalogue({name: case.key() for name, case in sorted(cases.items())})
        self._vouched_for: dict[str, list[str]] = {}
        for case in cases.values():
            if case.vouched_by:
                self._vouched_for.setdefault(case.vouched_by, []).append(case.id)
        self._workers: dict[str, Worker] = {}
        self.candidate = Recorder(self.run, request.device, Manner.PROBED, progress, self._worker(request.device))
        self._golden_recorder = Recorder(self.run.nested("golden", "cpu"), "cpu", Manner.GOLDEN, progress, self._worker("cpu"))
        kept = Goldens.of_user(tuple(Path(package.__path__[0]) for package in (harness, reference, workloads, assets)))
        kept.tidy()
        self.live: Recorder | None = None
        self._reference: Reference
        if isinstance(request.reference, Path):
            recorded = Run.open(request.reference)
            self._reference_run, self._reference = recorded, Recorded(recorded)
            self._golden = Golden(self._golden_recorder, request.reference / "golden", kept)
        else:
            run = self.run.nested("reference", request.reference)
            self.live = Recorder(run, request.reference, progress=progress, worker=self._worker(request.reference))
            self._reference_run, self._reference = self.live.run, Live(self.live)
            self._golden = Golden(self._golden_recorder, kept=kept)

    def _worker(self, device: str) -> Worker:
        """Return the one process of this session that runs cases on `device`, whoever asks: a start costs seconds."""
        log = self.run.folder / "logs" / f"{device.replace(':', '')}{self.request.process}.log"
        return self._workers.setdefault(device, Worker(device, log))

    def verdict(self, case: Case) -> Verdict:
        """Record the case on the candidate unless that is done, judge it, store the verdict and return it."""
        return self.judge(case, self.candidate.record(case))

    def judge(self, case: Case, candidate: Recording) -> Verdict:
        """Judge a recording of the candidate, store the verdict and return it."""
        reference = self._expected(case)
        source = replace(self._cases[case.golden_of], params=case.params) if case.golden_of else case
        golden = self._golden.expected(source, candidate.inputs)
        verdict = judge(case, candidate, reference, golden, self._reproduce(case), reruns=self._reruns(case, reference))
        if may_appeal(case, verdict):
            assert isinstance(reference, Recording)
            verdict = appeal(case, verdict, candidate, reference, golden, self._sources())
        if case.vouched_by:
            verdict = vouched(verdict, case.vouched_by, self.run.verdict(case.vouched_by))
        comparison = self._comparison()
        verdict = self._waive(verdict, candidate, conclusive=not comparison["self_comparison"])
        self.run.write_verdict(verdict)
        for timed in self._vouched_for.get(case.id, ()):  # timed before this was judged
            if (earlier := self.run.verdict(timed)) is not None:
                self.run.write_verdict(vouched(earlier, case.id, verdict))
        self.run.describe_comparison(comparison)
        return verdict

    def _reruns(self, case: Case, reference: Recording | str) -> list[Recording]:
        """Return the reference's perturbed runs of a training case, as far as there are, and make the candidate's own.

        The latter make this Run a reference for others. An emulated device is nobody's reference, and one that is compared with itself
        needs them once.
        """
        if not case.band or isinstance(reference, str):
            return []
        if not self.live:
            found = reruns.recorded(self._reference_run, case)
        elif self.live.device == self.candidate.device:
            return reruns.made(self.candidate, case)
        else:
            found = reruns.made(self.live, case)
        if not _device(self.run).get("emulated"):
            reruns.made(self.candidate, case)
        return found

    def _sources(self) -> Sources:
        """Return who records a case again for an appeal; without a live reference the host stands in for it on fresh seeds."""

        def record(recorder: Recorder | None, side: str) -> Callable[[Case, Manner], Recording]:
            device, worker = (recorder.device, recorder.worker) if recorder else ("cpu", self._golden_recorder.worker)

            def again(case: Case, manner: Manner) -> Recording:
                run = self.run.nested(f"appeal/{side}-{manner}-{case.seed}", device)
                return Recorder(run, device, manner, worker=worker).record(case)

            return again

        candidate, reference, host = record(self.candidate, "candidate"), record(self.live, "reference"), record(None, "host")
        return Sources(lambda case: candidate(case, Manner.PLAIN), lambda case: reference(case, Manner.PLAIN), host)

    def _waive(self, verdict: Verdict, candidate: Recording, conclusive: bool) -> Verdict:
        """Let the waivers speak that hold in the environment in which the candidate was recorded."""
        environment = self.run.manifest["environments"].get(candidate.environment, {})
        self.run.describe_waivers(stated(self._waivers, environment, self._today))
        holding = [w for w in self._waivers if not w.inactive(environment)]
        return apply(verdict, holding, self._today, conclusive)

    def _expected(self, case: Case) -> Recording | str:
        try:
            return self._reference.expected(case)
        except AssayError as error:
            if self.live:
                raise  # no worker, no disk: that concerns the whole run
            return str(error)

    def _reproduce(self, case: Case) -> str:
        model = f" --model {self.request.model}" if case.params.get("model") == self.request.model != "default" else ""
        how = standard.told(case, self._cases.get(case.id, case)) + asking.told(case, self._cases)
        waivers = "" if self.request.waivers == PACKAGED else f" --waivers {self.request.waivers}"
        candidate = f"--device {self.request.device}"
        if self.request.device == ENDPOINT:
            candidate = endpoint.told(case, self._cases.get(case.id, case))
        return f"pytest suites/ --case '{case.id}' {candidate} --reference {self.request.reference}{model}{waivers}{how}"

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
    unstated = [side for side in (ours, theirs) if side.get("kind") == ENDPOINT and side.get("hardware") == UNSTATED]
    if unstated:
        return "nobody stated what the endpoint runs on (--endpoint-hardware)"
    if ours.get("stated") and ours.get("hardware") == theirs.get("hardware"):
        return f"both sides are {ours['hardware']}"
    if ours.get("kind") == theirs.get("kind") == "cpu":
        return "both sides are CPUs"
    if (ours.get("kind"), ours.get("hardware")) == (theirs.get("kind"), theirs.get("hardware")):
        return f"both sides are {ours.get('hardware') or ours.get('name')}"
    return ""
