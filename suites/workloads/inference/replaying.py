"""What a model selects while it serves, given to both sides where a narrow dtype would choose otherwise. Knows no workload.

See `suites/workloads/post_training/selecting.py`: in bfloat16 a sound device takes another expert or key here and there, and all that
follows differs. With the selections of float64 given, what is left is numeric.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from harness.inputs import Inputs
from suites.workloads.post_training.selecting import Selecting, exact_selections

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def selecting(
    inputs: Inputs, model: PreTrainedModel, run: Callable[[PreTrainedModel], object], replay: bool, name: str = "selections"
) -> Callable[[], AbstractContextManager[object]]:
    """Return what makes the context of one `run`: with `replay` it selects what a float64 copy of the host model does in it.

    These are the input `name`. To be called before the model is placed.
    """
    if not replay:
        return nullcontext
    given = inputs.given_all(name, exact_selections(model, run))
    return lambda: Selecting(given)
