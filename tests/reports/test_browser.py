"""The report in headless Chromium, at the width of a phone and of a desktop, in light, dark, without JavaScript, and on paper."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from pypdf import PdfReader

from reports.sections import all_sections

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_without_errors_and_fits(browser: Browser, full_report: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto(full_report.as_uri())
    page.locator(".cases .filters").first.wait_for()
    for language in ("中文", "English"):
        page.get_by_role("button", name=language).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    headings = [heading.inner_text() for heading in page.locator(".engineer h3").all()]
    titles = [section.TITLE for section in all_sections()]
    assert headings == [title for title in titles if title in headings]
    assert len(headings) >= 13
    assert all(drawing.bounding_box()["height"] > 50 for drawing in page.locator("figure svg").all())
    assert not errors
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(browser: Browser, full_report: Path, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(full_report.as_uri())
    page.locator(".cases .filters").first.wait_for()
    found = Axe().run(page).response["violations"]
    assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found]
    page.close()


def test_links_lead_to_sections_and_paper_has_no_menu(browser: Browser, full_report: Path) -> None:
    page = browser.new_page()
    page.goto(full_report.as_uri())
    for link in page.locator("header nav a").all():
        assert page.locator(f'[id="{link.get_attribute("href").removeprefix("#")}"]').count() == 1
    page.emulate_media(media="print")
    assert not page.locator("header nav").is_visible()
    page.close()


def test_without_javascript_the_verdict_and_what_failed_are_read(browser: Browser, full_report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(full_report.as_uri())
    assert page.get_by_role("heading", name="Is it normal?").is_visible()
    assert page.get_by_text("No. 3 of", exact=False).first.is_visible()
    assert page.get_by_text("--case 'inference/prefill[float32]'", exact=False).first.is_visible()
    assert page.get_by_text("needs a browser that runs JavaScript", exact=False).first.is_visible()
    context.close()


def test_printed_it_has_the_verdict_and_no_table_is_cut(browser: Browser, full_report: Path, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 700, "height": 1000})  # the width of A4 between its margins, at 96 dots an inch
    page.goto(full_report.as_uri())
    page.locator(".cases .filters").first.wait_for()
    page.emulate_media(media="print")
    over = (
        "(() => [...document.querySelectorAll('table, pre, svg')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).length)()"
    )
    assert page.evaluate(over) == 0
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    sheets = PdfReader(tmp_path / "report.pdf").pages
    assert len(sheets) > 2
    first = " ".join(sheets[0].extract_text().split())
    assert "Is it normal?" in first
    assert "No. 3 of" in first
    assert "--case 'inference/prefill[float32]'" in " ".join(" ".join(s.extract_text() for s in sheets).split())
    page.close()
