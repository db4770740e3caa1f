"""Scaled dot-product attention: full, causal, grouped heads, ragged and left-padded batches. Knows no device."""

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from reference.oracles import attention as oracle
from suites.workloads.costs import costed
from suites.workloads.operators.differentiate import differentiate
from suites.workloads.operators.dtypes import in_each_dtype


def attention(inputs: Inputs, /, *, batch: int, heads: int, kv_heads: int, length: int, width: int, mask: str) -> Step:
    """Attend with `heads` query heads over `kv_heads` key heads; returns `out`, `grad_query`, `grad_key`, `grad_value`.

    `mask`: "full", "causal", "ragged" (padded on the right, a mask that broadcasts over heads and queries) or "left_padded"
    (causal and padded on the left: queries in the padding see nothing, and give zeros) or "biased" (a bias is added to the scores).
    """
    operator = oracle.scaled_dot_product_attention if inputs.golden else F.scaled_dot_product_attention
    operands = {
        "query": inputs.normal("query", (batch, heads, length, width)),
        "key": inputs.normal("key", (batch, kv_heads, length, width)),
        "value": inputs.normal("value", (batch, kv_heads, length, width)),
    }
    visible = visible_keys(inputs, batch, length, mask)
    causal, grouped = mask == "causal", heads != kv_heads

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return operator(query, key, value, attn_mask=visible, is_causal=causal, enable_gqa=grouped)

    cotangent = inputs.normal("cotangent", (batch, heads, length, width))
    pairs = length * (length + 1) // 2 if causal else length**2
    # two products forward and twice as many backward; queries and outputs, keys and values, each with its gradient, once
    numbers = 2 * batch * length * width * 2 * (heads + kv_heads)
    step = Step(differentiate(attend, operands, cotangent))
    return costed(step, lambda: 12 * batch * heads * pairs * width, lambda: numbers * inputs.dtype.itemsize)


def visible_keys(inputs: Inputs, batch: int, length: int, mask: str) -> Tensor | None:
    """Return the mask, true where a key may be seen, or the bias: it broadcasts to [batch, heads, length, length]. None: none is needed."""
    if mask in ("full", "causal"):
        return None
    if mask == "biased":
        return inputs.normal("bias", (batch, 1, length, length))
    # two keys at least: over a single one every softmax is 1, and its gradient nothing but roundoff
    lengths = inputs.integers("lengths", (batch,), 2, length)
    position = torch.arange(length, device=inputs.device)
    if mask == "ragged":
        return (position < lengths[:, None])[:, None, None, :]
    if mask == "left_padded":
        causal = position[:, None] >= position
        return causal & (position >= length - lengths[:, None])[:, None, None, :]
    raise ValueError(f"mask {mask!r} is none of full, causal, ragged, left_padded, biased")


CASES = in_each_dtype(
    attention,
    {
        "attention-full": {"batch": 2, "heads": 4, "kv_heads": 4, "length": 129, "width": 80, "mask": "full"},
        "attention-causal": {"batch": 2, "heads": 4, "kv_heads": 4, "length": 127, "width": 64, "mask": "causal"},
        "attention-gqa": {"batch": 2, "heads": 9, "kv_heads": 3, "length": 128, "width": 64, "mask": "causal"},
        "attention-biased": {"batch": 2, "heads": 3, "kv_heads": 3, "length": 67, "width": 64, "mask": "biased"},
        "attention-ragged": {"batch": 3, "heads": 3, "kv_heads": 3, "length": 97, "width": 64, "mask": "ragged"},
        "attention-left_padded": {"batch": 3, "heads": 9, "kv_heads": 3, "length": 64, "width": 64, "mask": "left_padded"},
    },
)
