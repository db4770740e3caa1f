"""Every text of the stakeholder page is there in both languages, says the same things, and is used."""

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import reports
from reports.__main__ import main
from reports.phrases import LANGUAGES, Phrase, joined, say, stored
from tests.reports.runs import bad, good, make, waived
from tests.reports.test_report import Text

SOURCES = sorted(Path(reports.__path__[0]).rglob("*.py")) + sorted(Path(reports.__path__[0]).rglob("*.jinja"))
_BUILT = ("outcome-", "area-", "apart-", "memory-", "head-", "unknown-", "title-", "cost-", "tasks-")


def names(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", stored())
def test_a_text_is_there_in_every_language_with_the_same_names(key: str) -> None:
    texts = stored()[key]
    assert set(LANGUAGES) <= set(texts) <= {*LANGUAGES, "en_one"}
    assert all(texts.values())
    assert len({frozenset(names(text)) for name, text in texts.items() if name != "en_one"}) == 1
    assert names(texts.get("en_one", "")) <= names(texts["en"])


def test_chinese_is_chinese_and_english_is_not() -> None:
    for key, texts in stored().items():
        plain = re.sub(r"\{\w+\}", "", texts["zh-Hans"])
        assert re.search(r"[\u4e00-\u9fff]", plain) or not re.search(r"[A-Za-z]{4}", plain), key
        assert not re.search(r"[\u4e00-\u9fff]", texts["en"]), key


def test_every_text_is_used_and_every_one_that_is_asked_for_is_there() -> None:
    text = "\n".join(source.read_text(encoding="utf-8") for source in SOURCES)
    asked = set(re.findall(r"""["']([a-z]+(?:-[a-z_]+)*)["']""", text))
    assert {key for key in stored() if key not in asked and not key.startswith(_BUILT)} == set()
    for source in (s for s in SOURCES if s.suffix == ".py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say" and isinstance(node.args[0], ast.Constant):
                assert node.args[0].value in stored(), source


def test_one_is_not_many() -> None:
    assert str(say("apart-waived", count=1)).startswith("1 is waived")
    assert str(say("apart-waived", count=2)).startswith("2 are waived")


def test_a_phrase_in_a_phrase_is_in_the_same_language() -> None:
    nested = say("unknown-areas", areas=joined([say("area-inference"), say("area-accuracy")], comma=True))
    assert nested == Phrase({"en": "Not run: Inference, Task accuracy.", "zh-Hans": "未运行：推理、任务精度。"})


@pytest.mark.parametrize("verdicts", [good(), bad(), [waived("operators/softmax[float16]")]], ids=["good", "bad", "waived"])
def test_no_english_is_left_on_the_chinese_page(tmp_path: Path, verdicts: list) -> None:
    """Names, units and what people wrote are the same in both languages; sentences are not."""
    assert main([str(make(tmp_path / "r", verdicts)), "-o", str(tmp_path / "r.html")]) == 0
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = html[html.index('<div class="stakeholder"') : html.index('<div class="engineer"')]
    chinese = Text(page, language="zh-Hans").text
    assert "是否正常" in chinese
    for known in ("passed", "cases", "not measured", "too few", "Known", " is ", " are "):
        assert known not in re.sub(r"A\. Person signed[^|]*|the tail is coarse|closeness of out|other inputs", "", chinese), known
