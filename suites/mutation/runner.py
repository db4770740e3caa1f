"""Traces the cases, puts every mutant to those that reach its operators, and stores the score. Knows no mutant by name."""

import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness import environment
from harness.devices import open_device
from harness.recording import write_json
from harness.verdict import FAILING
from suites.catalogue import all_cases
from suites.mutation import emulated, invariants
from suites.mutation.bench import Bench
from suites.mutation.choosing import chosen, eligible, traced
from suites.mutation.registry import mutants
from suites.mutation.score import Row, Score, row
from suites.mutation.wrapper import Mutant

_SLOW = 0.5  # seconds of processor time; a case that takes longer is left to the suite itself
_ENOUGH = 8  # failing cases after which a mutant is known to be caught
_EMULATED_CASES = 24  # cases that a fault of the emulator is put to at most


@dataclass(frozen=True)
class Plan:
    """What is asked for: the candidate, how many cases a benign variant and a fault are put to at most, which mutants (all if none)."""

    device: str
    benign_cases: int
    fault_cases: int
    only: tuple[str, ...] = ()

    def most(self, mutant: Mutant) -> int:
        """Return how many cases the mutant is put to at most."""
        return self.benign_cases if mutant.benign else self.fault_cases

    def mutants(self) -> list[Mutant]:
        """Return the mutants that are asked for, in order."""
        return [m for m in mutants().values() if not self.only or m.name in self.only]


def trace(plan: Plan, part: int, parts: int, folder: Path) -> None:
    """Write `trace-<part>.json`: the operators that each of this part's cases reaches (one dtype stands for others); no slow ones."""
    torch.set_num_threads(1)
    cases = all_cases()
    bench = Bench(plan.device, folder / f"trace-{part}", cases)
    reached: dict[str, list[str]] = {}
    for name, stands_for in list(traced(eligible(cases, plan.device.split(":")[0])).items())[part::parts]:
        operators, seconds = bench.operators(cases[name])
        if seconds < _SLOW:
            reached |= {other: sorted(operators) for other in stands_for}
    bench.close()
    write_json(folder / f"trace-{part}.json", {"reached": reached})


def read_trace(folder: Path) -> dict[str, list[str]]:
    """Return what all parts have traced, in the order of the catalogue."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("trace-*.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))["reached"]
    return {case: found[case] for case in all_cases() if case in found}


def judge(plan: Plan, part: int, parts: int, folder: Path) -> None:
    """Put this part's mutants to their cases; append a line of JSON to `rows-<part>.jsonl` for each, after those that are there."""
    torch.set_num_threads(1)
    cases, reached = all_cases(), read_trace(folder)
    dtypes = {name: case.dtype for name, case in cases.items()}
    bench = Bench(plan.device, folder / f"judge-{part}-{time.time_ns()}", cases)
    path = folder / f"rows-{part}.jsonl"
    done = {json.loads(line)["name"] for line in _lines(path)}
    for mutant in plan.mutants()[part::parts]:
        if mutant.name in done:
            continue
        _note(folder / f"now-{part}.txt", mutant.name)
        found = tried(bench, mutant, [cases[name] for name in chosen(mutant, reached, dtypes, plan.most(mutant))])
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(found)) + "\n")
        print(told(found), flush=True)
    bench.close()


def tried(bench: Bench, mutant: Mutant, cases: Iterable[Any]) -> Row:
    """Put one mutant to cases in their order; a case that fails without it is passed over."""
    verdicts, struck, stumbled, failed = [], 0, set(), 0
    for case in cases:
        if not bench.sound(case):
            continue
        judged = bench.under(mutant, case)
        verdicts.append(judged.verdict)
        struck += judged.struck
        stumbled |= set(judged.stumbled)
        failed += judged.verdict.outcome in FAILING
        if failed == _ENOUGH:
            break
    return row(mutant.name, "dispatch", mutant.source, mutant.operators, mutant.causes, len(verdicts), struck, verdicts, stumbled)


def told(found: Row) -> str:
    """Say in a line what became of a mutant."""
    if found.benign:
        state = "ALARMS" if found.caught else "silent" if found.struck else "not reached"
    else:
        state = "caught" if found.caught else "MISSED" if found.cases else "NOT REACHED"
    cause = (
        f", named {found.named or 'nothing'}{'' if found.cause_right else f', not {found.expected}'}"
        if found.caught and not found.benign
        else ""
    )
    where = f"; {found.shown[0]['case']}: {found.shown[0]['check']} of {found.shown[0]['subject']}" if found.shown else ""
    stumbled = f"; STUMBLED: {found.stumbled[0]}" if found.stumbled else ""
    return f"{state:7} {found.name}: {found.failed} of {found.cases} cases{cause}{where}{stumbled}"


