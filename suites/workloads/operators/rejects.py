"""Arguments that must be refused: shapes that do not fit, dimensions and indices out of range. Knows no device.

A device that answers where PyTorch documents an error hands out memory that is nobody's (sgl-project/sglang 38196: a page size of 16).
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Case, Promise, Step
from harness.checks.answered import Answered
from harness.inputs import Inputs
from suites.assets import opinfo
from suites.workloads.operators.opinfo import LEFT_OUT
from suites.workloads.operators.samples import Calls, Sample

CHECKS: tuple[Promise, ...] = (Answered(refusing=True),)

#: Operators that are not tried: those that are left out, one whose samples lie on no device, one that asks a number for its reciprocal.
_NOT_TRIED = (*LEFT_OUT, "gradient", "__rdiv__")

#: Samples that are not tried, by number, and why.
NOT_ASKED: Mapping[str, tuple[int, str]] = {
    "nn.functional.adaptive_max_pool3d": (1, "of an output_size without sizes torch_npu 2.13 reads three, which ends the process"),
}


def rejected(inputs: Inputs, /, *, operator: str) -> Step:
    """Call an operator on each of the inputs that PyTorch's own database says it must refuse."""
    op = opinfo.operators()[operator]
    without, _ = NOT_ASKED.get(operator, (-1, ""))
    samples = [Sample((s.input, *s.args), dict(s.kwargs)) for i, s in enumerate(opinfo.refused(op, inputs.seed)) if i != without]
    return Calls(inputs, op, samples).step()


#: Lookups by index: function of a table [7, 5] and indices, of which one is out of range.
OUT_OF_RANGE: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "index_select": lambda x, indices: torch.index_select(x, 0, indices),
    "embedding": lambda x, indices: F.embedding(indices, x),
    "gather": lambda x, indices: torch.gather(x, 0, indices[:, None].expand(-1, x.shape[1]).contiguous()),
    "take": lambda x, indices: torch.take(x, indices * x.numel()),
    "index_add": lambda x, indices: torch.index_add(x, 0, indices, torch.ones(len(indices), x.shape[1], dtype=x.dtype, device=x.device)),
}


def out_of_range(inputs: Inputs, /, *, operator: str) -> Step:
    """Index one beyond the end, and far beyond it, among good indices."""
    x = torch.arange(35, dtype=torch.float64).reshape(7, 5).to(inputs.dtype)
    samples = [Sample((x, torch.tensor([0, 3, bad])), {}) for bad in (7, 1000, -8)]
    return Calls(inputs, OUT_OF_RANGE[operator], samples).step()


CASES = tuple(
    Case(f"operators/rejects/{name}[float32]", "operators", rejected, "float32", CHECKS, {"operator": name}, golden=False, wide=True)
    for name, op in opinfo.operators().items()
    if op.error_inputs_func is not None and name not in _NOT_TRIED
) + tuple(
    Case(
        f"operators/out-of-range/{name}[float32]", "operators", out_of_range, "float32", CHECKS, {"operator": name}, golden=False, wide=True
    )
    for name in OUT_OF_RANGE
)
