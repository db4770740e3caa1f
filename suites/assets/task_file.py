"""A local file of questions: JSON, JSON lines or YAML, read into documents. Knows no model and no scoring.

    {"prompt": ..., "choices": [...], "answer": 2}    the index of the right choice, or its text
    {"prompt": ..., "target": ...}                    answered in free text, to the end of the line
    {"text": ...}                                     how likely the text is; after "prompt", where there is one

A YAML file that is a mapping with `task` is lm-eval's own kind of task file, and lm-eval reads it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.errors import AssayError
from suites.assets.tasks import Document

SUFFIXES = (".json", ".jsonl", ".yaml", ".yml")
_FORM = 'each is {"prompt", "choices", "answer"}, {"prompt", "target"} or {"text"} (docs/accuracy.md)'


def is_lm_eval_s(path: Path) -> bool:
    """Tell whether a file is lm-eval's own kind of task file. Raises AssayError when it cannot be read."""
    return path.suffix in (".yaml", ".yml") and any(line.startswith(("task:", "include:")) for line in _read(path).splitlines())


def documents_in(path: Path) -> list[Document]:
    """Return the documents of a file, all of one kind. Raises AssayError naming file, document and what is wrong with it."""
    rows = _rows(path)
    if not rows:
        raise AssayError(f"{path}: holds no document; {_FORM}")
    found = [_document(f"{path}: document {at}", row) for at, row in enumerate(rows, 1)]
    kinds = {_kind(document) for document in found}
    if len(kinds) > 1:
        raise AssayError(f"{path}: mixes {' and '.join(sorted(kinds))}; give each kind a file of its own")
    return found


def _kind(document: Document) -> str:
    if document["choices"]:
        return "multiple choice"
    if document.get("text"):
        return "text after a prompt" if document["prompt"] else "text"
    return "free answers"


def _read(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise AssayError(f"{path}: a task file ends in {', '.join(SUFFIXES)}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AssayError(f"{path}: cannot be read ({error})") from error


def _rows(path: Path) -> list[Any]:
    text = _read(path)
    try:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise AssayError(f"{path}: is no {path.suffix[1:].upper()} ({' '.join(str(error).split())[:200]})") from error
    rows = found.get("documents") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise AssayError(f"{path}: is no list of documents; {_FORM}")
    return rows


def _document(place: str, row: object) -> Document:
    if not isinstance(row, Mapping):
        raise AssayError(f"{place} is no mapping; {_FORM}")
    prompt, choices = row.get("prompt", ""), row.get("choices", [])
    if not isinstance(prompt, str) or not isinstance(choices, list) or not all(isinstance(c, str) and c.strip() for c in choices):
        raise AssayError(f"{place}: the prompt is a text, and choices are texts that are not empty; {_FORM}")
    text = row.get("text")
    if isinstance(text, str) and text.strip() and not choices:
        return Document(prompt=prompt, choices=[], answer=0, target="", text=text)
    if not prompt.strip():
        raise AssayError(f"{place}: has neither a prompt nor a text; {_FORM}")
    if not choices:
        target = row.get("target")
        if not isinstance(target, str) or not target.strip():
            raise AssayError(f"{place}: has no target; {_FORM}")
        return Document(prompt=prompt, choices=[], answer=0, target=target.strip())
    answer = _answer(place, row.get("answer"), choices)
    return Document(prompt=prompt, choices=choices, answer=answer, target=choices[answer])


def _answer(place: str, answer: object, choices: list[str]) -> int:
    if isinstance(answer, str) and choices.count(answer) == 1:
        return choices.index(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices) and len(choices) > 1:
        return answer
    raise AssayError(f"{place}: the answer {answer!r} is neither the index of one of at least two choices, from 0, nor its text; {_FORM}")
