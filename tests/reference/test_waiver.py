"""Waivers as they are read: what is refused, in which words, and where one holds."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import AssayError
from reference.waiver import PACKAGED, Waiver, load, matches
from suites.catalogue import all_cases

CASES = ("operators/softmax[float16]", "operators/softmax[float32]", "inference/greedy[float32]")
ENTRY = {
    "case": '"operators/softmax[float16]"', "owner": '"A. Person"', "reason": '"the tail is coarse"',
    "link": '"https://example.org/1?a=b&c=d"', "expires": "2027-06-30",
}  # fmt: skip
ENVIRONMENT: dict[str, Any] = {
    "host": {"packages": {"torch": "2.13.0+cpu", "torch_npu": "2.13.0"}},
    "device": {"name": "npu:0", "hardware": "Ascend910B2", "versions": {"cann": "8.0.RC3.alpha001"}, "emulated": False},
}


def write(folder: Path, stem: str = "npu", name: str = "tail", **changes: str | None) -> Path:
    lines = [f"{key} = {value}" for key, value in (ENTRY | changes).items() if value is not None]
    (folder / f"{stem}.toml").write_text("\n".join([f"[{name}]", *lines]), encoding="utf-8")
    return folder


def waiver(**changes: Any) -> Waiver:
    blank = {"case": CASES[0], "owner": "A", "reason": "r", "link": "https://example.org", "expires": date(2027, 6, 30)}
    return Waiver("npu.toml: tail", "npu", **(blank | changes))


def test_an_entry_is_read(tmp_path: Path) -> None:
    versions = '{ torch_npu = ">=2.13,<2.14" }'
    (read,) = load(write(tmp_path, check='"closeness"', subject='"out*"', device='"Ascend910B*"', versions=versions), CASES)
    assert read == Waiver(
        "npu.toml: tail", "npu", CASES[0], "A. Person", "the tail is coarse", "https://example.org/1?a=b&c=d", date(2027, 6, 30),
        "closeness", "out*", "Ascend910B*", {"torch_npu": ">=2.13,<2.14"},
    )  # fmt: skip


def test_one_entry_may_be_about_several_cases(tmp_path: Path) -> None:
    (read,) = load(write(tmp_path, case='["operators/softmax[*16]", "inference/*"]'), CASES)
    assert [read.covers(case) for case in CASES] == [True, False, True]


def test_one_entry_may_be_about_several_findings(tmp_path: Path) -> None:
    (read,) = load(write(tmp_path, check='["exact", "close*"]', subject='["*.1", "*.2"]'), CASES)
    assert [read.excuses(*found) for found in (("exact", "0.1"), ("closeness", "0.2"), ("probed", "0.1"), ("exact", "0.3"))] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "words"), [('["operators/softmax*", "operators/nothing"]', "covers no case"), ("[]", "has no case"), ("[7]", "has no case")]
)
def test_each_of_several_cases_must_be_one(tmp_path: Path, case: str, words: str) -> None:
    with pytest.raises(AssayError, match=words):
        load(write(tmp_path, case=case), CASES)


def test_a_reason_of_several_lines_becomes_one(tmp_path: Path) -> None:
    (read,) = load(write(tmp_path, reason='"""one\n  two"""'), CASES)
    assert read.reason == "one two"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"owner": None}, "has no owner"),
        ({"reason": None}, "has no reason"),
        ({"link": None}, "has no link"),
        ({"case": None}, "has no case"),
        ({"expires": None}, "has no expires"),
        ({"reason": '"  "'}, "has no reason"),
        ({"owner": "7"}, "has no owner"),
        ({"check": '""'}, "has no check"),
        ({"expire": "2027-06-30"}, "unknown key 'expire'; the nearest is 'expires'"),
        ({"expires": '"2027-06-30"'}, "expires is '2027-06-30'; write the last day as a date without quotes"),
        ({"expires": "2027-06-30T10:00:00"}, "write the last day as a date"),
        ({"expires": "20270630"}, "write the last day as a date"),
        ({"link": '"javascript:alert(1)"'}, "give the http or https address"),
        ({"link": '"https://"'}, "give the http or https address"),
        ({"link": '"https://me:secret@example.org"'}, "without a user's name"),
        ({"link": '"https://example.org/ x"'}, "give the http or https address"),
        ({"link": '"https://[broken"'}, "give the http or https address"),
        ({"versions": '{ torch = "2.13" }'}, "the version of 'torch' is '2.13'; write a range"),
        ({"versions": '{ torch = "" }'}, "write a range"),
        ({"versions": "{ torch = 2 }"}, "write a range"),
        ({"versions": '"2.13"'}, "versions is a table"),
        ({"emulated": '"yes"'}, "emulated is true or false"),
        (
            {"case": '"operators/softmix[float16]"'},
            "covers no case: 'operators/softmix[float16]'; the nearest is 'operators/softmax[float16]'",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_entry(tmp_path: Path, changes: dict[str, str | None], words: str) -> None:
    with pytest.raises(AssayError) as caught:
        load(write(tmp_path, **changes), CASES)
    assert str(caught.value).startswith(f"{tmp_path / 'npu.toml'}: tail: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tail]\nexpires = 2027-02-30", "cannot be read as TOML"),
        ("[tail\n", "cannot be read as TOML"),
        ("[a]\n[a]\n", "cannot be read as TOML"),
        ('case = "operators/x"', "'case' is no waiver"),
        ("[[tail]]", "'tail' is no waiver"),
        ('["a b"]', "'a b' is no waiver"),
    ],
)
def test_a_file_that_holds_something_else_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "npu.toml").write_text(text)
    with pytest.raises(AssayError, match=words) as caught:
        load(tmp_path, CASES)
    assert str(caught.value).startswith(f"{tmp_path / 'npu.toml'}: ")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "npu.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(AssayError, match="cannot be read as TOML"):
        load(tmp_path, CASES)


@pytest.mark.parametrize("stem", ["gpu", "NPU", "npu:x", "npu.old"])
def test_a_file_named_after_no_kind_of_device_is_refused(tmp_path: Path, stem: str) -> None:
    with pytest.raises(AssayError, match="named after no kind of device"):
        load(write(tmp_path, stem), CASES)


@pytest.mark.parametrize("stem", ["npu", "npu:0", "cuda", "cpu"])
def test_a_file_is_about_the_device_that_it_is_named_after(tmp_path: Path, stem: str) -> None:
    assert [w.concerns for w in load(write(tmp_path, stem), CASES)] == [stem]


def test_a_folder_without_waivers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="holds no waivers"):
        load(tmp_path, CASES)
    with pytest.raises(AssayError, match="no such folder"):
        load(tmp_path / "no", CASES)


def test_the_packaged_waivers_fit_the_catalogue() -> None:
    load(PACKAGED, all_cases())


def test_the_format_that_the_packaged_file_shows_is_valid(tmp_path: Path) -> None:
    head = (PACKAGED / "npu.toml").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    shown = [line.removeprefix("# ").partition("  ")[0] for line in head[head.index("#") + 1 :]]
    (tmp_path / "npu.toml").write_text("\n".join(shown))
    (read,) = load(tmp_path, CASES)
    assert (read.source, read.expires, read.emulated) == ("npu.toml: softmax-half-tail", date(2027, 6, 30), False)


def test_the_documentation_shows_a_valid_entry_and_every_key(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "waivers.md").read_text(encoding="utf-8")
    (tmp_path / "npu.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    (read,) = load(tmp_path, CASES)
    assert (read.subject, read.versions) == ("out worst", {"torch_npu": ">=2.13,<2.14", "cann": "<9"})
    assert all(f"`{key}`" in page for key in read.to_json() if key not in ("source", "concerns"))


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        (CASES[0], [True, False, False]),
        ("operators/softmax[*]", [True, True, False]),
        ("*[float32]", [False, True, True]),
        ("operators/softmax[float?2]", [False, True, False]),
        ("operators/softmax[f]loat16]", [False, False, False]),
    ],
)
def test_brackets_stand_for_themselves(pattern: str, covered: list[bool]) -> None:
    assert [waiver(case=pattern).covers(case) for case in CASES] == covered


@given(st.text(alphabet="ab[]!-^*?/."))
def test_every_id_matches_itself(text: str) -> None:
    assert matches(text, text)


def test_the_last_day_still_counts() -> None:
    assert not waiver().expired(date(2027, 6, 30))
    assert waiver().expired(date(2027, 7, 1))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"device": "Ascend910B*"}, ""),
        ({"device": "npu:0"}, ""),
        ({"device": "Ascend910C*"}, "for Ascend910C*, and this is Ascend910B2"),
        ({"emulated": True}, "for an emulated device, and this one is not"),
        ({"versions": {"torch": "==2.13.0"}}, ""),
        ({"versions": {"torch-npu": "<2.14", "cann": ">=8.0rc2,<9"}}, ""),
        ({"versions": {"torch": "<2.13"}}, "for torch <2.13, and here it is 2.13.0+cpu"),
        ({"versions": {"cann": ">=8.0"}}, "for cann >=8.0, and here it is 8.0.RC3.alpha001"),
        ({"versions": {"driver": ">1"}}, "for driver >1, and no version of it is known here"),
    ],
)
def test_where_a_waiver_holds(changes: dict[str, Any], why: str) -> None:
    assert waiver(**changes).inactive(ENVIRONMENT) == why


def test_what_is_signed_for_a_device_does_not_hold_for_its_stand_in() -> None:
    stand_in = {**ENVIRONMENT, "device": {**ENVIRONMENT["device"], "emulated": True}}
    assert waiver().inactive(stand_in) == "for the real device, and this one is emulated"
    assert waiver(emulated=True).inactive(stand_in) == ""


@given(st.text(max_size=20))
def test_no_spelling_of_a_version_raises(text: str) -> None:
    known = {"host": {"packages": {"x": text}}, "device": {"name": "npu:0"}}
    assert isinstance(waiver(versions={"x": ">=1"}).inactive(known), str)
