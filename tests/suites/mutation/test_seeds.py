"""A fault of training code, seeded in a line of its source."""

import pytest

from harness.errors import AssayError
from suites.mutation.seeds import edited
from suites.workloads.post_training import distillation


def test_an_edit_lasts_as_long_as_it_is_entered_and_needs_no_name_that_only_annotations_use() -> None:
    assert not hasattr(distillation, "PreTrainedModel")  # imported for type checkers only
    right = distillation.last_hidden.__code__
    with edited(f"{distillation.__name__}:last_hidden", place=(" : -1]", " :]"))():
        assert distillation.last_hidden.__code__ is not right
    assert distillation.last_hidden.__code__ is right


def test_an_edit_for_another_version_of_the_code_is_refused() -> None:
    with pytest.raises(AssayError, match="stands there 0 times"), edited(f"{distillation.__name__}:last_hidden", place=("absent", ""))():
        pass
