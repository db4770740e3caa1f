"""What a report says, and what it must never say."""

import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.run import Run
from reference.published import stored
from reports.__main__ import main
from reports.sections import all_sections
from tests.reports.runs import bad, fingerprint, good, make, other_rules, score


class Text(HTMLParser):
    """The text that is visible in one language, the tags, and whatever would be fetched."""

    def __init__(self, html: str, language: str = "en") -> None:
        super().__init__()
        self.language, self.away = language, 0
        self.scripts: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if self.away or (tag == "span" and values.get("lang", self.language) != self.language):
            self.away += tag == "span"
        if tag in ("script", "style"):
            self.away = 1
        if tag == "script":
            self.scripts.append(values)
        self.ids += [values["id"]] if values.get("id") else []
        target = values.get("src") or (values.get("href") if tag == "link" else "") or ""
        self.fetched += [target] if target and not target.startswith("data:") else []

    def handle_endtag(self, tag: str) -> None:
        self.away -= bool(self.away) and tag in ("span", "script", "style")

    def handle_data(self, data: str) -> None:
        self.words += [] if self.away else [data]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report(tmp_path: Path, *runs: Path) -> Text:
    assert main([*map(str, runs), "-o", str(tmp_path / "report.html")]) == 0
    return Text((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_the_last_line_printed_is_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(tmp_path, make(tmp_path / "r", good()))
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "report.html")


def test_it_needs_nothing_from_elsewhere_and_ids_are_unique(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", good()))
    assert not page.fetched
    assert page.scripts == [{"type": "application/octet-stream"}, {}]  # the cases, and the page's own
    assert len(page.ids) == len(set(page.ids))


def test_every_section_is_there(tmp_path: Path) -> None:
    lost = [v for v in bad() if v.case not in {g.case for g in good()}]
    page = report(tmp_path, make(tmp_path / "r", good() + fingerprint() + other_rules() + lost, mutation=score(), published=stored()))
    titles = [section.TITLE for section in all_sections()]
    assert sum(title in page.text for title in titles) >= 13
    assert len(titles) == len(set(titles))


def test_a_stakeholder_reads_what_was_compared_and_how_it_ended(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", good())).text
    assert "npu:0, Ascend 910B2" in text
    assert "cuda:0, NVIDIA H100" in text
    assert "All 7 cases that could be judged passed: 4 within error bounds" in text
    assert "−1.0 points" in text or "-1.0 points" in text
    assert "512 tokens/s" in text
    assert "3.00 GiB" in text


def test_unsupported_is_never_counted_as_a_pass(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", [v for v in bad() if v.outcome == "unsupported"])).text
    assert "Nothing was judged. 1 is unsupported by the device and counted apart." in text


def test_failures_are_shown_in_full(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", bad())).text
    assert "3 of 4 cases did not pass" in text
    assert "pytest suites/ --case 'operators/matmul[float32]' --device npu:0 --reference runs/h100" in text
    assert "8 NaN" in text


def test_a_device_against_itself_is_called_that_and_nothing_is_called_parity(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", good(), "cpu", "cpu")).text
    assert "Not a comparison between devices: both sides are CPUs" in text
    assert "Numerical parity not measured" in text
    assert "× the reference" not in text


def test_an_emulated_device_has_no_performance(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", good(), emulated=True)).text
    assert "EMULATED." in text
    assert "tokens/s" not in text
    assert "EMULATED: memory is the workload's" in text


def test_every_section_of_an_emulated_run_says_so(tmp_path: Path) -> None:
    report(tmp_path, make(tmp_path / "r", good(), emulated=True))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    english = html.replace('<span lang="en">EMULATED</span><span lang="zh-Hans">仿真</span>', "EMULATED")
    assert html.count("<h3") == english.count('<span class="emulated">EMULATED</span></h3>')
    assert "<title>EMULATED, " in html
    assert "npu:0, emulated Ascend" in html


def test_an_emulated_device_is_in_parity_with_nobody(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", good(), emulated=True)).text
    assert "Numerical parity not measured" in text
    assert "an emulated device computes on the CPU" in text
    assert "it is no parity of devices" in text


def test_the_times_of_an_emulated_device_are_not_exported(tmp_path: Path) -> None:
    folder = make(tmp_path / "r", good(), emulated=True)
    main([str(folder), "-o", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json")])
    assert "512" not in (tmp_path / "r.json").read_text(encoding="utf-8")


def test_seeded_faults_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "r", good(), emulated=True, faults="bit-flip")
    assert "SEEDED FAULTS. npu:0, emulated Ascend 910B2 was made to be wrong on purpose: bit-flip." in report(tmp_path, folder).text


def test_a_fast_wrong_result_is_not_shown(tmp_path: Path) -> None:
    verdicts = [v for v in good() if "decode" not in v.case]
    from dataclasses import replace

    from harness.verdict import Outcome

    wrong = replace(next(v for v in good() if "decode" in v.case), outcome=Outcome.FAIL, message="greedy failed")
    text = report(tmp_path, make(tmp_path / "r", [*verdicts, wrong])).text
    assert "Decoding throughput not shown it did not pass: greedy failed" in text


def test_secrets_are_locked_out_twice(tmp_path: Path) -> None:
    assert "hunter2" not in report(tmp_path, make(tmp_path / "r", good())).text


def test_hostile_text_is_text(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "r", bad()))
    assert len(page.scripts) == 2
    assert "<script>alert('x')</script>" in page.text
    assert "<b>" in page.text
    assert "\u202e" not in page.text


def test_areas_that_were_not_run_are_not_measured(tmp_path: Path) -> None:
    text = report(tmp_path, make(tmp_path / "r", good()[:1])).text
    assert text.count("not measured") >= 4


def test_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    page = report(tmp_path, make(tmp_path / "one", good()), make(tmp_path / "two", bad()))
    assert "Runs side by side" in page.text
    assert "What changed between one (A) and two (B)" in page.text
    assert len(page.ids) == len(set(page.ids))


def test_machines_get_json_and_junit(tmp_path: Path) -> None:
    folder = make(tmp_path / "r", bad())
    options = ["-o", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json"), "--junit", str(tmp_path / "r.xml")]
    assert main([str(folder), *options]) == 0
    document = json.loads((tmp_path / "r.json").read_text())
    assert [len(v["findings"]) for v in document["runs"][0]["verdicts"]] == [len(v.findings) for v in Run.open(folder).verdicts()]
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "3", "1")


@pytest.mark.parametrize("what", ["nothing", "empty", "other format"])
def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    folder = tmp_path / "r"
    if what != "nothing":
        make(folder, [])
    if what == "other format":
        (folder / "run.json").write_text('{"format": 7}')
    assert main([str(folder), "-o", str(tmp_path / "x.html")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(folder) in error


def test_a_report_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(make(tmp_path / "r", good())), "-o", str(tmp_path / "file" / "x.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err
