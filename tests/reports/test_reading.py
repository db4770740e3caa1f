"""Reading the page: the language, and the table of every case by mouse, keyboard and screen reader."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from reports.__main__ import main
from tests.reports.runs import bad, closeness, good, make

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    used = [replace(good()[0], case=f"operators/op{i:03}[float32]", findings=(closeness(measured=0.001 * i),)) for i in range(250)]
    assert main([str(make(folder / "r", used + good()[1:] + bad())), "-o", str(folder / "report.html")]) == 0
    return folder / "report.html"


@pytest.fixture
def page(browser: Browser, many: Path) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(many.as_uri())
    page.locator(".cases .filters").wait_for()
    yield page
    context.close()


def shown(page: Page) -> list[str]:
    return page.locator(".cases tbody button.open").all_inner_texts()


def heading(page: Page, name: str) -> Locator:
    return page.locator(".cases thead th").filter(has_text=name)


def test_the_language_changes_is_told_and_is_remembered(page: Page) -> None:
    assert page.get_by_role("heading", name="Is it normal?").is_visible()
    page.get_by_role("button", name="中文").click()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.get_by_role("heading", name="是否正常？").is_visible()
    assert page.get_by_text("Is it normal?").first.is_hidden()
    assert page.get_by_role("button", name="中文").get_attribute("aria-pressed") == "true"
    assert page.locator(".engineer").first.get_attribute("lang") == "en"
    page.reload()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"


def test_an_address_can_ask_for_a_language(page: Page, many: Path) -> None:
    page.goto(f"{many.as_uri()}#lang=zh")
    page.reload()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"


def test_what_is_worst_comes_first_and_pages_turn(page: Page) -> None:
    assert shown(page)[0] == "operators/matmul[float32]"
    assert len(shown(page)) == 100
    page.get_by_role("button", name="Next").click()
    assert page.get_by_text("Page 2 of 3").is_visible()
    assert len(shown(page)) == 100


@pytest.mark.parametrize(
    ("label", "value", "count"), [("Area", "inference", 2), ("Outcome", "incomparable", 1), ("Dtype", "float16", 2), ("Check", "score", 1)]
)
def test_filters(page: Page, label: str, value: str, count: int) -> None:
    page.get_by_label(label, exact=True).select_option(value)
    assert len(shown(page)) == count
    assert page.get_by_role("status").inner_text() == f"{count} of 260 cases"
    page.get_by_role("button", name="Show all").click()
    page.get_by_text("260 of 260 cases").wait_for()


def test_text_is_looked_for_in_names_messages_and_causes(page: Page) -> None:
    page.get_by_label("Text").fill("OP01")
    assert shown(page) == [f"operators/op01{i}[float32]" for i in range(10)]
    page.get_by_label("Text").fill("ez1001")
    assert shown(page) == ["operators/rotary[float16]"]


def test_a_column_sorts_both_ways_and_says_so(page: Page) -> None:
    head = heading(page, "share of its bound")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert shown(page)[0] == "operators/matmul[float32]"
    page.get_by_label("Text").fill("op2")
    assert shown(page)[0] == "operators/op249[float32]"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown(page)[0] == "operators/op200[float32]"
    heading(page, "case").get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "none"


def test_all_of_it_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.get_by_label("Text").focus()
    page.keyboard.type("matmul")
    for _ in range(7):  # four lists, "Show all", the table as a whole, its first column
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "case"
    page.keyboard.press("Enter")
    assert heading(page, "case").get_attribute("aria-sort") == "ascending"
    for _ in range(9):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    row = page.locator(".cases button.open").first
    assert row.get_attribute("aria-expanded") == "true"
    assert "--case 'operators/matmul[float32]'" in page.locator(f'[id="{row.get_attribute("aria-controls")}"]').inner_text()
    assert page.evaluate("document.activeElement.textContent") == "operators/matmul[float32]"


def test_the_table_is_one_to_a_screen_reader(page: Page) -> None:
    page.get_by_label("Text").fill("softmax")
    table = page.get_by_role("table", name="Every case; the heads of the columns sort")
    assert table.get_by_role("columnheader").count() == 9
    assert table.get_by_role("rowheader", name="operators/softmax[bfloat16]").count() == 1


def test_hostile_text_stays_text(page: Page) -> None:
    page.get_by_label("Text").fill("evil")
    page.locator(".cases button.open").first.click()
    assert page.locator(".cases tbody b, .cases tbody script").count() == 0
    assert "<script>alert('x')</script>" in page.locator(".under").inner_text()
