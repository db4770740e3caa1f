"""torch_npu's activations, plain and gated, and their gradients. Knows no device."""

import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import activations as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import on_npu


def fast_gelu(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Activate [rows, width]; returns `out`, `grad_x`."""
    function = inputs.fused("npu_fast_gelu", oracle.fast_gelu)
    operands = {"x": inputs.normal("x", (rows, width), scale=2.0)}
    return Step(differentiate(lambda x: function(x), operands, inputs.normal("cotangent", (rows, width))))


def gelu(inputs: Inputs, /, *, rows: int, width: int, approximate: str) -> Step:
    """Activate [rows, width]; returns `out`, `grad_x`. PyTorch has the function, so the reference calls it."""
    function = inputs.fused("npu_gelu", oracle.gelu if inputs.golden else F.gelu)
    operands = {"x": inputs.normal("x", (rows, width), scale=2.0)}
    return Step(differentiate(lambda x: function(x, approximate=approximate), operands, inputs.normal("cotangent", (rows, width))))


def swiglu(inputs: Inputs, /, *, rows: int, width: int, dim: int) -> Step:
    """Gate [rows, width, 2]-like halves along `dim` of [rows, 2, width]; returns `out`, `grad_x`."""
    function = inputs.fused("npu_swiglu", oracle.swiglu)
    shape = (rows, 2, width) if dim == 1 else (rows, 3, 2 * width)
    result = (rows, 1, width) if dim == 1 else (rows, 3, width)
    return Step(differentiate(lambda x: function(x, dim), {"x": inputs.normal("x", shape, scale=2.0)}, inputs.normal("cotangent", result)))


def geglu(inputs: Inputs, /, *, rows: int, width: int, approximate: int, left: bool) -> Step:
    """Gate the halves of [rows, 2 width] by GELU; returns `out`, `gelu`, `grad_x`."""
    function = inputs.fused("npu_geglu", oracle.geglu if inputs.golden else composed_geglu)

    def call(x: Tensor) -> dict[str, Tensor]:
        out, gelu = function(x, -1, approximate, left)
        return {"out": out, "gelu": gelu}

    operands = {"x": inputs.normal("x", (rows, 2 * width), scale=2.0)}
    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (rows, width))}))


def composed_geglu(x: Tensor, dim: int, approximate: int, activate_left: bool) -> tuple[Tensor, Tensor]:
    """Gate by PyTorch's own GELU; as `oracle.geglu`."""
    first, second = x.chunk(2, dim)
    linear, gate = (second, first) if activate_left else (first, second)
    activated = F.gelu(gate, approximate="tanh" if approximate else "none")
    return linear * activated, activated


def composed_gelu_mul(x: Tensor, *, approximate: str) -> Tensor:
    """Gate by PyTorch's own GELU; as `oracle.gelu_mul`."""
    first, second = x.chunk(2, -1)
    return F.gelu(first, approximate=approximate) * second


def gelu_mul(inputs: Inputs, /, *, rows: int, width: int, approximate: str) -> Step:
    """GELU of one half times the other of [rows, 2 width]; returns `out`."""
    function = inputs.fused("npu_gelu_mul", oracle.gelu_mul if inputs.golden else composed_gelu_mul)
    x = inputs.normal("x", (rows, 2 * width), scale=2.0)
    return Step(lambda: {"out": function(x, approximate=approximate)})


def clipped_swiglu(inputs: Inputs, /, *, rows: int, width: int, interleaved: bool) -> Step:
    """SwiGLU with limits of [rows, 2 width], a fifth of which lies beyond them; returns `out`."""
    function = inputs.fused("npu_clipped_swiglu", oracle.clipped_swiglu)
    x = inputs.normal("x", (rows, 2 * width), scale=5.0)
    return Step(lambda: {"out": function(x, dim=-1, alpha=1.702, limit=7.0, bias=1.0, interleaved=interleaved)})


SIZE, ODD = {"rows": 65, "width": 256}, {"rows": 7, "width": 129}

CASES = (
    *on_npu(fast_gelu, {"npu_fast_gelu": SIZE, "npu_fast_gelu-odd": ODD}),
    *on_npu(gelu, {"npu_gelu-erf": {**ODD, "approximate": "none"}, "npu_gelu-tanh": {**ODD, "approximate": "tanh"}}),
    *on_npu(swiglu, {"npu_swiglu": {**SIZE, "dim": -1}, "npu_swiglu-odd": {**ODD, "dim": -1}, "npu_swiglu-dim1": {**ODD, "dim": 1}}),
    *on_npu(
        geglu,
        {
            "npu_geglu-tanh": {**SIZE, "approximate": 1, "left": False},
            "npu_geglu-erf": {**ODD, "approximate": 0, "left": False},
            "npu_geglu-left": {**ODD, "approximate": 1, "left": True},
        },
    ),
    *on_npu(gelu_mul, {"npu_gelu_mul-erf": {**SIZE, "approximate": "none"}, "npu_gelu_mul-tanh": {**SIZE, "approximate": "tanh"}}),
    *on_npu(
        clipped_swiglu,
        {"npu_clipped_swiglu": {**SIZE, "interleaved": True}, "npu_clipped_swiglu-halves": {**SIZE, "interleaved": False}},
    ),
)
