"""All cases that the suites offer: the CASES of every module below `suites/workloads`. Knows no device."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import replace

from harness.case import Case
from harness.errors import AssayError
from suites import workloads

_SHOWN_ON_V4 = (
    "post_training/sft/deepseek_v4-flash", "post_training/rollout/deepseek_v4-flash", "post_training/deepseek_v4-reference/flash",
    "post_training/quantised-", "inference/decode/deepseek_v4-flash[float32]",
)  # fmt: skip

AREAS = ("operators", "post_training", "inference", "accuracy", "performance")


def all_cases() -> dict[str, Case]:
    """Return every case by id, in order of area and module. Raises AssayError when an id is used twice or names no known case."""
    cases: dict[str, Case] = {}
    for module in sorted(m.name for m in pkgutil.walk_packages(workloads.__path__, f"{workloads.__name__}.")):
        for case in getattr(importlib.import_module(module), "CASES", ()):
            if case.id in cases:
                raise AssayError(f"{module}: the case id {case.id} is taken; give each case an id of its own")
            cases[case.id] = replace(case, listed_in=module, wide=case.wide or _one_of_many(case))
    for case in cases.values():
        for other in (case.golden_of, case.vouched_by):
            if other and other not in cases:
                raise AssayError(f"{case.id}: names the case {other}, which does not exist")
    return dict(sorted(cases.items(), key=lambda item: AREAS.index(item[1].area)))


def _one_of_many(case: Case) -> bool:
    """Tell whether a case repeats for a further family of models what is shown on one: the small one for all stages, V4 for a few."""
    model = str(case.params.get("model"))
    return model.startswith("tiny:") and model != "tiny:llama" and not case.id.startswith(_SHOWN_ON_V4)


def choose(cases: dict[str, Case], wanted: Iterable[str]) -> dict[str, Case]:
    """Return the cases named, or all when none is. Raises AssayError naming an unknown id and the nearest known one."""
    wanted = list(wanted)
    for name in wanted:
        if name not in cases:
            near = difflib.get_close_matches(name, cases, n=1, cutoff=0)
            raise AssayError(f"no case {name!r}; the nearest is {near[0]!r}, and `pytest suites/ --collect-only -q` lists all")
    return {name: cases[name] for name in wanted} if wanted else cases
