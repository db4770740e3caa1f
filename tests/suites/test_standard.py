"""How much of the standard is run."""

import pytest

from harness.errors import AssayError
from suites.catalogue import all_cases
from suites.standard import apply, told

CASES = all_cases()
EXP, MATMUL, ADD = "operators/standard/exp[float16]", "operators/standard/matmul[float32]", "operators/standard/add[float32]"


def test_quick_changes_nothing() -> None:
    assert apply(CASES, "quick") == CASES


@pytest.mark.parametrize(("case", "count", "repeats"), [(EXP, 1_667, 50), (MATMUL, 10_000, 1_000), (ADD, 5_000, 50)])
def test_full_asks_for_the_official_counts_and_repeats(case: str, count: int, repeats: int) -> None:
    params = apply(CASES, "full")[case].params
    assert (params["count"], params["repeats"], params["cells"]) == (count, repeats, 4096)


@pytest.mark.parametrize(("operator", "official"), [("exp", 5_000), ("softmax", 10_000), ("matmul", 30_000)])
def test_the_dtypes_of_an_operator_share_its_official_count(operator: str, official: int) -> None:
    full = apply(CASES, "full").values()
    counts = [int(str(c.params["count"])) for c in full if c.id.startswith(f"operators/standard/{operator}[")]
    assert sum(counts) >= official


def test_figures_change_the_standard_s_cases_and_no_other() -> None:
    changed = apply(CASES, "first=7,count=3,seeds=1000")
    assert {k: changed[EXP].params[k] for k in ("first", "count", "seeds", "repeats")} == {
        "first": 7,
        "count": 3,
        "seeds": 1000,
        "repeats": 3,
    }
    others = [name for name in CASES if not name.startswith("operators/standard")]
    assert others
    assert all(changed[name] is CASES[name] for name in others)


@pytest.mark.parametrize("wrong", ["fully", "count", "count=", "count=-1", "colour=3", "count=3;seeds=2"])
def test_a_wrong_request_names_what_can_be_asked(wrong: str) -> None:
    with pytest.raises(AssayError, match="is none of quick, full, or first=N"):
        apply(CASES, wrong)


def test_the_option_that_made_a_case_is_told() -> None:
    changed = apply(CASES, "count=3,first=7")[EXP]
    option = told(changed, CASES[EXP])
    assert apply(CASES, option.removeprefix(" --standard "))[EXP] == changed
    assert told(CASES[EXP], CASES[EXP]) == ""
