"""What of a Run is followed from night to night: outcomes, times, memory, errors, and answers sample by sample. Knows no store and no rule.

Verdicts carry nearly all of it; of the recordings only those with answers are read. A Run may hold repeats of some of its cases, nested
Runs below `repeats/`: a figure then has the rounds of each. Times of an emulated device, or of a case that fails, are nobody's
performance, and are left out. Format history: 1  first version
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from harness.errors import AssayError
from harness.recording import Recording, Status
from harness.run import Run
from harness.verdict import FAILING, Outcome, Verdict

FORMAT = 1
REPEATS = "repeats"
_TIMES = {"s", "ms", "us", "µs"}
_HOST = ("commit", "python", "platform", "cpu", "usable_cores", "threads")


@dataclass(frozen=True)
class Figure:
    """One metric of one case in one night: the raw samples of each run of it, first the night's own and then its repeats.

    `metric` is `seconds` (of a round, for one unit of work), `ratio` (to the live reference), `reference seconds`, `peak` (bytes), `error
    <check> of <subject>` or `<check> of <subject>`. `higher` says that more is better.
    """

    case: str
    metric: str
    unit: str
    runs: tuple[tuple[float, ...], ...]
    higher: bool = False

    @property
    def name(self) -> str:
        """Case and metric, by which it is followed."""
        return f"{self.case} {self.metric}"

    @cached_property
    def value(self) -> float:
        """Return the night's figure: the median over its repeats, or of the first run where there is none.

        With repeats the first does not count: that it was large is why they were made.
        """
        return float(median(median(run) for run in (self.runs[1:] or self.runs)))


@dataclass(frozen=True)
class Answers:
    """Which samples of a task were answered right, in each run of the case; `samples` is the SHA-256 of their hashes, in order."""

    samples: str
    runs: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Figures:
    """What is followed of one Run.

    `machine` is a digest of host and device, `facts` what software and settings they had: so that a new driver is a change with a cause
    and not another machine. `outcomes` and `keys` (the digest of its definition) are by case; `again` has the outcomes of a case's
    repeats.
    """

    created: str
    machine: str
    hardware: str
    emulated: bool
    facts: Mapping[str, str]
    labels: Mapping[str, str]
    outcomes: Mapping[str, str]
    keys: Mapping[str, str]
    figures: tuple[Figure, ...]
    answers: Mapping[str, Answers]
    again: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able values; answers are written as a text of 0 and 1."""
        answers = {
            case: {"samples": a.samples, "runs": ["".join("01"[right] for right in run) for run in a.runs]}
            for case, a in self.answers.items()
        }
        return {"format": FORMAT, **asdict(self), "answers": answers}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Figures":
        """Read it again. Raises AssayError for another format."""
        if document.get("format") != FORMAT:
            raise AssayError(f"figures of format {document.get('format')!r}, this version reads {FORMAT}; use the version that stored them")
        plain = {k: v for k, v in document.items() if k not in ("format", "figures", "answers", "again")}
        figures = tuple(Figure(**{**f, "runs": tuple(map(tuple, f["runs"]))}) for f in document["figures"])
        answers = {
            c: Answers(a["samples"], tuple(tuple(mark == "1" for mark in run) for run in a["runs"])) for c, a in document["answers"].items()
        }
        return cls(**plain, figures=figures, answers=answers, again={c: tuple(o) for c, o in document["again"].items()})


def figures_of(run: Run) -> Figures:
    """Return what is followed of a Run and its repeats. Raises AssayError: it holds no verdict, or a file is broken."""
    verdicts = {verdict.case: verdict for verdict in run.verdicts()}
    if not verdicts:
        raise AssayError(f"{run.folder}: holds no verdict; run pytest suites/ --run {run.folder} first")
    environment = _environment(run, verdicts)
    device = environment.get("device", {})
    emulated = bool(run.manifest["comparison"].get("emulated"))
    repeats = [Run.open(folder) for folder in sorted((run.folder / REPEATS).glob("*")) if (folder / "run.json").exists()]
    again = [{verdict.case: verdict for verdict in repeat.verdicts()} for repeat in repeats]
    found = [{(f.case, f.metric): f for v in part.values() for f in _figures(v, emulated)} for part in (verdicts, *again)]
    figures = tuple(
        Figure(f.case, f.metric, f.unit, tuple(run for part in found if key in part for run in part[key].runs), f.higher)
        for key, f in found[0].items()
    )  # fmt: skip
    return Figures(
        run.manifest["created"], _machine(environment), str(device.get("hardware") or device.get("name") or "unknown"), emulated,
        facts_of(run, environment), run.manifest.get("labels", {}), {case: str(v.outcome) for case, v in verdicts.items()},
        {case: hashlib.sha256(json.dumps(dict(v.definition), sort_keys=True).encode()).hexdigest()[:12] for case, v in verdicts.items()},
        figures, _answers(run, repeats, verdicts),
        {case: outcomes for case in verdicts if (outcomes := tuple(str(part[case].outcome) for part in again if case in part))},
    )  # fmt: skip