def _note(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def run(plan: Plan, parts: int, out: Path) -> Score:
    """Do it all, in `parts` processes at a time; write `out` and return the score."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="assay-mutation-") as name:
        folder = Path(name)
        if plan.mutants():  # none where only seeds of training code are named
            _in_processes("trace", plan, parts, folder)
            _in_processes("judge", plan, parts, folder)
        rows = [_row(json.loads(line)) for part in range(parts) for line in _lines(folder / f"rows-{part}.jsonl")]
        order = {mutant: i for i, mutant in enumerate(mutants())}
        rows.sort(key=lambda r: order[r.name])
        rows += _emulated(plan, parts, folder)
    rows += _invariants(plan)
    score = Score(tuple(rows))
    write_json(out, {**score.to_json(), **_about(plan, time.perf_counter() - begun)}, indent=1)  # kept in git
    return score


def _row(document: dict[str, Any]) -> Row:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
    return Row(**values)


def _about(plan: Plan, seconds: float) -> dict[str, Any]:
    device = open_device(plan.device)
    described = environment.describe()
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "seconds": round(seconds),
        "device": plan.device, "hardware": device.hardware(), "emulated": device.emulated,
        "packages": {n: v for n, v in described["packages"].items() if n in ("ascend-assay", "torch", "torch_npu", "numpy")},
        "benign_cases": plan.benign_cases, "fault_cases": plan.fault_cases,
        "emulator": "its faults were put to the suite too" if emulated.switched_on() else "not switched on: its own faults were left out",
        "not_counted": dict(emulated.OUT_OF_REACH) if emulated.switched_on() else {},
    }  # fmt: skip


def _command(stage: str, plan: Plan, part: int, parts: int, folder: Path) -> list[str]:
    options = ["--device", plan.device, "--benign-cases", str(plan.benign_cases), "--fault-cases", str(plan.fault_cases)]
    chosen_ones = [word for name in plan.only for word in ("--mutant", name)]
    return [
        sys.executable,
        "-m",
        "suites.mutation",
        "--stage",
        stage,
        "--part",
        f"{part}/{parts}",
        "--folder",
        str(folder),
        *options,
        *chosen_ones,
    ]


def _in_processes(stage: str, plan: Plan, parts: int, folder: Path) -> None:
    """Run a stage in so many processes. One that dies at a mutant is started again for those that are left: that mutant killed it."""
    variables = environment.child_environment() | {"OMP_NUM_THREADS": "1"}
    running = {part: subprocess.Popen(_command(stage, plan, part, parts, folder), env=variables) for part in range(parts)}
    while running:
        part, process = next(iter(running.items()))
        code = process.wait()
        del running[part]
        if code == 0:
            continue
        if stage != "judge" or code > 0:
            for other in running.values():
                other.kill()
            raise RuntimeError(f"the process of stage {stage}, part {part}, ended with status {code}")
        _write_death(plan, part, folder, code)
        running[part] = subprocess.Popen(_command(stage, plan, part, parts, folder), env=variables)


def _write_death(plan: Plan, part: int, folder: Path, code: int) -> None:
    name = (folder / f"now-{part}.txt").read_text(encoding="utf-8")
    mutant = next(m for m in plan.mutants() if m.name == name)
    shown = ({"case": "", "check": "status", "subject": "process", "cause": "", "message": f"the process died by signal {-code}"},)
    causes = tuple(map(str, mutant.causes))
    dead = Row(name, "dispatch", mutant.source, mutant.operators, causes, 1, 1, 1, "", shown)
    with (folder / f"rows-{part}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(vars(dead)) + "\n")
    print(told(dead), flush=True)


def _invariants(plan: Plan) -> list[Row]:
    """Put faults and benign variants of training code to the invariants, on the CPU, in this process."""
    torch.set_num_threads(1)
    rows = invariants.run(plan.only)
    for found in rows:
        print(told(found), flush=True)
    return rows


def _emulated(plan: Plan, parts: int, folder: Path) -> list[Row]:
    """Put the emulator's own faults to cases, where the emulator is switched on."""
    if not emulated.switched_on() or plan.only:
        print("the emulator is not switched on: its own faults are left out" if not plan.only else "only the mutants named", flush=True)
        return []
    reached, dtypes = read_trace(folder), {name: case.dtype for name, case in all_cases().items()}
    wanted = {fault.name: chosen(fault, reached, dtypes, _EMULATED_CASES) for fault in emulated.FAULTS}
    cases = list(dict.fromkeys(case for some in wanted.values() for case in some))
    recorded = emulated.reference(cases, folder / "emulated-reference")
    sound = emulated.sound(cases, recorded, folder / "emulated-right")

    def put(fault: Mutant) -> Row:
        kept = [case for case in wanted[fault.name] if case in sound]
        found = emulated.under(fault, kept, recorded, folder / f"emulated-{fault.name}")
        print(told(found), flush=True)
        return found

    with ThreadPoolExecutor(parts) as pool:  # each waits for a process of its own
        return list(pool.map(put, emulated.FAULTS))
