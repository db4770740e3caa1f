"""Sums: right, different from each other, and wrong where they are to be."""

import pytest

from harness.errors import AssayError
from suites.assets.arithmetic import Sum, sums


@pytest.mark.parametrize(("digits", "count"), [(1, 100), (2, 3240)])
def test_every_sum_once_and_right(digits: int, count: int) -> None:
    found = sums(digits, count)
    assert len({s.prompt for s in found}) == count
    for one in found:
        a, _, b, equals = one.prompt.split(" ")
        assert one.answer == f" {int(a) + int(b)}\n"
        assert equals == "="
        assert one.wrong != one.answer
        assert len(one.wrong) == len(one.answer)
        assert 0 <= int(one.wrong) < 100


def test_what_comes_after_is_other_sums_of_the_same_order() -> None:
    assert sums(2, 30) == sums(2, 10) + sums(2, 20, 10)


def test_an_example_stands_before() -> None:
    assert [s.prompt for s in sums(1, 3, example=True)] == ["2 + 3 = 5\n" + s.prompt for s in sums(1, 3)]
    assert isinstance(sums(2, 1, example=True)[0], Sum)


def test_used_up_is_refused() -> None:
    with pytest.raises(AssayError, match="101 sums of 1 digits asked for, there are 100"):
        sums(1, 60, 41)
