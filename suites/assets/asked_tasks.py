"""A task by name, whatever it comes from: Assay's own documents, a local file, lm-eval. Knows no model and no verdict."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.errors import AssayError
from suites.assets.domains import domains_of
from suites.assets.evaluation import of_hub, over_documents, unknown
from suites.assets.task_file import documents_in, is_lm_eval_s
from suites.assets.tasks import Document, documents, names

HUB = "lm-eval:"  # before the name of a task that is lm-eval's


@dataclass(frozen=True)
class Asked:
    """An lm-eval `task` with its data, its name for people, and the share of right answers that guessing gives (None: nothing is right)."""

    name: str
    task: Any
    chance: float | None


def located(task: str) -> str:
    """Return where a task as people write it is found: a name of ours, the whole path of a file, or lm-eval's name after `lm-eval:`.

    Our own name goes first. Raises AssayError: no such file.
    """
    if task in names() or task.startswith(HUB):
        return task
    path = Path(task).expanduser()
    if path.suffix in (".json", ".jsonl", ".yaml", ".yml") or "/" in task:
        if not path.is_file():
            raise AssayError(f"{task}: {unknown(task, names())}")
        return str(path.resolve())
    return HUB + task


def plain(task: str) -> str:
    """Return the name for people of a located task."""
    return Path(task).stem if "/" in task else task.removeprefix(HUB)


def groups_of(name: str) -> tuple[str, ...]:
    """Return the domains of a task by its name for people."""
    return domains_of(name)


def loaded(task: str, samples: int) -> Asked:
    """Return a located task with its data. Raises AssayError: unknown, too few of our own documents, data not to be had, malformed."""
    name = plain(task)
    if _lm_eval_s(task):
        found = of_hub(task.removeprefix(HUB))
        return Asked(name, found, _chance(found))
    chosen = _documents(task, samples)
    return Asked(name, over_documents(name, chosen), _guessed(chosen))


def check(task: str, samples: int) -> None:
    """Raise AssayError where `loaded` would, as cheaply as can be: only lm-eval's own tasks need lm-eval."""
    if _lm_eval_s(task):
        of_hub(task.removeprefix(HUB))
    else:
        _documents(task, samples)


def _lm_eval_s(task: str) -> bool:
    return task.startswith(HUB) or ("/" in task and is_lm_eval_s(Path(task)))


def _documents(task: str, samples: int) -> list[Document]:
    return documents_in(Path(task))[:samples] if "/" in task else documents(task, samples)


def _guessed(chosen: list[Document]) -> float | None:
    if chosen[0].get("text"):
        return None
    return fmean(1 / len(document["choices"]) if document["choices"] else 0.0 for document in chosen)


def _chance(task: Any) -> float | None:
    if task.OUTPUT_TYPE == "multiple_choice":
        return fmean(1 / max(1, len(task.doc_to_choice(document))) for document in task.eval_docs)
    return None if task.OUTPUT_TYPE == "loglikelihood_rolling" else 0.0
