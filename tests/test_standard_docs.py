"""Every clause of the CANN standard is mapped to a test or a case that exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from suites.catalogue import all_cases

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "cann-standard.md").read_text(encoding="utf-8")
TABLE = PAGE.split("## Clause by clause")[1].split("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("|")][2:]


@cache
def functions_of(path: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef))


def exists(name: str) -> bool:
    path, _, test = name.partition("::")
    return (ROOT / path).is_file() and test in functions_of(ROOT / path) if test else name in all_cases()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1][:40]}")
def test_what_a_clause_is_mapped_to_exists(row: list[str]) -> None:
    named = re.findall(r"`([^`]+)`", row[2])
    assert named
    assert [name for name in named if not exists(name)] == []


def test_every_paragraph_with_a_rule_is_mapped() -> None:
    clauses = {clause for row in ROWS for clause in re.findall(r"\d(?:\.\d)*", row[0].replace("note", "")) if "community" not in row[0]}
    wanted = {"1.2", "2", "2.1", "3", "4.1", "4.2", "4.3", "4.4", "4.5.1", "4.5.2", "4.5.3", "5.1.1", "5.1.2"}
    assert wanted | {"5.3.1", "5.3.2", "5.3.3", "5.3.4", "5.3.5"} <= clauses
    assert {row[0] for row in ROWS if "community" in row[0]} == {"community 1", "community 2"}


def test_a_name_that_does_not_exist_would_be_noticed() -> None:
    assert not exists("tests/harness/standards/cann/test_floating.py::test_nothing")
    assert not exists("tests/no_such_file.py::test_x")
    assert not exists("operators/standard/no_such_operator[float32]")
