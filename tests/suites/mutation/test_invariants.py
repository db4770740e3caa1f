"""Every fault of training code is caught by invariants that do not know it, and its cause named; no benign variant alarms."""

import re
from functools import cache

import pytest
import torch

from harness.devices import open_device
from suites.mutation.invariants import SEEDS, Trial, cases_of, run
from suites.mutation.seeds import Seed
from suites.mutation.training import FAULTS

#: What frameworks got wrong when they took over DeepSeek-V4, or could have.
PORTING = {
    "mhc-not-transposed", "indexer-sees-the-future", "compressor-crosses-padding", "yarn-mscale-applied", "rope-not-turned-back",
    "swiglu-clamp-dropped", "fp4-read-as-fp8", "router-never-learns",
}  # fmt: skip

#: How a source names a report, a paper or a page; and how it begins where none is known.
REPORT, NONE_KNOWN = re.compile(r"[\w.-]+/[\w.-]+#\d+|arXiv \d{4}\.\d{5}|https://\S+"), "no report known, a plausible slip: "

SHOWN = 12  # benign variants that a test run tries, spread over all; `tox -e mutation` tries each


@cache
def trial() -> Trial:
    torch.set_num_threads(1)
    return Trial(open_device("cpu"))


#: Faults inside other processes have tests of their own (`test_world_size.py`), and benign variants there are left to `tox -e mutation`.
HERE = [seed for seed in SEEDS if seed.themes != ("world_size",)]


@pytest.mark.parametrize("seed", [seed for seed in HERE if not seed.benign], ids=lambda seed: seed.name)
def test_a_fault_is_caught_and_its_cause_named(seed: Seed) -> None:
    found = trial().under(seed, enough=1)
    assert found.caught, f"none of {found.cases} cases failed"
    assert found.struck
    assert found.cause_right or trial().under(seed).cause_right, f"{found.named}, not {found.expected}"


CHEAP = [s for s in HERE if s.benign and (not s.family.startswith("deepseek_v4") or s.themes == ("hyper_connections",))]


@pytest.mark.parametrize("seed", CHEAP[:: max(1, len(CHEAP) // SHOWN)], ids=lambda seed: seed.name)
def test_a_benign_variant_does_not_alarm(seed: Seed) -> None:
    found = trial().under(seed)
    assert not found.caught, found.shown


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_seed_finds_what_it_changes_and_takes_it_back(seed: Seed) -> None:
    with seed.change():
        pass
    with seed.change():
        pass
    assert next(iter(cases_of(seed)), None) is not None


def test_names_are_unique_and_porting_faults_are_there() -> None:
    names = [seed.name for seed in SEEDS]
    assert len(set(names)) == len(names)
    assert set(names) >= PORTING
    assert all(1 <= len(seed.causes) <= 2 for seed in FAULTS)


@pytest.mark.parametrize("seed", FAULTS, ids=lambda seed: seed.name)
def test_a_fault_says_where_it_was_reported_or_that_no_report_is_known(seed: Seed) -> None:
    assert seed.source.startswith(NONE_KNOWN) or REPORT.search(seed.source), seed.source


def test_only_what_is_named_is_run() -> None:
    (found,) = run(["adapter-scaled-by-alpha"])
    assert (found.name, found.how, found.caught) == ("adapter-scaled-by-alpha", "training", True)
    assert run(["no-such-seed"]) == []
