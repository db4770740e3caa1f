"""PyTorch's own database of operators loads wherever the suite does."""

import subprocess
import sys


def test_it_loads_without_hypothesis_where_warnings_are_errors() -> None:
    script = "import sys; sys.modules['hypothesis'] = None; from suites.assets import opinfo; print(len(opinfo.operators()) > 700)"
    done = subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
