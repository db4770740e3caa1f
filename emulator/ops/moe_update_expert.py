"""Which copy of an expert serves a token, and which tokens do without an expert. Knows no communication."""

import torch
from torch import Tensor

from emulator.operator import Out, aclnn

_BY_RANK, _BY_TOKEN = 0, 1


@aclnn
def MoeUpdateExpert(
    experts: Tensor, table: Tensor, scales: Tensor | None, threshold: Tensor | None, active: Tensor | None, rank: int, ranks: int,
    mode: int, copies: Out, mask: Out,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """experts [tokens, k] -> copies of them, which table [experts, 1 + copies] names (first how many there are); rank or token choose.

    Documentation of torch_npu: npu_moe_update_expert. An expert stays in the mask where its scale is at least threshold * the sum of the
    token's scales: so the page's text and op-plugin's test; the page's formula has "greater". Without scales the mask is not written.
    """
    rows = table[experts.long()]
    count = rows[..., 0]
    if mode == _BY_RANK:
        if not 0 <= rank < ranks:
            raise ValueError(f"balance_mode 0 needs local_rank_id in 0..world_size - 1; they are {rank} and {ranks}")
        place = rank // -(-ranks // count)
    elif mode == _BY_TOKEN:
        place = torch.arange(len(experts)).unsqueeze(-1) % count
    else:
        raise ValueError(f"balance_mode is {mode}; it is 0 or 1")
    chosen = rows.gather(-1, place.long().unsqueeze(-1) + 1).squeeze(-1)
    if (scales is None) != (threshold is None) or (scales is None and active is not None):
        raise ValueError("expert_scales and pruning_threshold go together, and active_mask with them")
    if scales is None or threshold is None:
        return chosen, mask
    kept = scales.float() >= threshold.float().reshape(1, -1) * scales.float().sum(-1, keepdim=True)
    return chosen, kept if active is None else kept & active.unsqueeze(-1)
