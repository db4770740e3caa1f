"""The emulator's faults as the score knows them: all of them, each counted or named as out of reach."""

from emulator import faults as _faults  # noqa: F401  # registers them
from emulator.fault import FAULTS
from suites.mutation import emulated


def test_every_fault_of_the_emulator_is_counted_or_named() -> None:
    counted = {fault.name for fault in emulated.FAULTS}
    assert counted | set(emulated.OUT_OF_REACH) == set(FAULTS)
    assert not counted & set(emulated.OUT_OF_REACH)
    assert all(1 <= len(fault.causes) <= 2 and fault.operators for fault in emulated.FAULTS)
