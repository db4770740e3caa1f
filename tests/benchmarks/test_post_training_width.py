"""All stages of post-training on all tiny families on the emulated NPU, goldens, reruns and verdicts included: time. `tox -e limits`."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 15 * 60

pytestmark = pytest.mark.skipif(os.environ.get("ASSAY_EMULATOR") != "1", reason="the emulator is not switched on here: see `tox -e limits`")


def suite(folder: Path) -> tuple[float, str]:
    """Run every case of post-training that is not `long` with an empty cache; return seconds of wall time, and how they ended."""
    command = [sys.executable, "-m", "pytest", "suites/", "--device", "npu:0", "-m", "post_training", "-n", "2", "-q", "--run", str(folder)]
    variables = {**os.environ, "ASSAY_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=3 * SECONDS, check=False)
    seconds = time.perf_counter() - begun
    assert done.returncode == 0, done.stdout[-2000:]
    return seconds, re.findall(r"^verdicts: (.*)$", done.stdout, re.MULTILINE)[0]


def test_all_stages_on_all_families_take_a_quarter_of_an_hour_on_two_cores(benchmark, tmp_path: Path) -> None:
    seconds, verdicts = benchmark.pedantic(lambda: suite(tmp_path / "run"), rounds=1)
    benchmark.extra_info["verdicts"] = verdicts
    print(f"\n{verdicts} in {seconds:.0f} s with two workers")
    assert seconds <= SECONDS
