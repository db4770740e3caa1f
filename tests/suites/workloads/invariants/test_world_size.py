"""Two ranks do what one process does, on the CPU; a fault in them is caught. `tox -e mutation` tries every fault, and three ranks."""

import pytest
import torch

from harness.devices import open_device
from harness.verdict import Outcome
from suites.mutation.invariants import SEEDS, Trial, cases
from suites.mutation.training.world_size import CASES

ON_TWO = [case for case in cases("world_size") if case.params["world"] == 2]
SHOWN = ("means-of-ranks-averaged", "clipped-by-own-shard")


@pytest.fixture(scope="module")
def trial() -> Trial:
    torch.set_num_threads(1)
    return Trial(open_device("cpu"))


@pytest.mark.parametrize("case", [case for case in ON_TWO if "llama" in case.id], ids=lambda case: case.id.split("/")[2])
def test_two_ranks_do_what_one_process_does(trial: Trial, case) -> None:
    verdict, _ = trial.judged(case)
    assert verdict.outcome is Outcome.PASS, verdict.message


@pytest.mark.parametrize("seed", [seed for seed in SEEDS if seed.name in SHOWN], ids=lambda seed: seed.name)
def test_a_fault_in_the_ranks_is_caught(trial: Trial, seed) -> None:
    found = trial.under(seed, enough=1)
    assert found.caught
    assert found.cause_right, f"{found.named}, not {found.expected}"


def test_empty_shards_are_among_what_is_asked(trial: Trial) -> None:
    (case,) = [case for case in ON_TWO if case.id.endswith("shards-of-2/deepseek_v4-flash[float32]")]
    verdict, _ = trial.judged(case)
    assert verdict.outcome is Outcome.PASS, verdict.message
    assert "ranks with an empty shard" in {finding.subject for finding in verdict.findings}


def test_all_are_wide_and_each_fault_has_a_case_for_the_ranks() -> None:
    assert all(case.wide for case in cases("world_size"))
    names = {seed.name for seed in SEEDS if seed.themes == ("world_size",)}
    assert {case.id.partition(" with ")[2] for case in CASES} == names
