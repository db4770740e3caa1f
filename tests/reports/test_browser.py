"""The report in headless Chromium, at the width of a phone and of a desktop, in light, dark and on paper."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from reference.published import stored
from reports.__main__ import main
from reports.sections import all_sections
from tests.reports.runs import bad, fingerprint, good, make, other_rules, score

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine; install it (Debian: apt-get install chromium) to run the browser tests")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    passed = {v.case for v in good()}
    run = make(
        folder / "r",
        good() + fingerprint() + other_rules() + [v for v in bad() if v.case not in passed],
        mutation=score(),
        published=stored(),
    )
    assert main([str(run), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_without_errors_and_fits(browser: Browser, report: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    headings = [heading.inner_text() for heading in page.locator("h2").all()]
    assert headings == [section.TITLE for section in all_sections()]
    assert all(drawing.bounding_box()["height"] > 50 for drawing in page.locator("figure svg").all())
    assert not errors
    context.close()


def test_links_lead_to_sections_and_paper_has_no_menu(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    for link in page.locator("nav a").all():
        assert page.locator(f'[id="{link.get_attribute("href").removeprefix("#")}"]').count() == 1
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    page.close()
