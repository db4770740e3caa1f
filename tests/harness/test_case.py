"""What makes two recordings comparable."""

from pathlib import Path

import pytest

from tests.harness.odd_workloads import BY_NAME

GOOD = BY_NAME["operators/well_behaved[float32]"]


def test_parameters_that_a_case_lacks_are_ignored() -> None:
    assert GOOD.with_params(size=8, model="x").params == {"size": 8}


@pytest.mark.parametrize("change", [{"size": 65}])
def test_the_key_follows_the_definition(change: dict[str, int]) -> None:
    assert GOOD.key() == GOOD.with_params().key()
    assert GOOD.key() != GOOD.with_params(**change).key()


def test_where_a_folder_lies_is_no_part_of_the_definition(tmp_path: Path) -> None:
    keys = set()
    for place in ("here", "there"):
        folder = tmp_path / place / "my-model"
        folder.mkdir(parents=True)
        keys.add(GOOD.with_params(size=str(folder)).key())
    assert len(keys) == 1


def test_a_hub_id_is_kept_whole() -> None:
    assert GOOD.with_params(size="org/no-such-folder").definition()["params"] == {"size": "org/no-such-folder"}
