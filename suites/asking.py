"""Tasks that the command line asks for: `--task NAME|FILE|group:DOMAIN`, `--samples`, `--margin`. Knows no model and no device."""

import re
from collections.abc import Mapping, Sequence

from harness.case import Case
from harness.errors import AssayError
from suites.assets.asked_tasks import HUB, check, located, plain
from suites.assets.domains import DOMAINS

GROUP = "group:"
SAMPLES = 400
MARGIN = 3.0  # points
_SPEC = re.compile(r"(?P<task>.+?)(\[(?P<dtype>float32|bfloat16|float16)\])?")


def cases(specs: Sequence[str], samples: int = SAMPLES, margin: float = MARGIN) -> dict[str, Case]:
    """Return a case for each task asked for, its data seen to be there. A dtype may follow in brackets (default: float32).

    Raises AssayError: unknown task, file or domain, data not to be had, a name used twice, samples or margin out of range.
    """
    if samples < 1 or not 0 < margin <= 100:
        raise AssayError(
            f"--samples {samples} --margin {margin:g}: take at least one sample, and a margin in points, above 0 and up to 100"
        )
    from suites.workloads.accuracy import asked  # here: whoever asks for no task need not wait for it

    wanted = [(located(task), dtype) for spec in specs for task, dtype in _expanded(spec)]
    found: dict[str, Case] = {}
    for task, dtype in dict.fromkeys(wanted):
        _seen(task, samples, specs)
        case = asked(plain(task), task, samples, margin, len(wanted), dtype)
        if case.id in found:
            raise AssayError(f"--task: two tasks are called {plain(task)!r}; rename a file, or ask for one at a time")
        found[case.id] = case
    return found


def told(case: Case, listed: Mapping[str, Case]) -> str:
    """Return the options that ask for a case again; empty for one of the catalogue."""
    if case.id in listed or "task" not in case.params:
        return ""
    (margin,) = {getattr(rule, "margin", MARGIN) for rule in case.checks}
    return f" --task '{str(case.params['task']).removeprefix(HUB)}[{case.dtype}]' --samples {case.params['samples']} --margin {margin:g}"


def _expanded(spec: str) -> list[tuple[str, str]]:
    found = _SPEC.fullmatch(spec)
    if not found:
        raise AssayError(f"--task {spec!r}: name a task, a file, or {GROUP}<{'|'.join(DOMAINS)}>")
    task, dtype = found["task"], found["dtype"] or "float32"
    if not task.startswith(GROUP):
        return [(task, dtype)]
    name = task.removeprefix(GROUP)
    if name not in DOMAINS:
        raise AssayError(f"--task {spec}: no such group; there are {', '.join(f'{GROUP}{domain}' for domain in DOMAINS)}")
    return [(each, dtype) for each in (*DOMAINS[name].comes, *(HUB + task for task in DOMAINS[name].hub))]


def _seen(task: str, samples: int, specs: Sequence[str]) -> None:
    """Look for a task before anything runs, so that a missing one is one line and not a case that fails an hour later."""
    try:
        check(task, samples)
    except AssayError as error:
        groups = [spec.split("[")[0].removeprefix(GROUP) for spec in specs if spec.startswith(GROUP)]
        comes = [name for group in groups for name in DOMAINS[group].comes]
        if not groups:
            raise
        without = f"of {', '.join(groups)} {' and '.join(comes) if comes else 'nothing'} comes with Assay and needs no hub"
        raise AssayError(f"{error}; {without}") from error
