"""torch_npu's manifold-constrained hyper-connections, forward and backward. Knows no device."""

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import hyper_connections as oracle
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import HALVES, on_npu

EPS = 1e-6
FLOAT = torch.float32


def pre(inputs: Inputs, /, *, tokens: int, streams: int, width: int) -> Step:
    """Map streams to a layer's input; returns `h_in`, `h_post`, `h_res`, `inverse_rms`, `opened` and gradients.

    The mixed scores are kept for the backward alone, and whether they are normalised already is the operator's own affair.
    """
    operator = inputs.fused("npu_mhc_pre", oracle.mhc_pre)
    rows = 2 * streams + streams * streams
    operands = {
        "x": inputs.normal("x", (tokens, streams, width)), "phi": inputs.normal("phi", (rows, streams * width), 0.1, 0.0, FLOAT),
        "alpha": inputs.normal("alpha", (3,), 0.2, 1.0, FLOAT), "bias": inputs.normal("bias", (rows,), 1.0, 0.0, FLOAT),
        "gamma": inputs.normal("gamma", (streams, width), 0.25, 1.0, FLOAT),
    }  # fmt: skip
    names = ("h_in", "h_post", "h_res", "inverse_rms", "", "opened")

    def call(x: Tensor, phi: Tensor, alpha: Tensor, bias: Tensor, gamma: Tensor) -> dict[str, Tensor]:
        found = zip(names, operator(x, phi, alpha, bias, gamma=gamma, norm_eps=EPS, hc_eps=EPS, out_flag=1), strict=True)
        return {name: output for name, output in found if name}

    cotangents = {
        "h_in": inputs.normal("of_in", (tokens, width)), "h_post": inputs.normal("of_post", (tokens, streams), dtype=FLOAT),
        "h_res": inputs.normal("of_res", (tokens, streams, streams), dtype=FLOAT),
    }  # fmt: skip
    return Step(with_gradients(call, operands, cotangents))


def post(inputs: Inputs, /, *, tokens: int, streams: int, width: int) -> Step:
    """Map a layer's output back to the streams; returns `out` and gradients."""
    operator = inputs.fused("npu_mhc_post", oracle.mhc_post)
    operands = {
        "x": inputs.normal("x", (tokens, streams, width)), "h_res": inputs.normal("h_res", (tokens, streams, streams), dtype=FLOAT),
        "h_out": inputs.normal("h_out", (tokens, width)), "h_post": inputs.normal("h_post", (tokens, streams), dtype=FLOAT),
    }  # fmt: skip

    def call(x: Tensor, h_res: Tensor, h_out: Tensor, h_post: Tensor) -> dict[str, Tensor]:
        return {"out": operator(x, h_res, h_out, h_post)}

    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (tokens, streams, width))}))


def sinkhorn(inputs: Inputs, /, *, tokens: int, streams: int, rounds: int, eps: float, backward: bool) -> Step:
    """Make matrices doubly stochastic; returns `out`, `grad_x`.

    The operator's backward is not told eps, and cannot take it out of what the forward kept: gradients are asked for with an eps that
    makes no difference.
    """
    operator = inputs.fused("npu_mhc_sinkhorn", oracle.mhc_sinkhorn)
    operands = {"x": inputs.normal("x", (tokens, streams, streams))}

    def call(x: Tensor) -> dict[str, Tensor]:
        return {"out": operator(x, eps=eps, num_iters=rounds, out_flag=1)[0]}

    if not backward:
        return Step(lambda: call(**operands))
    return Step(with_gradients(call, operands, {"out": inputs.normal("cotangent", (tokens, streams, streams))}))


CASES = (
    *on_npu(pre, {"npu_mhc_pre": {"tokens": 33, "streams": 4, "width": 64}}, HALVES),
    *on_npu(post, {"npu_mhc_post": {"tokens": 33, "streams": 4, "width": 64}}, HALVES),
    *on_npu(
        sinkhorn,
        {
            "npu_mhc_sinkhorn": {"tokens": 33, "streams": 4, "rounds": 20, "eps": 1e-10, "backward": True},
            "npu_mhc_sinkhorn-six": {"tokens": 7, "streams": 6, "rounds": 3, "eps": 1e-10, "backward": True},
            "npu_mhc_sinkhorn-eps": {"tokens": 33, "streams": 4, "rounds": 2, "eps": 1e-3, "backward": False},
        },
        ("float32",),
    ),
)
