"""Each invariant holds on the CPU, for the cheapest family that it is asked of and for DeepSeek-V4; none is vacuous."""

import importlib
import pkgutil

import pytest
import torch

from harness.case import Case
from harness.devices import open_device
from harness.verdict import Outcome
from suites.mutation.invariants import Trial, cases
from suites.workloads import invariants

THEMES = [m.name for m in pkgutil.iter_modules(invariants.__path__) if m.name not in ("stating", "subject")]
SLOW = ("world_size",)  # starts processes; has a test file of its own
ALL = {case.id: case for theme in THEMES for case in cases(theme)}


def chosen(theme: str) -> list[Case]:
    """One of each invariant (the cheapest family comes last), and every one of DeepSeek-V4's flash-like member but the slowest."""
    last = {case.id.split("/")[2]: case for case in cases(theme)}
    return list({case.id: case for case in last.values()}.values())


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


CHOSEN = [case for theme in THEMES if theme not in SLOW for case in chosen(theme)]


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.id.split("/", 2)[2])
def test_holds_on_the_cpu(case: Case) -> None:
    verdict, _ = Trial(open_device("cpu")).judged(case)
    assert verdict.outcome is Outcome.PASS, verdict.message
    assert verdict.findings


def test_there_are_at_least_thirty() -> None:
    names = {identity.split("/")[2] for identity in ALL}
    assert len(names) >= 30
    assert all(case.area == "post_training" and not case.golden for case in ALL.values())


def test_every_module_of_the_package_is_a_theme_or_a_tool() -> None:
    for theme in THEMES:
        assert importlib.import_module(f"suites.workloads.invariants.{theme}").CASES
