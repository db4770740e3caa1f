"""The registry of published figures: what comes with Assay is sound, and what is not is refused in one line that names it."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

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


BANDWIDTH = PEAK.replace("peaks", "bandwidths").replace('dtype = "bfloat16"\n', "")


def read(folder: Path, text: str) -> tuple[tuple[Any, ...], ...]:
    (folder / "p.toml").write_text(text, encoding="utf-8")
    return published.load(folder / "p.toml")


def test_the_registry_that_comes_with_assay() -> None:
    figures, peaks, _ = published.load()
    by_name = {figure.name: figure for figure in figures}
    assert (by_name["v4-pro-910c-mfu"].value, by_name["v4-pro-910c-step"].value) == (34.9, 27)
    assert by_name["v4-pro-910c-mfu"].link.endswith("228449.html")
    assert {figure.kind for figure in figures} == set(published.KINDS)
    assert {peak.device for peak in peaks if peak.estimated} == {"Ascend910_93*", "Ascend950PR*", "Ascend950DT*", "Ascend950*"}


def test_a_card_of_two_dies_is_never_given_as_one_device() -> None:
    """Up to 800 TFLOPS and 3.2 TB/s a card of a 910C are published: a die has half of it."""
    figures, peaks, bandwidths = published.load()
    (die,), (memory,) = ([rate for rate in rates if rate.per == "die"] for rates in (peaks, bandwidths))
    assert (2 * die.high, 2 * memory.high) == (800e12, 3.2e12)
    assert all(figure.per != "die" for figure in figures)  # nobody published one


NAMES = (
    "Ascend910_9362", "Ascend910_9392", "Ascend910A", "Ascend910B1", "Ascend910B2", "Ascend910B3", "Ascend910B4", "Ascend950PR_9589",
    "Ascend950DT_9582", "NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB", "NVIDIA A100 80GB PCIe",
    "NVIDIA H100 80GB HBM3", "NVIDIA H200", "NVIDIA B200", "AMD Instinct MI300X",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_framework_s_name_of_a_device_finds_one_rate(name: str) -> None:
    _, peaks, bandwidths = published.load()
    matrix = [peak.dtype for peak in peaks if fnmatchcase(name, peak.device)]
    assert matrix
    assert len(set(matrix)) == len(matrix)
    assert sum(fnmatchcase(name, bandwidth.device) for bandwidth in bandwidths) == (
        name not in {"Ascend910A", "Ascend910B1", "Ascend910B4"}
    )


def test_a_device_of_another_kind_finds_no_rate() -> None:
    for name in ("NVIDIA H100 PCIe", "NVIDIA GB200", "Ascend910B2C", "Ascend310P3", "Intel(R) Xeon(R) Processor"):
        assert not any(fnmatchcase(name, rate.device) for rates in published.load()[1:] for rate in rates), name


def test_rates_have_the_order_of_magnitude_of_their_unit() -> None:
    """Operations and bytes a second, not TFLOPS and GB/s; between 50 and 500 operations a byte, as of all such devices."""
    _, peaks, bandwidths = published.load()
    assert all(100e12 <= peak.low <= peak.high <= 1e16 for peak in peaks)
    assert all(1e12 <= memory.low <= memory.high <= 1e13 for memory in bandwidths)
    shared = {memory.device: memory for memory in bandwidths}
    assert all(50 < peak.high / shared[peak.device].low < 500 for peak in peaks if peak.device in shared)


def test_offline_figures_of_the_recipes_say_so() -> None:
    decoded = [figure for figure in published.load()[0] if "cann-recipes-infer, deepseek_v4" in figure.source]
    assert decoded
    assert all({"offline", "forced-balance", "mtp-acceptance"} <= set(figure.flags) for figure in decoded)


def test_what_is_stored_is_plain(tmp_path: Path) -> None:
    read(tmp_path, FIGURE + PEAK + BANDWIDTH)
    registry = published.stored(tmp_path / "p.toml")
    assert registry["figures"][0]["value"] == 34.9
    assert registry["peaks"][0]["high"] == 2e12
    assert registry["bandwidths"] == [{key: value for key, value in registry["peaks"][0].items() if key != "dtype"}]


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
    ("low = 1e12", "low = 3e12", "low is not above high"), ("low = 1e12", "low = 0", "a rate is positive"),
    ('per = "die"', 'per = "machine"', "it is one of die, card"),
    ('per = "die"', 'per = "die"\nestimated = "yes"', "estimated is true or false"),
    ("high = 2e12", 'high = "2e12"', "write a finite number"),
])  # fmt: skip
@pytest.mark.parametrize("entry", [PEAK, BANDWIDTH], ids=["peak", "bandwidth"])
def test_a_malformed_rate_is_refused(tmp_path: Path, entry: str, old: str, new: str, told: str) -> None:
    with pytest.raises(AssayError, match=told):
        read(tmp_path, entry.replace(old, new))


def test_a_bandwidth_has_no_dtype(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="one: has the unknown key 'dtype'"):
        read(tmp_path, PEAK.replace("peaks", "bandwidths"))


def test_a_session_copies_it_into_its_run(tmp_path: Path) -> None:
    Session(parse("cpu", "cpu", str(tmp_path / "r"), False, "default"), {}).close()
    kept = Run.open(tmp_path / "r").manifest["published"]
    assert len(kept["figures"]) == len(published.load()[0])
    assert kept["peaks"][0]["device"] == "Ascend910_93*"
    assert len(kept["bandwidths"]) == len(published.load()[2])
