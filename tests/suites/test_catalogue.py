"""The catalogue of cases."""

import subprocess
import sys

import pytest

from harness.errors import AssayError
from harness.isolate import find_case
from suites.catalogue import AREAS, all_cases, choose


def test_every_area_has_cases_in_order() -> None:
    areas = [case.area for case in all_cases().values()]
    assert list(dict.fromkeys(areas)) == list(AREAS)


def test_ids_begin_with_their_area_and_end_with_their_dtype() -> None:
    for case in all_cases().values():
        assert case.id.startswith(f"{case.area}/")
        assert case.id.endswith(f"[{case.dtype}]")


def test_a_case_is_found_again_in_its_own_module() -> None:
    for case in all_cases().values():
        assert find_case(case.module, case.id, {}).id == case.id


def test_listing_the_cases_loads_no_large_library() -> None:
    large = ("accelerate", "datasets", "gguf", "lm_eval", "matplotlib", "pandas", "peft", "sklearn", "transformers", "trl")
    script = f"import sys; from suites.catalogue import all_cases; all_cases(); print([m for m in {large} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "[]"


def test_an_unknown_case_names_the_nearest() -> None:
    with pytest.raises(AssayError, match=r"no case 'operators/softmx\[float32\]'; the nearest is 'operators/softmax\[float32\]'"):
        choose(all_cases(), ["operators/softmx[float32]"])
