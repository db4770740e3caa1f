"""Mixtures of experts, on the way out: the experts' results weighed and added up for every token. Knows no gate.

Definition: documentation of torch_npu (npu_moe_finalize_routing) and of CANN (aclnnMoeFinalizeRouting, V2, V4):
out[i] = skip1[i] + skip2[i] + sum over k of scales[i, k] * (rows[index of (i, k)] + bias[expert of (i, k)]), in float32.
"""

from torch import Tensor

from emulator.operator import Ints, Out, aclnn

_DROP_BY_COLUMN, _DROP_BY_ROW = 1, 3


def _combined(
    rows: Tensor, index: Tensor, skips: list[Tensor | None], bias: Tensor | None, scales: Tensor | None, experts: Tensor | None,
    mode: int, k: int,
) -> Tensor:  # fmt: skip
    if mode not in range(4):
        raise ValueError(f"drop_pad_mode is {mode}; it is 0 to 3")
    k = scales.shape[1] if scales is not None else k
    place = index.long().view(-1, k) if mode > _DROP_BY_COLUMN else index.long().view(k, -1).t()
    dropped = place < 0
    if mode not in (_DROP_BY_COLUMN, _DROP_BY_ROW) and bool(dropped.any()):
        raise ValueError(f"a row is dropped (-1), which drop_pad_mode {mode} does not know: on a device, what it adds is arbitrary")
    found = rows.reshape(-1, rows.shape[-1]).float()[place.clamp_min(0)].masked_fill(dropped.unsqueeze(-1), 0.0)
    if bias is not None:
        if experts is None:
            raise ValueError("a bias needs expert_for_source_row")
        found = found + bias.float()[experts.long().view(place.shape)]
    if scales is not None:
        found = found * scales.float().unsqueeze(-1)
    return sum((skip.float() for skip in skips if skip is not None), start=found.sum(1))


@aclnn
def MoeFinalizeRouting(
    rows: Tensor, skip1: Tensor, skip2: Tensor | None, bias: Tensor | None, scales: Tensor | None, index: Tensor, experts: Tensor | None,
    out: Out,
) -> Tensor:  # fmt: skip
    """rows [n * k, h], scales and experts [n, k], bias [experts, h], index [k * n] column by column -> [n, h]."""
    return _combined(rows, index, [skip1, skip2], bias, scales, experts, 0, 1)


@aclnn
def MoeFinalizeRoutingV2(
    rows: Tensor, index: Tensor, skip1: Tensor | None, skip2: Tensor | None, bias: Tensor | None, scales: Tensor | None,
    experts: Tensor | None, mode: int, out: Out,
) -> Tensor:  # fmt: skip
    """mode 0 and 1: the index lies column by column, 2 and 3: row by row; 1 and 3: rows [experts, capacity, h], and -1 is dropped."""
    return _combined(rows, index, [skip1, skip2], bias, scales, experts, mode, 1)


@aclnn
def MoeFinalizeRoutingV4(
    rows: Tensor, index: Tensor, skip1: Tensor | None, skip2: Tensor | None, bias: Tensor | None, scales: Tensor | None,
    experts: Tensor | None, x: Tensor | None, alpha1: Tensor | None, alpha2: Tensor | None, v: Tensor | None, mode: int,
    zero_experts: Ints | None, copy_experts: Ints | None, constant_experts: Ints | None, k: int, out: Out,
) -> Tensor:  # fmt: skip
    """As MoeFinalizeRoutingV2; k where there are no scales. torch_npu passes no zero, copy or constant experts."""
    if any(given is not None for given in (x, alpha1, alpha2, v, zero_experts, copy_experts, constant_experts)):
        raise NotImplementedError("zero, copy and constant experts are not emulated")
    return _combined(rows, index, [skip1, skip2], bias, scales, experts, mode, k)
