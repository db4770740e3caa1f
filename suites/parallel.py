"""Several pytest-xdist workers fill one Run (`pytest suites/ -n 2`): what they share, and what only one process may do. Knows no case.

Each has a process of its own for every device that it runs cases on. Times are not taken beside other work, so performance is left to
a run of its own.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.case import Case
from harness.run import Run
from harness.verdict import Outcome
from suites.session import Request

_FOLDER = "assay_run"


def controls(config: pytest.Config) -> bool:
    """Tell whether this process hands cases to workers, and runs none itself."""
    return bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")


def share(config: pytest.Config, request: Request) -> Request:
    """Return the request as this process must see it: workers take the folder that the controlling process has made.

    Raises AssayError where the folder holds a Run already, and `--resume` is not given.
    """
    if controls(config):
        Run.create(request.run, request.device, request.resume)
        config.pluginmanager.register(_Nodes(str(request.run)), "assay-nodes")
        return request
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    if given is None:
        return request
    return replace(request, run=Path(given[_FOLDER]), process=f"-{given['workerid']}")


class _Nodes:
    """Tells each worker the folder; its default name has the second of its start in it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_FOLDER] = self._folder


def without_timing(config: pytest.Config, items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the items without those that take times, where other workers run beside this one."""
    if not hasattr(config, "workerinput"):
        return items
    return [item for item in items if not (isinstance(case := case_of(item), Case) and case.area == "performance")]


def case_of(item: pytest.Item) -> object:
    """Return the case that a test was given; None for another test."""
    return item.callspec.params.get("case") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None


def gathered(request: Request) -> tuple[Run, Counter[Outcome]]:
    """Return the Run that the workers have filled, and how its verdicts ended."""
    run = Run.open(request.run)
    return run, Counter(verdict.outcome for verdict in run.verdicts())


def told(config: pytest.Config) -> list[str]:
    """Return the line that says what was left out."""
    return ["performance: not timed beside other workers; add it with -m performance --resume"] if controls(config) else []
