"""npu_fusion_attention: layouts, sparse modes, biases, dropout and statistics, forward and backward, against the definition in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_npu
from torch import Tensor

from emulator.ops.attention import _from_last_rows
from emulator.ops.attention_geometry import discarded
from tests.emulator.ops.attention_definition import attention, close, drawn, kept_if, with_gradients

SCALE = 0.25
HEADS = 4

LAYOUTS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, int], Tensor]]] = {
    "BNSD": (lambda x: x, lambda x, n: x),
    "BSND": (lambda x: x.transpose(1, 2), lambda x, n: x.transpose(1, 2)),
    "BSH": (lambda x: x.transpose(1, 2).flatten(2), lambda x, n: x.unflatten(2, (n, -1)).transpose(1, 2)),
    "SBH": (lambda x: x.permute(2, 0, 1, 3).flatten(2), lambda x, n: x.unflatten(2, (n, -1)).permute(1, 2, 0, 3)),
}
TEMPLATE = torch.ones(2048, 2048, dtype=torch.bool).triu(1)
PREFIX_TEMPLATE = torch.cat((TEMPLATE, torch.arange(2048).expand(1024, 2048) >= 1024))


def inputs(queries: int, keys: int, kv_heads: int = HEADS, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [drawn(2, heads, length, 16, seed=seed, dtype=dtype) for seed, (heads, length) in enumerate(
        ((HEADS, queries), (kv_heads, keys), (kv_heads, keys)))]  # fmt: skip


def fused(layout: str = "BNSD", **options: Any) -> Callable[..., Tensor]:
    moved = {name: value.npu() if isinstance(value, Tensor) else value for name, value in options.items()}
    return lambda *qkv: torch_npu.npu_fusion_attention(*qkv, HEADS, layout, scale=SCALE, **moved)[0]


def compare(tensors: list[Tensor], definition: dict[str, Any], options: dict[str, Any], tolerance: float = 2e-6) -> None:
    upstream = drawn(*tensors[0].shape[:3], tensors[2].shape[3], seed=9)
    expected, gradients = with_gradients(
        lambda *x: attention(*x, scale=SCALE, **definition)[0], [x.double() for x in tensors], upstream.double()
    )
    out, found = with_gradients(fused(**options), [x.npu() for x in tensors], upstream.to(tensors[0].dtype).npu())
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other, tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_every_layout_and_number_of_heads(layout: str, kv_heads: int) -> None:
    there, back = LAYOUTS[layout]
    tensors = inputs(6, 5, kv_heads)
    upstream = drawn(2, HEADS, 6, 16, seed=9)
    expected, gradients = with_gradients(lambda *x: attention(*x, scale=SCALE)[0], [x.double() for x in tensors], upstream.double())
    out, found = with_gradients(fused(layout), [there(x).contiguous().npu() for x in tensors], there(upstream).contiguous().npu())
    for one, other, heads in zip((out, *found), (expected, *gradients), (HEADS, HEADS, kv_heads, kv_heads), strict=True):
        close(back(one, heads), other)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_reduced_precision_is_rounded_once(dtype: torch.dtype, tolerance: float) -> None:
    compare(inputs(6, 5, 2, dtype), {}, {}, 2 * tolerance)


def test_value_may_be_narrower() -> None:
    query, key, value = inputs(3, 3)
    compare([query, key, value[..., :8].contiguous()], {}, {})


@pytest.mark.parametrize("place", range(3))
def test_empty_sequences(place: int) -> None:
    tensors = inputs(0 if place == 0 else 3, 0 if place == 1 else 3)
    out = fused()(*[x.npu() for x in tensors])
    assert out.shape == tensors[0].shape
    assert place == 2 or not out.cpu().any()


# mode, queries, keys, pre_tokens, next_tokens, the rule
MODES: list[tuple[int, int, int, int, int, Callable[[int, int], bool]]] = [
    (0, 6, 6, 99, 0, lambda i, j: j <= i),
    (0, 6, 7, 2, 3, lambda i, j: i - 2 <= j <= i + 3),
    (0, 6, 7, 9, -2, lambda i, j: j <= i - 2),
    (0, 6, 7, -2, 7, lambda i, j: j >= i + 2),
    (1, 6, 7, 0, 0, lambda i, j: (i + j) % 3 != 0),
    (2, 6, 6, 0, 9, lambda i, j: j <= i),
    (2, 6, 9, 0, 9, lambda i, j: j <= i),
    (2, 9, 6, 0, 9, lambda i, j: j <= i),
    (3, 6, 9, 0, 9, lambda i, j: j <= i + 3),
    (3, 9, 6, 0, 9, lambda i, j: j <= i - 3),
    (4, 6, 6, 2, 1, lambda i, j: i - 2 <= j <= i + 1),
    (4, 6, 9, 2, 1, lambda i, j: i + 3 - 2 <= j <= i + 3 + 1),
    (4, 9, 6, 4, 1, lambda i, j: i - 3 - 4 <= j <= i - 3 + 1),
    (4, 6, 9, 8, -1, lambda i, j: i + 3 - 8 <= j <= i + 3 - 1),
]


@pytest.mark.parametrize("case", MODES, ids=lambda case: "-".join(map(str, case[:5])))
def test_sparse_mode(case: tuple[int, int, int, int, int, Callable[[int, int], bool]]) -> None:
    mode, queries, keys, before, after, rule = case
    discard = kept_if(rule, queries, keys)
    mask = discard if mode < 2 else TEMPLATE
    options = {"atten_mask": mask, "sparse_mode": mode, "pre_tockens": before, "next_tockens": after}
    compare(inputs(queries, keys, 2), {"discard": discard}, options)


@pytest.mark.parametrize("mode", [5, 6])
@pytest.mark.parametrize(("queries", "keys", "prefix"), [(6, 6, [4, 2]), (6, 9, [5, 9]), (9, 6, [4, 0])])
def test_prefix_modes(mode: int, queries: int, keys: int, prefix: list[int]) -> None:
    rules = [kept_if(lambda i, j, n=n: j <= i + keys - queries or j < n, queries, keys) for n in prefix]
    discard = torch.stack(rules).unsqueeze(1)
    options = {"atten_mask": discard if mode == 5 else PREFIX_TEMPLATE, "sparse_mode": mode, "prefix": prefix}
    compare(inputs(queries, keys), {"discard": discard}, options)


@pytest.mark.parametrize("shape", [(2, 4, 6, 5), (2, 1, 6, 5), (1, 1, 6, 5), (6, 5)])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_shapes_and_types_of_a_mask(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    mask = drawn(*shape, seed=5) > 0.5
    compare(inputs(6, 5), {"discard": mask}, {"atten_mask": mask.to(dtype), "inner_precise": 2})


def test_without_a_mask_the_mode_has_no_effect() -> None:
    compare(inputs(4, 4), {}, {"sparse_mode": 2, "next_tockens": 0})


@pytest.mark.parametrize("inner_precise", [0, 2])
def test_rows_without_a_key(inner_precise: int) -> None:
    """They are uniform, unless the kernel is told to look for them; statistics say so."""
    query, key, value = inputs(3, 5)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1] = True
    leaves = [x.npu().requires_grad_() for x in (query, key, value)]
    out, top, total, *_ = torch_npu.npu_fusion_attention(
        *leaves, HEADS, "BNSD", scale=SCALE, atten_mask=mask.npu(), inner_precise=inner_precise
    )
    lowest = torch.finfo(torch.float32).min
    assert (top[:, :, 1] == lowest).all()
    assert (total[:, :, 1] == (-lowest if inner_precise == 2 else 5)).all()
    close(out[:, :, 1], torch.zeros(2, HEADS, 16) if inner_precise == 2 else value.double().mean(2))
    close(out[:, :, 0], attention(*[x.double() for x in (query, key, value)], scale=SCALE)[0][:, :, 0])
    out.square().sum().backward()
    assert leaves[0].grad is not None
    assert leaves[0].grad[:, :, 1].any() == (inner_precise == 0)


def test_statistics() -> None:
    tensors = inputs(3, 5, 2)
    _, top, total = attention(*[x.double() for x in tensors], scale=SCALE)
    _, found_top, found_total, reserved, *_ = torch_npu.npu_fusion_attention(*[x.npu() for x in tensors], HEADS, "BNSD", scale=SCALE)
    assert found_top.dtype == found_total.dtype == torch.float32
    assert reserved.shape == (0,)
    close(found_top, top.expand(2, HEADS, 3, 8))
    close(found_total, total.expand(2, HEADS, 3, 8))


def unpacked(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    bits = mask.cpu().unsqueeze(1) >> torch.arange(8, dtype=torch.uint8) & 1
    return bits.flatten()[: torch.Size(shape).numel()].view(shape)


@pytest.mark.parametrize("given", [False, True])
def test_dropout_uses_the_mask_of_its_seed(given: bool) -> None:
    tensors = inputs(6, 5, 2)
    leaves = [x.npu().requires_grad_() for x in tensors]
    keep_prob, shape = 0.75, (2, HEADS, 6, 5)
    like = torch.zeros(1).npu()
    options: dict[str, Any] = {}
    if given:
        mask = torch_npu._npu_dropout_gen_mask(like, shape, p=0.25, seed=7, offset=3, parallel=True, sync=False)
        options = {"dropout_mask": mask, "seed": 7, "offset": 3}
    result = torch_npu.npu_fusion_attention(*leaves, HEADS, "BNSD", scale=SCALE, keep_prob=keep_prob, **options)
    seed, offset, count = result[4:]
    assert count == 2 * HEADS * 6 * 5 if not given else (seed, offset) == (7, 3)
    mask = torch_npu._npu_dropout_gen_mask(like, shape, p=0.25, seed=seed, offset=offset, parallel=True, sync=False)
    kept = unpacked(mask, shape)
    assert 0 < kept.sum() < kept.numel()
    upstream = drawn(2, HEADS, 6, 16, seed=9)
    definition = lambda *x: attention(*x, scale=SCALE, kept=kept, keep_prob=keep_prob)[0]  # noqa: E731
    expected, gradients = with_gradients(definition, [x.double() for x in tensors], upstream.double())
    close(result[0], expected)
    if not given:  # the backward draws the mask again, for as many elements as the forward reports; a given mask leaves that at 0
        result[0].backward(upstream.npu())
        for one, other in zip([leaf.grad for leaf in leaves], gradients, strict=True):
            close(one, other)


def test_sink_takes_part_in_the_softmax_and_has_a_gradient() -> None:
    query, key, value = inputs(3, 5, 2)
    tensors = [query, key, value, torch.tensor([0.5, -1.0, 3.0, 0.0])]
    upstream = drawn(2, HEADS, 3, 16, seed=9)
    expected, gradients = with_gradients(
        lambda q, k, v, s: attention(q, k, v, scale=SCALE, sink=s)[0], [x.double() for x in tensors], upstream.double()
    )
    out, found = with_gradients(
        lambda q, k, v, s: torch_npu.npu_fusion_attention(q, k, v, HEADS, "BNSD", scale=SCALE, sink=s)[0],
        [x.npu() for x in tensors],
        upstream.npu(),
    )
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)


@pytest.mark.parametrize("shape", [(2, HEADS, 6, 5), (1, HEADS, 6, 5), (2, HEADS, 1, 5)])
@pytest.mark.parametrize("pse_type", [0, 1])
def test_given_bias_is_added_before_or_after_the_scale(shape: tuple[int, ...], pse_type: int) -> None:
    tensors, pse = inputs(6, 5), drawn(*shape, seed=4)
    out = torch_npu.npu_fusion_attention_v2(*[x.npu() for x in tensors], HEADS, "BNSD", pse=pse.npu(), scale=SCALE, pse_type=pse_type)[0]
    close(out, attention(*[x.double() for x in tensors], scale=SCALE, bias=pse.double() * (SCALE if pse_type else 1))[0])


@pytest.mark.parametrize("pse_type", [2, 3])
@pytest.mark.parametrize("batched", [False, True])
def test_bias_made_of_slopes(pse_type: int, batched: bool) -> None:
    tensors = inputs(6, 6)
    slopes = drawn(2, HEADS, seed=4).abs() if batched else drawn(HEADS, seed=4).abs()
    distance = (torch.arange(6.0) + 1 - torch.arange(6.0).unsqueeze(1) - 3).abs().double()
    bias = -slopes.double().view(-1, HEADS, 1, 1) * (distance if pse_type == 2 else distance.sqrt())
    upstream = drawn(2, HEADS, 6, 16, seed=9)
    expected, gradients = with_gradients(
        lambda *x: attention(*x, scale=SCALE, bias=bias)[0], [x.double() for x in tensors], upstream.double()
    )
    options = {"pse": slopes.npu(), "scale": SCALE, "pse_type": pse_type, "q_start_idx": [3], "kv_start_idx": [1]}
    out, found = with_gradients(
        lambda *x: torch_npu.npu_fusion_attention_v2(*x, HEADS, "BNSD", **options)[0], [x.npu() for x in tensors], upstream.npu()
    )
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)


def test_the_last_1024_rows_of_an_alibi_bias_suffice() -> None:
    length = 1030
    tensors = [x[:1] for x in inputs(length, length)]
    distance = (torch.arange(length) - torch.arange(length).unsqueeze(1)).double()
    bias = torch.tensor([0.5, 0.25, 0.125, 0.0625], dtype=torch.float64).view(1, -1, 1, 1) * distance / SCALE
    options = {"pse": bias[:, :, -1024:].float(), "atten_mask": TEMPLATE, "sparse_mode": 2}
    close(
        fused(**options)(*[x.npu() for x in tensors]),
        attention(*[x.double() for x in tensors], scale=SCALE, bias=bias * SCALE, discard=TEMPLATE[:length, :length])[0],
        1e-5,
    )


def test_above_the_diagonal_a_bias_made_of_its_last_rows_is_zero() -> None:
    whole = (torch.arange(5.0).unsqueeze(1) - torch.arange(5.0) + 1).view(1, 1, 5, 5)
    assert torch.equal(_from_last_rows(whole[:, :, 2:], 5, 5), whole.tril())


def test_gradient_of_the_bias_is_marked_as_none() -> None:
    """The device does not compute it."""
    tensors = [*inputs(3, 3), drawn(2, HEADS, 3, 3, seed=4)]
    _, gradients = with_gradients(
        lambda q, k, v, pse: torch_npu.npu_fusion_attention(q, k, v, HEADS, "BNSD", pse=pse, scale=SCALE)[0],
        [x.npu() for x in tensors],
        drawn(2, HEADS, 3, 16).npu(),
    )
    assert gradients[3].isnan().all()
    assert not any(gradient.isnan().any() for gradient in gradients[:3])


@pytest.mark.parametrize(
    ("mask", "mode", "before", "after", "prefix", "message"),
    [
        (torch.zeros(6, 6, dtype=torch.bool), 0, 9, 0, (), "promises nothing"),
        (torch.zeros(6, 6, dtype=torch.bool), 2, 9, 9, (), "compressed atten_mask"),
        (~TEMPLATE, 3, 9, 9, (), "True above the diagonal"),
        (torch.zeros(6, 5, dtype=torch.bool), 0, 9, 9, (), "is not for 6 queries"),
        (TEMPLATE, 4, -9, 9, (), "excludes every position"),
        (PREFIX_TEMPLATE, 6, 9, 9, (), "needs prefix"),
        (PREFIX_TEMPLATE, 6, 9, 9, (7, 1), "outside of"),
        (PREFIX_TEMPLATE, 6, 9, 9, (1,), "1 entries for 2 sequences"),
        (TEMPLATE, 9, 9, 9, (), "not one of 0 to 8"),
    ],
)
def test_what_a_device_would_not_answer_is_refused(
    mask: Tensor, mode: int, before: int, after: int, prefix: tuple[int, ...], message: str
) -> None:
    """Asked of the function itself: an error of the device would end the process's use of it."""
    with pytest.raises(ValueError, match=message):
        discarded(mask, mode, (2, HEADS, 6, 6), before, after, prefix)
