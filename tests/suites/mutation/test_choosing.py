"""Which cases a mutant is put to."""

from suites.mutation.choosing import chosen
from suites.mutation.wrapper import Mutant

TRACE = {f"c{i:03d}": ["aten::mm", "aten::add.Tensor"] if i % 2 else ["aten::add.Tensor"] for i in range(100)}
DTYPES = {case: "float32" if int(case[1:]) < 90 else "bfloat16" for case in TRACE}


def names(*operators: str, most: int = 8) -> list[str]:
    return chosen(Mutant("m", operators, lambda: None, ""), TRACE, DTYPES, most)


def test_only_cases_that_reach_the_operator() -> None:
    assert all(int(case[1:]) % 2 for case in names("aten::mm"))
    assert names("aten::bmm") == []


def test_they_are_spread_over_the_catalogue_and_over_dtypes() -> None:
    found = [int(case[1:]) for case in names("aten::add")]
    assert len(found) == 8
    assert sum(i >= 90 for i in found) == 4
    assert max(i for i in found if i < 90) - min(found) > 45


def test_all_are_taken_where_there_is_room() -> None:
    assert sorted(names("aten::add", most=1000)) == sorted(TRACE)


def test_cases_that_bear_the_name_and_probes_are_among_the_first() -> None:
    trace = {
        case: ["aten::mm"] for case in (*TRACE, "operators/opinfo/mm[float32]", "operators/mm[float32]", "operators/fingerprint/x[float32]")
    }
    found = chosen(Mutant("m", ("aten::mm", "aten::matmul"), lambda: None, ""), trace, dict.fromkeys(trace, "float32"), 4)
    assert {"operators/mm[float32]", "operators/fingerprint/x[float32]"} <= set(found)
    assert found.index("operators/mm[float32]") == 0
