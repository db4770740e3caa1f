"""What an answer is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suites.assets.verifiable import reward


@pytest.mark.parametrize("text", ["77", " 77\n23 + 45", "is 77, 78", "77 "])
def test_the_first_number_decides(text):
    assert reward(text, "77") == 1.0


@pytest.mark.parametrize(("text", "worth"), [("78", 0.5), ("177", 0.5), ("7 7 ", 0.25), ("no", 0.0), ("", 0.0), ("78 77", 0.4)])
def test_a_wrong_answer_is_worth_half_its_share_of_digits(text, worth):
    assert reward(text, "77") == pytest.approx(worth)


def test_only_the_ten_digits_count():
    assert reward("٣²", "3") == 0.0


@given(st.text(max_size=20), st.integers(0, 99))
def test_never_below_0_and_1_only_for_the_answer(text, answer):
    worth = reward(text, str(answer))
    assert 0 <= worth <= 0.5 or (worth == 1.0 and str(answer) in text)
