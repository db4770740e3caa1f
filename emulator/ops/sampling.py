"""Filters of logits before sampling. Knows no random numbers."""

from torch import Tensor

from emulator.operator import Out, aclnn


@aclnn
def ApplyTopKTopP(logits: Tensor, p: Tensor | None, k: Tensor | None, out: Out) -> Tensor:
    """logits [batch, words] with -inf where they are none of the k largest, nor of the most probable that make up p.

    Documentation of torch_npu: npu_top_k_top_p. Equals of the k-th largest stay; the largest always stays; p and k are [batch].
    """
    values, order = logits.sort(dim=-1, stable=True)
    if k is not None:
        if bool((k < 1).any()) or bool((k > values.shape[-1]).any()):
            raise ValueError(f"k is {k.tolist()}, not in 1..{values.shape[-1]}")
        values = values.masked_fill(values < values.gather(-1, values.shape[-1] - k.long().unsqueeze(-1)), float("-inf"))
    if p is not None:
        improbable = values.float().softmax(-1).cumsum(-1) <= 1 - p.float().unsqueeze(-1)
        improbable[:, -1] = False
        values = values.masked_fill(improbable, float("-inf"))
    return values.scatter(-1, order, values)
