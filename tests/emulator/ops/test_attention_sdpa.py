"""scaled_dot_product_attention and nn.MultiheadAttention on the NPU: which path torch_npu takes, and that it is right, against float64."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from emulator.operator import CALLS
from tests.emulator.ops.attention_definition import attention, close, drawn, kept_if, with_gradients

FUSED = "aclnnFlashAttentionScore"


def inputs(queries: int = 6, keys: int = 5, kv_heads: int = 4, width: int = 16) -> list[Tensor]:
    return [drawn(2, heads, length, width, seed=seed) for seed, (heads, length) in enumerate(
        ((4, queries), (kv_heads, keys), (kv_heads, keys)))]  # fmt: skip


def compare(tensors: list[Tensor], options: dict[str, Any], definition: dict[str, Any]) -> int:
    """Compare result and gradients; return how often the fused operator ran."""
    upstream = drawn(*tensors[0].shape, seed=9)
    expected, gradients = with_gradients(
        lambda *x: attention(*x, **{"scale": tensors[0].shape[-1] ** -0.5} | definition)[0],
        [x.double() for x in tensors],
        upstream.double(),
    )
    before = CALLS[FUSED]
    moved = {name: value.npu() if isinstance(value, Tensor) else value for name, value in options.items()}
    out, found = with_gradients(lambda *x: scaled_dot_product_attention(*x, **moved), [x.npu() for x in tensors], upstream.npu())
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)
    return CALLS[FUSED] - before


def test_plain() -> None:
    assert compare(inputs(), {}, {}) == 1


def test_scale() -> None:
    assert compare(inputs(), {"scale": 0.3}, {"scale": 0.3}) == 1


@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (6, 5), (5, 6)])
def test_causal_is_aligned_at_the_upper_left_as_in_pytorch(queries: int, keys: int) -> None:
    discard = kept_if(lambda i, j: j <= i, queries, keys)
    assert compare(inputs(queries, keys), {"is_causal": True}, {"discard": discard}) == 1


@pytest.mark.parametrize("shape", [(6, 5), (1, 5), (2, 4, 6, 5), (2, 1, 6, 5), (1, 4, 6, 5), (2, 1, 1, 5), (4, 6, 5)])
def test_boolean_mask(shape: tuple[int, ...]) -> None:
    """PyTorch's True takes part; a row without a key is zero."""
    mask = drawn(*shape, seed=5) > -0.3
    mask[..., 0, :] &= len(shape) != 2  # a row of nothing
    assert compare(inputs(), {"attn_mask": mask}, {"discard": ~mask}) == 1


@pytest.mark.parametrize("shape", [(6, 5), (2, 1, 6, 5)])
def test_floating_mask_takes_the_path_of_small_operators(shape: tuple[int, ...]) -> None:
    mask = drawn(*shape, seed=5)
    assert compare(inputs(), {"attn_mask": mask}, {"bias": mask.double()}) == 0


def test_width_that_the_kernel_cannot_take() -> None:
    assert compare(inputs(width=6), {}, {}) == 0


@pytest.mark.parametrize("enable_gqa", [True, False])
def test_shared_heads(enable_gqa: bool) -> None:
    """PyTorch wants enable_gqa; torch_npu's fused path does not."""
    assert compare(inputs(kv_heads=2), {"enable_gqa": enable_gqa}, {}) == 1


@pytest.mark.parametrize("queries", [1, 2])
def test_rows_without_a_key_are_zero_except_for_a_single_query(queries: int) -> None:
    """torch_npu asks the kernel to look for them only where there is more than one query; of one, the result is the mean of the values."""
    tensors = inputs(queries)
    mask = torch.zeros(queries, 5, dtype=torch.bool)
    found = scaled_dot_product_attention(*[x.npu() for x in tensors], attn_mask=mask.npu())
    assert not scaled_dot_product_attention(*tensors, attn_mask=mask).any()
    close(found, tensors[2].double().mean(2, keepdim=True) if queries == 1 else torch.zeros(2, 4, 2, 16))


def test_dropout_is_repeatable_and_scaled() -> None:
    query, key, value = (x.npu() for x in inputs(64, 64))
    results = []
    for seed in (3, 3, 4):
        torch.npu.manual_seed(seed)
        results.append(scaled_dot_product_attention(query, key, torch.ones_like(value), dropout_p=0.25).cpu())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert abs(float(results[0].mean()) - 1) < 0.02


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision(dtype: torch.dtype) -> None:
    tensors = [x.to(dtype) for x in inputs()]
    out = scaled_dot_product_attention(*[x.npu() for x in tensors])
    assert out.dtype == dtype
    close(out, attention(*[x.double() for x in tensors], scale=0.25)[0], torch.finfo(dtype).eps)


def test_multi_head_attention_layer() -> None:
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(32, 4, batch_first=True)
    x, upstream = drawn(2, 6, 32), drawn(2, 6, 32, seed=9)
    expected, gradients = with_gradients(lambda y: layer.double()(y, y, y, need_weights=False)[0], [x.double()], upstream.double())
    moved = layer.float().npu()
    out, found = with_gradients(lambda y: moved(y, y, y, need_weights=False)[0], [x.npu()], upstream.npu())
    close(out, expected)
    close(found[0], gradients[0])


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_layer_in_inference(padded: bool, need_weights: bool) -> None:
    """PyTorch's fast path, which torch_npu composes of small operators."""
    torch.manual_seed(0)
    layer, x = torch.nn.MultiheadAttention(32, 4, batch_first=True).eval(), drawn(2, 6, 32)
    mask = torch.tensor([[False] * 6, [False] * 4 + [True] * 2]) if padded else None
    with torch.no_grad():
        expected, weights = layer(x, x, x, key_padding_mask=mask, need_weights=need_weights)
        out, found = layer.npu()(*[x.npu()] * 3, key_padding_mask=None if mask is None else mask.npu(), need_weights=need_weights)
    close(out, expected.double())
    if need_weights:
        close(found, weights.double())
