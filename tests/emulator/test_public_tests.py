"""Ascend's own tests of its operators, from a checkout that ASSAY_OP_PLUGIN names; docs/op-plugin-tests.md lists the files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "op-plugin-tests.md"
_FOLDER = Path(os.environ["ASSAY_OP_PLUGIN"]) / "test" / "test_base_ops"
_OPTIONS = ("-q", "-c", os.devnull, "--rootdir", str(_FOLDER), "-p", "no:cacheprovider", "-W", "ignore", "--tb=short")
_FILES = [f"test_{name}.py" for name in _PAGE.read_text(encoding="utf-8").split("```text\n")[1].split("```")[0].split()]
_AT_ONCE = 6


@pytest.mark.parametrize("files", [_FILES[at : at + _AT_ONCE] for at in range(0, len(_FILES), _AT_ONCE)], ids=lambda files: files[0][5:-3])
def test_a_few_files_pass(files: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", *_OPTIONS, *files]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=_FOLDER, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
