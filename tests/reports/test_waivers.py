"""What a report says of waivers: never a pass, always with who, why and until when, and no link but a plain one."""

import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.verdict import Outcome
from reports.__main__ import main
from reports.blocks import Link
from tests.reports.runs import WAIVER, bad, good, make, waived
from tests.reports.test_report import Text, report

IN_FORCE = {**WAIVER, "state": "in force", "why": ""}


class Links(HTMLParser):
    """Where a click leads, outside the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href") or ""
        self.targets += [target] if tag == "a" and not target.startswith("#") else []


def links(tmp_path: Path) -> list[str]:
    return Links((tmp_path / "report.html").read_text(encoding="utf-8")).targets


def waivers(page: Text) -> str:
    return page.text.split("It fails when the last day is over", 1)[1].split("Parity", 1)[0]


def test_a_waived_case_is_counted_apart(tmp_path: Path) -> None:
    cases = [*good()[:3], waived("operators/norm[float16]"), waived("operators/exp[float16]")]
    text = report(tmp_path, make(tmp_path / "r", cases, waivers=[IN_FORCE])).text
    assert "3 of 5 cases that could be judged passed: 3 within error bounds. 2 are waived: known to fail" in text


def test_waived_alone_is_no_pass(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [waived("operators/norm[float16]")], waivers=[IN_FORCE])).text
    assert "None of the cases that could be judged passed. 1 is waived" in text
    assert "WAIVED; operators/norm[float16], out rms" in text


def test_waived_beside_failures_and_refusals(tmp_path: Path) -> None:
    cases = [*bad(), waived("operators/norm[float16]"), waived("operators/exp[float16]", Outcome.FIXED)]
    text = report(tmp_path, make(tmp_path / "r", cases, waivers=[IN_FORCE])).text
    assert "3 of 6 cases did not pass and 1 of 6 passed though a waiver says that it fails; they are shown in full below." in text
    assert "1 is waived: known to fail, signed for and counted apart. 1 is unsupported by the device and counted apart." in text


def test_the_section_says_who_why_and_until_when_and_what_is_excused(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", [waived("operators/norm[float16]")], waivers=[IN_FORCE]))
    for word in ("A. Person", "the tail is coarse", "2027-06-30", "npu.toml: tail", "closeness: out rms", "40.0 u", "1.20 u"):
        assert word in waivers(page)
    assert "did not apply" not in waivers(page)
    assert links(tmp_path) == ["https://example.org/1?a=b&c=d"]


def test_fixed_and_expired_ones_are_shown_and_fail(tmp_path: Path) -> None:
    cases = [waived("operators/a[float16]", Outcome.FIXED), waived("operators/b[float16]", Outcome.FAIL)]
    page = report(tmp_path, make(tmp_path / "r", cases, waivers=[{**IN_FORCE, "state": "expired"}]))
    assert "operators/a[float16] fixed" in waivers(page)
    assert "operators/b[float16] fail" in waivers(page)
    assert "2027-06-30, expired" in waivers(page)
    assert "What is excused" not in page.text


def test_one_that_does_not_hold_here_says_why(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", good()))
    assert "inactive for torch <2.12, and here it is 2.13.0" in waivers(page)


def test_one_that_covered_nothing_that_was_run_says_so(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", good(), waivers=[IN_FORCE]))
    assert "in force no case that it covers was judged here" in waivers(page)


def test_without_waivers_there_is_no_section(tmp_path: Path) -> None:
    report(tmp_path, make(tmp_path / "r", good(), waivers=[]))
    assert ">Waivers</h2>" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_run_from_before_there_were_waivers_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "r", good(), waivers=[])
    assert "waivers" not in json.loads((folder / "run.json").read_text())
    report(tmp_path, folder)


def test_a_waiver_that_is_gone_since_left_its_sentence(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", [waived("operators/norm[float16]", source="npu.toml: gone")], waivers=[]))
    assert "A. Person signed for closeness of out rms until 2027-06-30" in waivers(page)


HOSTILE = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>alert(1)</script>", "//example.org/x", "https://",
    "https://good.example@evil.example/", "https://[broken", "https://example.org/\u202e", "https://example.org/ x", "",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
def test_what_is_no_plain_web_address_is_text(tmp_path: Path, url: str) -> None:
    assert Link.of(url) == url
    report(tmp_path, make(tmp_path / "r", good(), waivers=[{**WAIVER, "link": url}]))
    assert links(tmp_path) == []


def test_a_link_cannot_leave_its_attribute(tmp_path: Path) -> None:
    url = 'https://example.org/"onclick="alert(1)"><script>x</script>'
    page = report(tmp_path, make(tmp_path / "r", good(), waivers=[{**WAIVER, "link": url, "reason": "<b>bold</b> \ud800"}]))
    assert links(tmp_path) == [url]
    assert len(page.scripts) == 2
    assert "<b>bold</b>" in page.text


def test_machines_get_waived_as_skipped_and_the_waivers(tmp_path: Path) -> None:
    folder = make(tmp_path / "r", [waived("operators/norm[float16]"), waived("operators/exp[float16]", Outcome.FIXED)], waivers=[IN_FORCE])
    options = ["-o", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json"), "--junit", str(tmp_path / "r.xml")]
    assert main([str(folder), *options]) == 0
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "1")
    skipped = suite.find(".//skipped")
    assert skipped is not None
    assert skipped.get("type") == "waived"
    run = json.loads((tmp_path / "r.json").read_text())["runs"][0]
    assert run["waivers"][0]["owner"] == "A. Person"
