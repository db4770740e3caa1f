"""The emulator's own seeded faults, put to `pytest suites/` as a user would call it, in processes of their own. Knows not how they work.

Only where the emulated CANN runtime is switched on: `tox -e mutation` does that where it can.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import environment
from harness.run import Run
from harness.verdict import FAILING, Cause
from suites.mutation.score import Row, row
from suites.mutation.wrapper import Mutant


def _fault(name: str, causes: tuple[Cause, ...], *operators: str) -> Mutant:
    """Return a fault of that name; the ATen operators say which cases reach it, and its function lies in the emulator."""
    return Mutant(name, operators, lambda: None, "emulator/faults.py", causes)


_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::matmul")

#: What `ASSAY_EMULATOR_FAULTS` may name, with the one or two causes that an honest diagnosis may name.
FAULTS: tuple[Mutant, ...] = (
    _fault("softmax-tail", (Cause.TAIL,), "aten::_softmax"),
    _fault("matmul-hf32", (Cause.PRECISION,), *_PRODUCTS),
    _fault("bit-flip", (Cause.UNSTEADY, Cause.SPARSE), *_PRODUCTS),
    _fault("stale-weight", (Cause.IMPURE,), *_PRODUCTS),
    _fault("embedding-gradient-duplicates", (Cause.VALUES, Cause.STATISTIC), "aten::embedding_dense_backward"),
    _fault("mask-rows-dropped", (Cause.VALUES, Cause.SPECIAL), "aten::masked_fill"),
    _fault("strides-ignored", (Cause.LAYOUT, Cause.VALUES), "aten::mul", "aten::add"),
    _fault("exp-saturates", (Cause.SPECIAL,), "aten::exp"),
    _fault("integers-through-float", (Cause.INTEGERS,), "aten::add"),
    _fault("sum-order", (Cause.UNSTEADY,), "aten::sum", "aten::mean"),
    _fault("topk-second", (Cause.CHOICE, Cause.VALUES), "aten::topk"),
    _fault("dropout-mask-fixed", (Cause.RANDOM,), "aten::native_dropout", "aten::bernoulli"),
    _fault("copy-tail", (Cause.TAIL,), "aten::clone", "aten::_to_copy"),
)

#: Faults of the emulator that the cases of single operators do not promise anything about: they are not counted.
OUT_OF_REACH: Mapping[str, str] = {
    "freed-memory-counted": "it concerns the device's free memory, which no operator case looks at",
    "all-reduce-tail": "it concerns a collective, and the suite has no collective yet",
}

_DEVICE = "npu:0"


def switched_on() -> bool:
    """Whether the emulator is switched on in this process's environment."""
    return environment.child_environment().get("ASSAY_EMULATOR") == "1"


def reference(cases: Sequence[str], folder: Path) -> Path:
    """Record the cases on the CPU once, with goldens, for every fault to be judged against."""
    _pytest(cases, folder, ("--device", "cpu"), {})
    return folder


def under(fault: Mutant, cases: Sequence[str], recorded: Path, folder: Path) -> Row:
    """Judge the cases on the emulated NPU with one of its faults switched on."""
    _pytest(cases, folder, ("--device", _DEVICE, "--reference", str(recorded)), {"ASSAY_EMULATOR_FAULTS": fault.name})
    verdicts = list(Run.open(folder).verdicts())
    return row(fault.name, "emulator", fault.source, fault.operators, fault.causes, len(verdicts), len(verdicts), verdicts)


def sound(cases: Sequence[str], recorded: Path, folder: Path) -> frozenset[str]:
    """Return the cases that do not fail on the emulated NPU without a fault."""
    _pytest(cases, folder, ("--device", _DEVICE, "--reference", str(recorded)), {})
    return frozenset(verdict.case for verdict in Run.open(folder).verdicts() if verdict.outcome not in FAILING)


def _pytest(cases: Sequence[str], folder: Path, options: Sequence[str], variables: Mapping[str, str]) -> None:
    """Run the suite as a user does. Its exit status is that of failing cases: what counts are the verdicts that it writes."""
    suites = Path(__file__).parents[1]
    chosen = [word for case in cases for word in ("--case", case)]
    command = [sys.executable, "-m", "pytest", str(suites), "-q", "-m", "operators", "--run", str(folder), *options, *chosen]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment.child_environment() | dict(variables), cwd=suites.parent
    )
    if not (folder / "verdicts").is_dir():
        raise RuntimeError(f"pytest wrote no verdict; its last words: {' '.join(done.stdout.split())[-400:]}")
