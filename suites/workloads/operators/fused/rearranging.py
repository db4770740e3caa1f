"""Older operators of torch_npu that still run by themselves: views made whole, casts, a linear layer. Knows no device."""

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import rearranging as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.fused.drawing import bits
from suites.workloads.operators.fused.listing import HALVES, copies, on_npu


def linear(inputs: Inputs, /, *, rows: int, width: int, out: int) -> Step:
    """Linear layer; returns `out`, and gradients."""
    operator = inputs.fused("npu_linear", oracle.linear)
    operands = {
        "x": inputs.normal("x", (rows, width)),
        "weight": inputs.normal("weight", (out, width), width**-0.5),
        "bias": inputs.normal("bias", (out,)),
    }
    return Step(differentiate(lambda x, weight, bias: operator(x, weight, bias), operands, inputs.normal("cotangent", (rows, out))))


def fused_matmul(inputs: Inputs, /, *, rows: int, width: int, out: int, then: str) -> Step:
    """Product and what follows; returns `out`."""
    operator = inputs.fused("npu_fused_matmul", oracle.fused_matmul)
    x1, x2 = inputs.normal("x1", (rows, width)), inputs.normal("x2", (width, out), width**-0.5)
    third = inputs.normal("x3", (rows, out)) if then in ("add", "mul") else None
    return Step(lambda: {"out": operator(x1, x2, bias=None, x3=third, fused_op_type=then)})


def views(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Make views whole; returns `sliced`, `indexed`, `strided`, `transposed`, `reshaped`."""
    x = inputs.normal("x", (rows, width))
    sliced, indexed = inputs.fused("npu_slice", oracle.cut_out), inputs.fused("npu_indexing", oracle.strided)
    strided = inputs.fused("npu_stride_copy", oracle.stride_copy)
    transposed = inputs.fused("npu_transpose", lambda x, perm: x.permute(perm).clone())
    reshaped = inputs.fused("npu_reshape", lambda x, shape: x.reshape(shape).clone())

    def call() -> dict[str, Tensor]:
        return {
            "sliced": sliced(x, [1, 2], [rows - 2, width - 5]), "indexed": indexed(x, [0, 1], [rows, width - 1], [1, 1]),
            "strided": strided(x, (rows // 2, width // 3), (width, 2), 1), "transposed": transposed(x, [1, 0]),
            "reshaped": reshaped(x, [width, rows]),
        }  # fmt: skip

    return Step(call)


def cast(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Cast forth to float32 and back; returns `wide`, `narrow`: the former is exact, the latter what was given."""
    operator = inputs.fused("npu_dtype_cast", lambda x, dtype: x.to(dtype))
    x = inputs.normal("x", (rows, width))
    wide = torch.float64 if inputs.golden else torch.float32
    return Step(lambda: {"wide": operator(x, wide), "narrow": operator(operator(x, wide), inputs.compute_dtype)})


def attn_softmax(inputs: Inputs, /, *, rows: int, keys: int, width: int) -> Step:
    """Softmax in place, and its gradient under a product with values; returns `out`, `grad_x`."""
    forward = inputs.fused("npu_attn_softmax_", oracle.attn_softmax)
    backward = inputs.fused("npu_attn_softmax_backward_", oracle.attn_softmax_backward)
    x, grad, values = inputs.normal("x", (rows, keys)), inputs.normal("grad", (rows, width)), inputs.normal("values", (keys, width))

    def call() -> dict[str, Tensor]:
        out = forward(x.clone())
        return {"out": out, "grad_x": backward(out.clone(), grad, values)}

    return Step(call)


def entropy_backward(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Gradient of the binary cross-entropy; returns `grad_x`."""

    def plain(grad: Tensor, x: Tensor, target: Tensor, *_: object) -> Tensor:
        return oracle.binary_cross_entropy_backward(grad, x, target)

    operator = inputs.fused("npu_binary_cross_entropy_with_logits_backward", plain)
    x, target = inputs.normal("x", (rows, width), 2.0), bits(inputs, "target", (rows, width), 0.5).to(inputs.compute_dtype)
    grad = inputs.normal("grad", (), 0.1, 1.0)
    return Step(lambda: {"grad_x": operator(grad, x, target, None, None, 1)})


SIZE = {"rows": 16, "width": 66}

CASES = (
    *on_npu(linear, {"npu_linear": {"rows": 33, "width": 128, "out": 65}}),
    *on_npu(
        fused_matmul,
        {
            f"npu_fused_matmul-{then}": {"rows": 17, "width": 64, "out": 33, "then": then}
            for then in ("relu", "add", "mul", "gelu_erf", "gelu_tanh")
        },
        HALVES,
    ),
    # not probed in other layouts: npu_stride_copy sees memory as it lies, by definition, and npu_reshape copies it so
    *on_npu(views, {"npu_slice": SIZE}, checks=copies("*"), probed=False),
    *on_npu(cast, {"npu_dtype_cast": SIZE}, HALVES, copies("*")),
    *on_npu(attn_softmax, {"npu_attn_softmax_": {"rows": 33, "keys": 129, "width": 64}}),
    *on_npu(entropy_backward, {"npu_binary_cross_entropy_with_logits_backward": {"rows": 7, "width": 65}}),
)
