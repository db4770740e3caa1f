"""torch_npu's rotary position embeddings, from tables that are inputs. Knows no device."""

from functools import partial

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import rotary as oracle
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.fused.drawing import whole
from suites.workloads.operators.fused.gradients import with_gradients
from suites.workloads.operators.fused.listing import HALVES, on_npu
from suites.workloads.operators.rotary import rotary_angles


def tables(inputs: Inputs, length: int, width: int, mode: str = "half") -> tuple[Tensor, Tensor]:
    """Give cosines and sines [length, width] of positions 5 onward, each angle twice, in the case's dtype.

    They are rounded on the host, after the half of their bits that a libm may differ in is cut off.
    """
    angles = torch.from_numpy(rotary_angles(5, length, width, 10_000)).double()
    angles = torch.cat([angles, angles], -1) if mode == "half" else angles.repeat_interleave(2, -1)
    cosine, sine = (torch.round(table * 2**30).mul(2**-30).to(inputs.dtype) for table in (angles.cos(), angles.sin()))
    return inputs.given("cosine", cosine), inputs.given("sine", sine)


def rotary_mul(inputs: Inputs, /, *, batch: int, length: int, heads: int, width: int, mode: str, of_tables: bool = False) -> Step:
    """Turn [batch, length, heads, width]; returns `out`, `grad_x`, and the tables' gradients when `of_tables`."""
    operator = inputs.fused("npu_rotary_mul", oracle.rotary_mul)
    cosine, sine = (table[None, :, None, :] for table in tables(inputs, length, width, mode))
    shape = (batch, length, heads, width)
    operands = {"x": inputs.normal("x", shape)}
    if of_tables:
        return Step(
            differentiate(
                lambda x, cosine, sine: operator(x, cosine, sine, mode),
                {**operands, "cosine": cosine, "sine": sine},
                inputs.normal("cotangent", shape),
            )
        )
    return Step(differentiate(lambda x: operator(x, cosine, sine, mode), operands, inputs.normal("cotangent", shape)))


def apply_rotary_pos_emb(inputs: Inputs, /, *, batch: int, length: int, heads: int, kv_heads: int, width: int) -> Step:
    """Turn query and key [batch, length, heads, width] in place; returns `query`, `key`."""
    operator = inputs.fused("npu_apply_rotary_pos_emb", oracle.apply_rotary_pos_emb)
    cosine, sine = (table[None, :, None, :].expand(batch, -1, -1, -1).contiguous() for table in tables(inputs, length, width))
    query, key = inputs.normal("query", (batch, length, heads, width)), inputs.normal("key", (batch, length, kv_heads, width))

    def call() -> dict[str, Tensor]:
        first, second = operator(query.clone(), key.clone(), cosine, sine, "BSND")
        return {"query": first, "key": second}

    return Step(call)


def interleave_rope(inputs: Inputs, /, *, batch: int, heads: int, length: int) -> Step:
    """Sort and turn [batch, heads, length, 64]; returns `out`."""
    operator = inputs.fused("npu_interleave_rope", oracle.interleave_rope)
    cosine, sine = (table.expand(batch, 1, -1, -1).contiguous() for table in tables(inputs, length, 64))
    x = inputs.normal("x", (batch, heads, length, 64))
    return Step(lambda: {"out": operator(x, cosine, sine)})


def mrope(inputs: Inputs, /, *, tokens: int, heads: int, kv_heads: int, width: int, turned: int, mode: str) -> Step:
    """Turn `turned` of `width` elements of every head by cached angles; returns `query`, `key`."""
    operator = inputs.fused("npu_mrope", partial(oracle.mrope))
    cosine, sine = (table[:, : turned // 2] for table in tables(inputs, 64, turned))
    positions, cache = whole(inputs, "positions", (tokens,), 0, 64, torch.int64), torch.cat([cosine, sine], -1)
    query, key = inputs.normal("query", (tokens, heads * width)), inputs.normal("key", (tokens, kv_heads * width))
    return Step(lambda: dict(zip(("query", "key"), operator(positions, query, key, cache, width, rotary_mode=mode), strict=True)))


def there_and_back(inputs: Inputs, /, *, length: int, width: int, mode: str) -> Step:
    """Turn forth and back by the same tables: `out` is x times cos^2 + sin^2; returns it and `grad_x`."""
    operator = inputs.fused("npu_rotary_mul", oracle.rotary_mul)
    cosine, sine = (table[None, :, None, :] for table in tables(inputs, length, width, mode))

    def call(x: Tensor) -> dict[str, Tensor]:
        return {"out": operator(operator(x, cosine, sine, mode), cosine, -sine, mode)}

    shape = (1, length, 3, width)
    return Step(with_gradients(call, {"x": inputs.normal("x", shape)}, {"out": inputs.normal("cotangent", shape)}))


LONG, ODD = {"batch": 2, "length": 129, "heads": 4, "width": 128}, {"batch": 1, "length": 31, "heads": 3, "width": 64}

CASES = (
    *on_npu(
        rotary_mul,
        {
            "npu_rotary_mul-half": {**LONG, "mode": "half"},
            "npu_rotary_mul-interleave": {**LONG, "mode": "interleave"},
            "npu_rotary_mul-half-odd": {**ODD, "mode": "half"},
            "npu_rotary_mul-interleave-odd": {**ODD, "mode": "interleave"},
            "npu_rotary_mul-tables": {**ODD, "mode": "half", "of_tables": True},
        },
    ),
    *on_npu(there_and_back, {"npu_rotary_mul-there_and_back": {"length": 33, "width": 64, "mode": "half"}}),
    *on_npu(apply_rotary_pos_emb, {"npu_apply_rotary_pos_emb": {"batch": 2, "length": 33, "heads": 4, "kv_heads": 1, "width": 128}}),
    *on_npu(interleave_rope, {"npu_interleave_rope": {"batch": 2, "heads": 3, "length": 33}}, HALVES),
    *on_npu(
        mrope,
        {
            "npu_mrope-half": {"tokens": 33, "heads": 4, "kv_heads": 1, "width": 128, "turned": 128, "mode": "half"},
            "npu_mrope-interleave": {"tokens": 33, "heads": 4, "kv_heads": 1, "width": 128, "turned": 64, "mode": "interleave"},
        },
    ),
)
