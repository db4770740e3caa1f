"""A report of 10,000 verdicts: under 5 s and 3 MB. Part of `tox -e limits`."""

from dataclasses import replace
from pathlib import Path

from reports.__main__ import main
from tests.reports.runs import good, make


def test_ten_thousand_verdicts(benchmark, tmp_path: Path) -> None:
    names = [f"operators/op{i}[float32]" for i in range(10_000 - len(good()) + 2)]
    run = make(tmp_path / "r", [replace(good()[0], case=name) for name in names] + good()[2:])
    out = tmp_path / "report.html"
    benchmark.pedantic(main, ([str(run), "-o", str(out)],), rounds=3)
    megabytes = out.stat().st_size / 1e6
    benchmark.extra_info["MB"] = megabytes
    if benchmark.stats:
        print(f"\n10,000 verdicts: {benchmark.stats.stats.median:.2f} s, {megabytes:.2f} MB")
        assert benchmark.stats.stats.median < 5
    assert megabytes < 3
