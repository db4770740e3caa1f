"""Where the truth comes from."""

import pytest

from harness.standards.cann.golden import ORDER, first_source


@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_first_source_that_exists_is_taken(first: int) -> None:
    sources = [None] * first + [abs] * (3 - first)
    assert first_source(sources) == (abs, ORDER[first])


def test_no_source_and_a_wrong_number_are_refused() -> None:
    with pytest.raises(ValueError, match="no golden"):
        first_source([None, None, None])
    with pytest.raises(ValueError, match="all 3 sources"):
        first_source([abs])
