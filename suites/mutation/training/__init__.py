"""Faults of training code, and benign variants of it: what the invariants are put to. Knows no invariant."""

from suites.mutation.seeds import Seed
from suites.mutation.training import (
    benign_forms,
    benign_lines,
    deepseek_v4,
    formats,
    gradients,
    masks,
    objectives,
    serving,
    steps,
    world_size,
)

FAULTS: tuple[Seed, ...] = (
    *deepseek_v4.FAULTS, *masks.FAULTS, *objectives.FAULTS, *gradients.FAULTS, *steps.FAULTS, *formats.FAULTS, *serving.FAULTS,
    *world_size.FAULTS,
)  # fmt: skip
BENIGN: tuple[Seed, ...] = (*benign_forms.BENIGN, *benign_lines.BENIGN, *formats.BENIGN, *serving.BENIGN, *world_size.BENIGN)
