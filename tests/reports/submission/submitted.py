"""A Run with recordings, as a vendor would send it: made, not measured."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.recording import Recording, Status
from harness.run import Run
from harness.shown import evidence_of
from harness.verdict import Finding, Outcome, Verdict
from reports.__main__ import main
from tests.reports.runs import make, waived

CASES = ("operators/matmul[float32]", "operators/softmax[float32]")


def recording(case: str, device: str, seconds: float) -> Recording:
    definition = {"id": case, "workload": "w:f", "dtype": "float32", "params": {}, "seed": 0, "rounds": 1}
    key = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    return Recording(
        definition, key, "operators", device, "e1", Status.OK, inputs={"x": "ab" * 32}, seconds=(seconds,), dtypes={"out": "float32"}
    )


def submitted(folder: Path, known: tuple[str, ...] = CASES, **more: object) -> Path:
    """Return a Run whose verdicts follow from its recordings; `known` are the cases that its catalogue has."""
    make(folder, (), **more)  # type: ignore[arg-type]
    run = Run.open(folder)
    golden, right = run.nested("golden", "cpu"), np.linspace(1.0, 2.0, 64)
    for n, case in enumerate(CASES):
        ours = run.write(recording(case, "npu:0", 0.01 * (n + 1)), {"out": (right * (1 + 2.0**-25)).astype(np.float32)})
        exact = golden.write(recording(case, "cpu", 0.1), {"out": right})
        error = float(np.sqrt(np.mean((ours.tensors["out"].astype(np.float64) - right) ** 2)) / np.sqrt(np.mean(right**2))) / 2.0**-24
        findings = (Finding("closeness", "out rms", Outcome.PASS, error, 1.2, "u", 0.5),)
        evidence = {"candidate": evidence_of(ours), "golden": evidence_of(exact)}
        run.write_verdict(
            Verdict(case, "operators", "float32", Outcome.PASS, "", findings, ours.definition, evidence, f"pytest --case '{case}'")
        )
    keys = {case: recording(case, "npu:0", 1.0).key for case in known}
    run.describe_catalogue(keys)
    return folder


def excused(folder: Path, expires: str) -> Path:
    """Return a Run with a case that fails and is excused until a day."""
    waiver = {"source": "npu.toml: tail", "owner": "A. Person", "reason": "the tail is coarse", "link": "", "expires": expires,
              "state": "in force", "why": "", "case": CASES[0]}  # fmt: skip
    submitted(folder, waivers=(waiver,))
    run = Run.open(folder)
    old = run.verdict(CASES[0])
    assert old
    new = waived(CASES[0])
    run.write_verdict(
        Verdict(
            **{
                **old.__dict__,
                "outcome": Outcome.WAIVED,
                "message": new.message,
                "findings": (*old.findings, *(replace(f, subject=f.subject.replace("rms", "worst")) for f in new.findings)),
            }
        )
    )
    return folder


def packed(folder: Path, *runs: Path, options: tuple[str, ...] = ()) -> Path:
    out = folder / "s.zip"
    assert main(["pack", *map(str, runs), "-o", str(out), *options]) == 0
    return out


def rebuilt(archive: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Return the archive with its members changed, and its checksums as they were."""
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    out = archive.with_name("changed.zip")
    with zipfile.ZipFile(out, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return out
