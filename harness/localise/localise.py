"""Localise one case: in step with the reference driving, if need be with the candidate driving, then both freely. Knows no suite."""

import time
from collections.abc import Callable

from harness.case import Case
from harness.devices.device import Device, open_device
from harness.errors import AssayError
from harness.localise.call import RAISED, Side
from harness.localise.growth import growth
from harness.localise.lockstep import LockStep, Pass
from harness.localise.result import Localisation
from harness.localise.running import rounds_of, set_up
from harness.localise.whereabouts import Whereabouts

Told = Callable[[str], None]


def localise(case: Case, candidate: Device, reference: Device, seconds: float, told: Told, rounds: int = 1) -> Localisation:
    """Return the first operator whose error its operands do not explain, and what surrounds it.

    Only what a round computes is compared, not its set-up. After `seconds` it stops and says so. `told` hears what is going on.
    """
    begun = time.monotonic()
    deadline = begun + seconds
    found = Localisation(case.id, case.dtype, candidate.name, reference.name)
    found.passes.append(in_step(case, candidate, reference, deadline, told, rounds))
    if found.passes[0].first is None and candidate.kind != reference.kind and not found.passes[0].note:
        # the candidate may compose the same function of other operators: fused ones, or a kernel of its own
        found.passes.append(in_step(case, candidate, reference, deadline, told, rounds, candidate_drives=True))
    found.notes += [p.note for p in found.passes if p.note]
    told("both sides freely, module by module")
    try:
        found.growth = growth(case, candidate, reference, open_device("cpu"), deadline) if time.monotonic() < deadline else []
    except (AssayError, *RAISED) as error:
        found.notes.append(f"the growth from module to module is not known: {_one_line(error)}")
    found.seconds = time.monotonic() - begun
    return found


def in_step(
    case: Case, candidate: Device, reference: Device, deadline: float, told: Told, rounds: int = 1, candidate_drives: bool = False
) -> Pass:
    """Run a case's rounds on the driving side, with every operator repeated on the other. What the driver raises becomes a note."""
    candidate.deterministic(True)
    driver = candidate if candidate_drives else reference
    where = Whereabouts()

    def tell(index: int, operator: str) -> None:
        told(f"operator {index}: {operator}")

    mode = LockStep(Side.of(candidate), Side.of(reference), where, deadline, tell, candidate_drives)
    try:
        told(f"setting up on {driver.name}")
        work = rounds_of(set_up(case, driver), rounds)
        with where, mode:
            work()
    except (AssayError, *RAISED) as error:
        mode.found.note = f"driven by {driver.name}, it did not come to its end: {_one_line(error)}"
    return mode.found


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
