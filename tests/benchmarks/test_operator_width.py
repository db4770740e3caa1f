"""PyTorch's whole operator database in float32 and bfloat16, goldens and verdicts included: time and memory. `tox -e limits`."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SECONDS, BYTES = 60, 4 << 30
WIDTH = "opinfo and (float32 or bfloat16)"


def suite(folder: Path, workers: int, selected: str = WIDTH) -> tuple[float, int, int]:
    """Run the cases with an empty cache; return seconds of wall time, the peak of the resident bytes of all processes, passed cases."""
    command = [sys.executable, "-m", "pytest", "suites/", "--device", "cpu", "-k", selected, "--run", str(folder / "run"), "-q"]
    variables = {**os.environ, "ASSAY_CACHE": str(folder / "cache"), "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    begun = time.perf_counter()
    process = subprocess.Popen([*command, *(["-n", str(workers)] if workers > 1 else [])], cwd=ROOT, env=variables, stdout=subprocess.PIPE)
    peak = [0]
    watch = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watch.start()
    out = process.communicate(timeout=900)[0].decode()
    seconds = time.perf_counter() - begun
    assert process.returncode == 0, out[-2000:]
    found = re.search(r"(\d+) passed", out)
    assert found
    return seconds, peak[0], int(found[1])


def _watch(process: "subprocess.Popen[bytes]", peak: list[int]) -> None:
    while process.poll() is None:
        try:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            peak[0] = max(peak[0], sum(p.memory_info().rss for p in family))
        except psutil.Error:
            pass
        time.sleep(0.2)


def test_the_whole_database_takes_a_minute_on_two_cores(benchmark, tmp_path: Path) -> None:
    seconds, peak, passed = benchmark.pedantic(lambda: suite(tmp_path, 2), rounds=1)
    print(f"\n{passed} cases in {seconds:.0f} s with two workers, at most {peak / 2**30:.2f} GiB resident")
    assert passed > 1200
    assert peak <= BYTES
    assert seconds <= SECONDS


def test_a_second_worker_halves_what_is_not_starting_up(benchmark, tmp_path: Path) -> None:
    """Cost is linear in the number of cases: what a quarter of them takes beyond the start, four times, is what all take."""
    selected = f"{WIDTH} and opinfo/nn"
    start = suite(tmp_path / "start", 1, "opinfo/abs and float32")[0]
    one = suite(tmp_path / "one", 1, selected)[0] - start
    two = benchmark.pedantic(lambda: suite(tmp_path / "two", 2, selected)[0], rounds=1) - start
    print(f"\nbeyond the start: {one:.0f} s with one worker, {two:.0f} s with two")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    assert two <= 0.75 * one
