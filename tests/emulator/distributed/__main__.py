"""All checks of several processes: `torchrun --nproc-per-node 2 -m tests.emulator.distributed [NAME...]`."""

from tests.emulator.distributed import collectives, groups, training
from tests.emulator.distributed.checks import run

run({**collectives.CHECKS, **groups.CHECKS, **training.CHECKS})
