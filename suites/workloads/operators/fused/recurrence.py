"""torch_npu's gated delta rule, for decoding and for whole sequences, and its causal convolution. Knows no device."""

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import recurrence as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.fused.attention_infer import numbers
from suites.workloads.operators.fused.drawing import bits, shuffled
from suites.workloads.operators.fused.listing import HALVES, on_npu

SCALE = 0.35


def delta_rule(inputs: Inputs, /, *, lengths: str, key_heads: int, heads: int, key: int, value: int, form: str) -> Step:
    """Run the gated delta rule; returns `out` and `states`: after each token, or for whole sequences (`form` "chunk") the last.

    The other forms are "functional" and "in_place".
    """
    sizes = numbers(lengths)
    tokens, ends = sum(sizes), list(accumulate(sizes))
    given = {
        "query": inputs.normal("query", (tokens, key_heads, key), key**-0.5),
        "key": inputs.normal("key", (tokens, key_heads, key), key**-0.5),
        "value": inputs.normal("value", (tokens, heads, value)),
        "beta": inputs.normal("beta", (tokens, heads), 0.1, 0.5),
        "g": inputs.normal("g", (tokens, heads), 0.05, -0.3, torch.float32),
    }
    listed = inputs.given("lengths", torch.tensor(sizes, dtype=torch.int32))
    if form == "chunk":
        states = inputs.normal("states", (len(sizes), heads, value, key))

        def plain_whole(*, initial_state: Tensor, actual_seq_lengths: Tensor, scale: float, **tensors: Tensor) -> tuple[Tensor, Tensor]:
            out, after = oracle.gated_delta_rule(**tensors, states=initial_state, lengths=sizes, scale=scale)
            return out, after[torch.tensor(ends) - 1].to(initial_state.dtype)

        chunk = inputs.fused("npu_chunk_gated_delta_rule", plain_whole)
        options: dict[str, Any] = {"initial_state": states, "actual_seq_lengths": listed, "scale": SCALE}
        return Step(lambda: dict(zip(("out", "states"), chunk(**given, **options), strict=True)))
    states = inputs.normal("states", (tokens + 2, heads, value, key))
    places = inputs.given("places", torch.from_numpy(shuffled(inputs.seed, "places", 1, tokens + 2)[0, :tokens].copy()).int())

    def plain(
        *, state: Tensor, actual_seq_lengths: Tensor, ssm_state_indices: Tensor, scale: float, **tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        begun = ssm_state_indices.long()[[end - size for end, size in zip(ends, sizes, strict=True)]]
        out, after = oracle.gated_delta_rule(**tensors, states=state[begun], lengths=sizes, scale=scale)
        kept = state.clone()
        kept[ssm_state_indices.long()] = after.to(state.dtype)
        return out, kept

    step = inputs.fused("npu_recurrent_gated_delta_rule_functional", plain)
    options = {"actual_seq_lengths": listed, "ssm_state_indices": places, "scale": SCALE}
    if form == "functional":
        return Step(lambda: dict(zip(("out", "states"), step(**given, state=states, **options), strict=True)))

    def changing(*, state: Tensor, **tensors: Any) -> Tensor:
        out, kept = plain(state=state, **tensors)
        state.copy_(kept)
        return out

    in_place = inputs.fused("npu_recurrent_gated_delta_rule", changing)

    def call() -> dict[str, Tensor]:
        state = states.clone()
        return {"out": in_place(**given, state=state, **options), "states": state}

    return Step(call)


def convolve(inputs: Inputs, /, *, length: int, batch: int, width: int, taps: int) -> Step:
    """Convolve [length, batch, width] over the past; returns `out`, `grad_x`, `grad_weight`."""
    operator = inputs.fused("npu_masked_causal_conv1d", lambda x, weight, *, mask: oracle.masked_causal_conv1d(x, weight, mask))
    mask = bits(inputs, "mask", (batch, length), 0.7)
    operands = {"x": inputs.normal("x", (length, batch, width)), "weight": inputs.normal("weight", (taps, width))}
    cotangent = inputs.normal("cotangent", (length, batch, width))
    return Step(differentiate(lambda x, weight: operator(x, weight, mask=mask), operands, cotangent))


SIZES = {"key_heads": 2, "heads": 4, "key": 32, "value": 24}

CASES = (
    *on_npu(
        delta_rule,
        {
            "npu_chunk_gated_delta_rule": {"lengths": "17,1,9", **SIZES, "form": "chunk"},
            "npu_recurrent_gated_delta_rule_functional": {"lengths": "3,1,4", **SIZES, "form": "functional"},
            "npu_recurrent_gated_delta_rule": {"lengths": "3,1,4", **SIZES, "form": "in_place"},
        },
        ("bfloat16",),
    ),
    *on_npu(convolve, {"npu_masked_causal_conv1d": {"length": 33, "batch": 3, "width": 64, "taps": 3}}, HALVES),
)
