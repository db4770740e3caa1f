"""The registry of published figures: what comes with Assay is sound, and what is not is refused in one line that names it."""

from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.run import Run
from reference import published
from suites.session import Session, parse

FIGURE = """
[figures.one]
kind = "training"
model = "M"
stage = "sft"
measure = "MFU"
value = 34.9
unit = "%"
per = "system"
hardware = "H"
source = "S"
date = "2026-06"
"""
PEAK = """
[peaks.one]
device = "D*"
hardware = "H"
dtype = "bfloat16"
low = 1e12
high = 2e12
per = "die"
source = "S"
"""


def read(folder: Path, text: str) -> tuple[tuple[published.Figure, ...], tuple[published.Peak, ...]]:
    (folder / "p.toml").write_text(text, encoding="utf-8")
    return published.load(folder / "p.toml")


def test_the_registry_that_comes_with_assay() -> None:
    figures, peaks = published.load()
    by_name = {figure.name: figure for figure in figures}
    assert (by_name["v4-pro-910c-mfu"].value, by_name["v4-pro-910c-step"].value) == (34.9, 27)
    assert by_name["v4-pro-910c-mfu"].link.endswith("228449.html")
    assert {figure.kind for figure in figures} == set(published.KINDS)
    assert {(peak.device, peak.per) for peak in peaks if peak.estimated} == {("Ascend910_93*", "die")}


def test_a_card_of_two_dies_is_never_given_as_one_device() -> None:
    """The peak of a 910C is that of a card, halved: 752 to 800 TFLOPS a card as published."""
    die = next(peak for peak in published.load()[1] if peak.per == "die")
    assert (2 * die.low, 2 * die.high) == (752e12, 800e12)
    assert all(figure.per != "die" for figure in published.load()[0])  # nobody published one


def test_offline_figures_of_the_recipes_say_so() -> None:
    decoded = [figure for figure in published.load()[0] if "cann-recipes-infer, deepseek_v4" in figure.source]
    assert decoded
    assert all({"offline", "forced-balance", "mtp-acceptance"} <= set(figure.flags) for figure in decoded)


def test_what_is_stored_is_plain(tmp_path: Path) -> None:
    read(tmp_path, FIGURE + PEAK)
    registry = published.stored(tmp_path / "p.toml")
    assert registry["figures"][0]["value"] == 34.9
    assert registry["peaks"][0]["high"] == 2e12


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('kind = "training"', 'kind = "cooking"', "p.toml: one: kind is 'cooking'; it is one of training, inference, accuracy"),
        ('source = "S"\n', "", "p.toml: one: has no source"),
        ("value = 34.9", 'value = "34.9"', "p.toml: one: value is '34.9'; write a finite number"),
        ("value = 34.9", "value = nan", "p.toml: one: value is nan; write a finite number"),
        ("value = 34.9", "value = true", "p.toml: one: value is True; write a finite number"),
        ("value = 34.9", "value = 34.9\nupto = 30", "p.toml: one: upto is 30.0, less than value 34.9"),
        ('per = "system"', 'per = "device"', "p.toml: one: per is 'device'; it is one of die, card"),
        ('unit = "%"', 'unit = "%"\nunits = "%"', "p.toml: one: has the unknown key 'units'; the nearest is 'unit'"),
        ('date = "2026-06"', 'date = "June"', "p.toml: one: date is 'June'; write a year, a month or a day"),
        ('date = "2026-06"', 'date = "2026-13"', "p.toml: one: date is '2026-13'"),
        ('date = "2026-06"', 'date = "2026-06"\nflags = ["fast"]', "p.toml: one: flags is 'fast'; it is one of offline"),
        ('date = "2026-06"', 'date = "2026-06"\nflags = "offline"', "p.toml: one: flags is a list"),
        ('date = "2026-06"', 'date = "2026-06"\nlink = "javascript:x"', "p.toml: one: link is 'javascript:x'"),
        ('model = "M"', 'model = " "', "p.toml: one: model is ' '"),
        ("[figures.one]", "[figure.one]", "p.toml: has the unknown table 'figure'"),
        ("[figures.one]", "[figures.one", "p.toml: cannot be read as TOML"),
    ],
)
def test_a_malformed_figure_is_refused_in_one_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(AssayError) as caught:
        read(tmp_path, FIGURE.replace(old, new))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("old", "new", "told"), [
    ("low = 1e12", "low = 3e12", "low is not above high"), ("low = 1e12", "low = 0", "a peak rate is positive"),
    ('per = "die"', 'per = "machine"', "it is one of die, card"),
    ('per = "die"', 'per = "die"\nestimated = "yes"', "estimated is true or false"),
])  # fmt: skip
def test_a_malformed_peak_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(AssayError, match=told):
        read(tmp_path, PEAK.replace(old, new))


def test_a_session_copies_it_into_its_run(tmp_path: Path) -> None:
    Session(parse("cpu", "cpu", str(tmp_path / "r"), False, "default"), {}).close()
    kept = Run.open(tmp_path / "r").manifest["published"]
    assert len(kept["figures"]) == len(published.load()[0])
    assert kept["peaks"][0]["device"] == "Ascend910_93*"