def _environment(run: Run, verdicts: Mapping[str, Verdict]) -> Mapping[str, Any]:
    """Return the environment in which most cases were recorded on the candidate."""
    digests = Counter(verdict.evidence.get("candidate", {}).get("environment") for verdict in verdicts.values())
    known = [digest for digest, _ in digests.most_common() if digest in run.manifest["environments"]]
    return dict(run.manifest["environments"][known[0]]) if known else {}


def _machine(environment: Mapping[str, Any]) -> str:
    host, device = environment.get("host", {}), environment.get("device", {})
    facts = (host.get("machine"), *(device.get(key) for key in ("kind", "name", "hardware", "emulated")))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def facts_of(run: Run, environment: Mapping[str, Any]) -> dict[str, str]:
    """Return what can change under a machine, flat: versions, packages, variables, Assay's commit, the Run's labels, the model."""
    host, device = environment.get("host", {}), environment.get("device", {})
    facts = {name: str(host[name]) for name in _HOST if host.get(name)}
    for part, values in (("package", host.get("packages")), ("variable", host.get("variables")), ("device", device.get("versions"))):
        facts |= {f"{part} {name}": str(value) for name, value in (values or {}).items()}
    comparison = run.manifest["comparison"]
    facts |= {"model": str(comparison.get("model", "")), "reference": str(comparison.get("reference_source", ""))}
    return facts | {f"label {name}": str(value) for name, value in run.manifest.get("labels", {}).items()}


def _figures(verdict: Verdict, emulated: bool) -> Iterator[Figure]:
    ours, theirs = (verdict.evidence.get(side, {}) for side in ("candidate", "reference"))
    if verdict.outcome in FAILING and verdict.outcome is not Outcome.FIXED:
        return  # a fast wrong result scores nothing
    if peak := ours.get("memory", {}).get("allocated_peak"):
        yield Figure(verdict.case, "peak", "bytes", ((float(peak),),))
    if verdict.area == "performance" and not emulated:
        yield from _times(verdict.case, ours, theirs)
    for finding in verdict.findings:
        about = f"{finding.check} of {finding.subject}"
        if finding.measured is None or not math.isfinite(finding.measured):
            continue
        if finding.bound:
            yield Figure(verdict.case, f"error {about}", finding.unit, ((finding.measured,),))
        elif verdict.area == "performance" and not emulated and finding.check != "throughput" and _of_time(finding.unit):
            yield Figure(verdict.case, about, finding.unit, ((finding.measured,),), higher=finding.unit.endswith("/s"))


def _of_time(unit: str) -> bool:
    return unit in _TIMES or unit.endswith("/s")


def _times(case: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield the seconds of each side for one unit of work, and their ratio: round by round where as many were run."""
    sides = [[float(s) / float(side.get("work") or 1.0) for s in side.get("seconds", ())] for side in (ours, theirs)]
    units = [f"s/{side.get('unit', 'calls').removesuffix('s')}" for side in (ours, theirs)]
    if not sides[0] or min(sides[0]) <= 0:
        return
    yield Figure(case, "seconds", units[0], (tuple(sides[0]),))
    if sides[1] and min(sides[1]) > 0:
        yield Figure(case, "reference seconds", units[1], (tuple(sides[1]),))
        paired = len(sides[0]) == len(sides[1])
        ratio = [a / b for a, b in zip(*sides, strict=True)] if paired else [median(sides[0]) / median(sides[1])]
        yield Figure(case, "ratio", "", (tuple(ratio),))


def _answers(run: Run, repeats: list[Run], verdicts: Mapping[str, Verdict]) -> dict[str, Answers]:
    found: dict[str, Answers] = {}
    for case in (case for case, verdict in verdicts.items() if verdict.area == "accuracy"):
        sides = [told for part in (run, *repeats) if (told := _answered(part.recording(case)))]
        if sides:
            found[case] = Answers(sides[0][0], tuple(right for samples, right in sides if samples == sides[0][0]))
    return found


def _answered(recording: Recording | None) -> tuple[str, tuple[bool, ...]] | None:
    """Return the digest of the samples and which were right; None where the recording has no answers."""
    if recording is None or recording.status is not Status.OK or "correct" not in recording.tensors:
        return None
    hashes = [sample.get("prompt_hash") for sample in recording.details.get("samples", ())]
    if not hashes or not all(hashes):
        return None
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16], tuple(bool(right) for right in recording.tensors["correct"])
