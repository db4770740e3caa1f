"""A report of 100,000 verdicts: at most 10 s of processor time and 5 MB, from reading the files to the page. Part of `tox -e limits`."""

import time
from pathlib import Path

from reports.__main__ import main
from tests.reports.runs import many

VERDICTS, SECONDS, MEGABYTES = 100_000, 10.0, 5.0


def test_a_hundred_thousand_verdicts(benchmark, tmp_path: Path) -> None:
    run = many(tmp_path / "r", VERDICTS)
    out, spent = tmp_path / "report.html", []

    def reported() -> None:
        begin = time.process_time()
        assert main([str(run), "-o", str(out)]) == 0
        spent.append(time.process_time() - begin)

    benchmark.pedantic(reported, rounds=1)
    megabytes = out.stat().st_size / 1e6
    benchmark.extra_info.update(MB=megabytes, processor_seconds=min(spent))
    print(f"\n{VERDICTS:,} verdicts: {min(spent):.2f} s of processor time, {megabytes:.2f} MB")
    assert min(spent) < SECONDS
    assert megabytes < MEGABYTES
