"""Numbers as people write them."""

import pytest

from reports.words import duration, moment, number, size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.2345, "1.23"),
        (123456.0, "123 456"),
        (0.00001234, "1.23·10⁻⁵"),
        (float("nan"), "not a number"),
        (None, "–"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value).replace("\u202f", " ") == text


def test_bytes_and_seconds_have_units() -> None:
    assert size(3 << 30) == "3.00 GiB"
    assert size(0) == "0 B"
    assert duration(0.0123) == "12.3 ms"
    assert duration(1.5e-7) == "0.150 µs"


def test_times_are_in_utc() -> None:
    assert moment("2026-11-01T10:30:00+01:00") == "2026-11-01 09:30 UTC"
    assert moment(None) == "None"
