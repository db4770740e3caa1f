"""What import-linter cannot see: who may import torch_npu, who may read the environment, how large a file may grow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("harness", "suites", "reference", "reports", "emulator")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def names(path: Path) -> Iterator[str]:
    """Yield what a file imports and the dotted attributes it uses."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def users(*wanted: str) -> set[str]:
    return {str(p.relative_to(ROOT)) for p in FILES for name in names(p) if any(name == w or name.startswith(f"{w}.") for w in wanted)}


def test_torch_npu_has_one_door() -> None:
    assert users("torch_npu") <= {"harness/devices/npu.py"}


def test_lm_eval_has_one_door() -> None:
    assert users("lm_eval") <= {"suites/assets/evaluation.py"}


def test_trl_has_one_door() -> None:
    assert users("trl") <= {"suites/workloads/post_training/trl_stages.py"}


def test_servers_have_one_door() -> None:
    assert users("aiohttp") <= {"harness/serving/http.py"}


def test_the_environment_has_one_reader() -> None:
    found = users("os.environ", "os.getenv", "os.putenv")
    assert {name for name in found if not name.startswith("emulator/")} == {"harness/environment.py"}
    assert not {name for name in found if name.startswith("emulator/ops/")}


def test_nobody_imports_the_emulator() -> None:
    assert all(name.startswith("emulator/") for name in users("emulator"))


def test_the_emulator_is_under_torch_npu_and_never_calls_it() -> None:
    assert not {name for name in users("torch_npu", "torch.npu") if name.startswith("emulator/")}


def test_nothing_is_pickled() -> None:
    assert not users("pickle", "torch.load", "torch.save", "cloudpickle", "dill", "joblib", "multiprocessing")


def test_nobody_imports_the_tests() -> None:
    assert not users("tests")


def test_one_broad_except() -> None:
    broad = {
        str(path.relative_to(ROOT))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    }
    assert broad == {"harness/measure.py", "emulator/operator.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_says_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 300
    assert path.stem not in {"utils", "common", "base", "helpers", "manager"}


def test_reports_leave_torch_alone() -> None:
    script = "import sys, reports.__main__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
