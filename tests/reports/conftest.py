"""Headless Chromium, and one report with something in every section."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from reference.published import stored
from reports.__main__ import main
from tests.reports.runs import bad, fingerprint, good, make, other_rules, score

_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine; install it (Debian: apt-get install chromium) to run the browser tests")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def full_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    passed = {v.case for v in good()}
    verdicts = good() + fingerprint() + other_rules() + [v for v in bad() if v.case not in passed]
    run = make(folder / "r", verdicts, mutation=score(), published=stored())
    assert main([str(run), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"
