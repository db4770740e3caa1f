"""torch_npu's quantisations with a scale for each block. Knows no device."""

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles.fused import microscaling as oracle
from suites.workloads.operators.fused.drawing import whole
from suites.workloads.operators.fused.listing import HALVES, on_npu
from suites.workloads.operators.fused.quantisation import stored

KINDS = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


def quant(inputs: Inputs, /, *, rows: int, width: int, axis: int, kind: str) -> Step:
    """Quantise blocks of 32 to float8; returns `codes` (its bits) and `scale`."""
    operator = inputs.fused("npu_dynamic_mx_quant", lambda x, *, axis, dst_type: oracle.dynamic_mx_quant(x, axis, dst_type))
    x = inputs.normal("x", (rows, width), scale=3.0)

    def call() -> dict[str, Tensor]:
        y, scale = operator(x, axis=axis, dst_type=KINDS[kind])
        return {"codes": y.view(torch.uint8), "scale": scale}

    return Step(call)


def both_ways(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Quantise along rows and along columns at once; returns `codes`, `scale`, `codes_of_columns`, `scale_of_columns`."""
    kind = torch.float8_e4m3fn

    def plain(x: Tensor, *, dst_type: torch.dtype) -> tuple[Tensor, ...]:
        return (*oracle.dynamic_mx_quant(x, -1, dst_type), *oracle.dynamic_mx_quant(x, -2, dst_type))

    operator = inputs.fused("npu_dynamic_mx_quant_with_dual_axis", plain)
    x = inputs.normal("x", (rows, width), scale=3.0)

    def call() -> dict[str, Tensor]:
        y, scale, of_columns, other = operator(x, dst_type=kind)
        return {"codes": y.view(torch.uint8), "scale": scale, "codes_of_columns": of_columns.view(torch.uint8), "scale_of_columns": other}

    return Step(call)


def grouped(inputs: Inputs, /, *, first: int, second: int, width: int) -> Step:
    """Quantise two groups of rows along the rows, blocks beginning anew; returns `codes`, `scale` (of the blocks that there are)."""
    kind = torch.float8_e4m3fn

    def plain(x: Tensor, ends: Tensor, *, dst_type: torch.dtype) -> tuple[Tensor, Tensor]:
        parts = [oracle.dynamic_mx_quant(part, 0, dst_type) for part in torch.split(x, [first, second])]
        y, scale = (torch.cat([part[side] for part in parts]) for side in (0, 1))
        return y, scale

    operator = inputs.fused("npu_grouped_dynamic_mx_quant", plain)
    x, ends = inputs.normal("x", (first + second, width), scale=3.0), inputs.given("ends", torch.tensor([first, first + second]).int())
    pairs = -(-first // 64) + -(-second // 64)

    def call() -> dict[str, Tensor]:
        y, scale = operator(x, ends, dst_type=kind)
        return {"codes": y.view(torch.uint8), "scale": scale[:pairs]}

    return Step(call)


def back(inputs: Inputs, /, *, rows: int, width: int) -> Step:
    """Bring float8 with scales of blocks back to bfloat16; returns `x`."""
    kind = torch.float8_e4m3fn

    def plain(y: Tensor, scale: Tensor, *, src_type: torch.dtype) -> Tensor:
        return oracle.anti_mx_quant(y, scale).to(inputs.compute_dtype)

    operator = inputs.fused("npu_anti_mx_quant", plain)
    codes = whole(inputs, "codes", (rows, width), 0, 127, torch.uint8)
    scale = whole(inputs, "scale", (rows, -(-width // 64), 2), 120, 132, torch.uint8)
    return Step(lambda: {"x": operator(codes.view(kind), scale, src_type=kind)})


def blocks(inputs: Inputs, /, *, rows: int, width: int, block_rows: int, block_columns: int) -> Step:
    """Quantise blocks to int8 with real scales; returns `y`, `scale`."""

    def plain(x: Tensor, *, row_block_size: int, col_block_size: int, dst_type: torch.dtype) -> tuple[Tensor, Tensor]:
        return oracle.dynamic_block_quant(x, row_block_size, col_block_size)

    operator = inputs.fused("npu_dynamic_block_quant", plain)
    x = inputs.normal("x", (rows, width), scale=3.0)

    def call() -> dict[str, Tensor]:
        y, scale = operator(x, dst_type=torch.int8, row_block_size=block_rows, col_block_size=block_columns)
        return {"y": stored(inputs, y), "scale": scale}

    return Step(call)


CASES = (
    *on_npu(
        quant,
        {
            "npu_dynamic_mx_quant-e4m3": {"rows": 5, "width": 130, "axis": -1, "kind": "e4m3"},
            "npu_dynamic_mx_quant-e5m2": {"rows": 5, "width": 96, "axis": -1, "kind": "e5m2"},
            "npu_dynamic_mx_quant-columns": {"rows": 70, "width": 33, "axis": 0, "kind": "e4m3"},
        },
        HALVES,
    ),
    *on_npu(both_ways, {"npu_dynamic_mx_quant_with_dual_axis": {"rows": 64, "width": 96}}, HALVES),
    *on_npu(grouped, {"npu_grouped_dynamic_mx_quant": {"first": 40, "second": 97, "width": 33}}, HALVES),
    *on_npu(back, {"npu_anti_mx_quant": {"rows": 5, "width": 128}}, ("bfloat16",)),
    *on_npu(
        blocks,
        {
            "npu_dynamic_block_quant-rows": {"rows": 17, "width": 200, "block_rows": 1, "block_columns": 128},
            "npu_dynamic_block_quant-squares": {"rows": 130, "width": 200, "block_rows": 128, "block_columns": 128},
        },
        HALVES,
    ),
)
