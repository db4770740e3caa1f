"""npu_fusion_attention over sequences that lie one after the other (TND): modes, statistics, dropout and rotary parts, against float64."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import torch
import torch_npu
from torch import Tensor

from emulator.ops.attention import Attention, blocks
from emulator.ops.attention_geometry import lengths
from tests.emulator.ops.attention_definition import attention, close, drawn, kept_if, with_gradients
from tests.emulator.ops.test_attention import HEADS, PREFIX_TEMPLATE, SCALE, TEMPLATE, unpacked

Rule = Callable[[int, int], bool]


def packed(q_lengths: list[int], kv_lengths: list[int], kv_heads: int = 2) -> list[Tensor]:
    shapes = ((sum(q_lengths), HEADS), (sum(kv_lengths), kv_heads), (sum(kv_lengths), kv_heads))
    return [drawn(*shape, 16, seed=seed) for seed, shape in enumerate(shapes)]


def definition(
    q_lengths: list[int], kv_lengths: list[int], rules: list[Rule] | None, **each: list[Any]
) -> Callable[[Tensor, Tensor, Tensor], list[tuple[Tensor, Tensor, Tensor]]]:
    """Each sequence alone; `each` holds an argument of the definition for every sequence."""

    def run(query: Tensor, key: Tensor, value: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        results = []
        parts = zip(query.split(q_lengths), key.split(kv_lengths), value.split(kv_lengths), strict=True)
        for index, part in enumerate(parts):
            q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in part)
            discard = None if rules is None else kept_if(rules[index], q.shape[2], k.shape[2])
            options = {name: values[index] for name, values in each.items()}
            if q.shape[2] and k.shape[2]:
                results.append(attention(q, k, v, scale=SCALE, discard=discard, **options))
            else:
                results.append((q.new_zeros(*q.shape[:3], 16), q.new_zeros(*q.shape[:3], 1), q.new_zeros(*q.shape[:3], 1)))
        return results

    return run


def joined(results: list[tuple[Tensor, Tensor, Tensor]], which: int) -> Tensor:
    return torch.cat([result[which][0].transpose(0, 1) for result in results])


def ends(sizes: list[int]) -> list[int]:
    return list(accumulate(sizes))


def compare(q_lengths: list[int], kv_lengths: list[int], rules: list[Rule] | None, options: dict[str, Any]) -> None:
    tensors = packed(q_lengths, kv_lengths)
    upstream = drawn(sum(q_lengths), HEADS, 16, seed=9)
    run = definition(q_lengths, kv_lengths, rules)
    expected, gradients = with_gradients(lambda *x: joined(run(*x), 0), [x.double() for x in tensors], upstream.double())
    moved = {name: value.npu() if isinstance(value, Tensor) else value for name, value in options.items()}
    moved |= {"actual_seq_qlen": ends(q_lengths), "actual_seq_kvlen": ends(kv_lengths), "scale": SCALE}
    out, found = with_gradients(
        lambda *x: torch_npu.npu_fusion_attention(*x, HEADS, "TND", **moved)[0], [x.npu() for x in tensors], upstream.npu()
    )
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)


def right_down(queries: int, keys: int) -> Rule:
    return lambda i, j: j <= i + keys - queries


def left_up(i: int, j: int) -> bool:
    return j <= i


@pytest.mark.parametrize("softmax_layout", ["", "TND"])
def test_without_a_mask(softmax_layout: str) -> None:
    compare([1, 4, 3], [3, 2, 5], None, {"softmax_layout": softmax_layout})


def test_one_mask_for_all_is_as_large_as_the_largest() -> None:
    mask = drawn(4, 5, seed=5) > 0.8
    rule: Rule = lambda i, j: not bool(mask[i, j])  # noqa: E731
    compare([1, 4, 3], [3, 2, 5], [rule] * 3, {"atten_mask": mask, "sparse_mode": 1, "inner_precise": 2})


@pytest.mark.parametrize(
    ("mode", "q_lengths", "kv_lengths", "before", "after", "rules"),
    [
        (2, [1, 4, 3], [3, 2, 5], 9, 9, [left_up] * 3),
        (3, [1, 4, 3], [3, 4, 5], 9, 9, [right_down(1, 3), right_down(4, 4), right_down(3, 5)]),
        (4, [2, 4], [3, 4], 2, 1, [lambda i, j: i + 1 - 2 <= j <= i + 1 + 1, lambda i, j: i - 2 <= j <= i + 1]),
        # the documentation's example: a square of 4 x 6, cut after its second row
        (7, [3, 2], [3, 6], 6, -2, [left_up, lambda i, j: j <= i + 2]),
        (3, [2, 5, 4], [6, 5, 4], 9, 9, [lambda i, j: j <= i + 4, left_up, left_up]),
        # and one of 5 x 4, of whose causal mask the second part continues the first
        (2, [3, 2], [3, 4], 9, 9, [left_up, left_up]),
        (8, [3, 5, 4], [4, 5, 4], 4, 1, [lambda i, j: j <= i + 2, left_up, left_up]),
    ],
)
def test_sparse_mode(mode: int, q_lengths: list[int], kv_lengths: list[int], before: int, after: int, rules: list[Rule]) -> None:
    compare(q_lengths, kv_lengths, rules, {"atten_mask": TEMPLATE, "sparse_mode": mode, "pre_tockens": before, "next_tockens": after})


def test_prefix() -> None:
    rules: list[Rule] = [lambda i, j: j <= i + 1 or j < 3, lambda i, j: j <= i or j < 2]
    compare([3, 4], [4, 4], rules, {"atten_mask": PREFIX_TEMPLATE, "sparse_mode": 6, "prefix": [3, 2]})


def test_sequences_without_queries_or_keys() -> None:
    compare([2, 0, 2, 1], [2, 3, 0, 4], [left_up] * 4, {"atten_mask": TEMPLATE, "sparse_mode": 2})


def test_zeros_at_the_tail_are_no_sequences() -> None:
    assert lengths([2, 5, 9, 0, 0]) == [2, 3, 4, 0, 0]
    with pytest.raises(ValueError, match="cumulative"):
        lengths([2, 1])


@pytest.mark.parametrize("softmax_layout", ["", "TND"])
def test_layout_of_statistics(softmax_layout: str) -> None:
    """By default one [N, S, 8] after the other, whatever the shape says; as the input only if asked for."""
    sizes = [2, 4, 3]
    tensors = packed(sizes, sizes)
    options = {"actual_seq_qlen": ends(sizes), "actual_seq_kvlen": ends(sizes), "scale": SCALE, "softmax_layout": softmax_layout}
    found = torch_npu.npu_fusion_attention(*[x.npu() for x in tensors], HEADS, "TND", **options)[1:3]
    results = definition(sizes, sizes, None)(*[x.double() for x in tensors])
    for which, statistic in enumerate(found, start=1):
        assert statistic.shape == (9, HEADS, 8)
        if softmax_layout:
            close(statistic, joined(results, which).expand(9, HEADS, 8))
        else:
            close(statistic.flatten(), torch.cat([result[which].expand(1, HEADS, -1, 8).flatten() for result in results]))


def test_dropout_masks_lie_one_after_the_other() -> None:
    q_lengths, kv_lengths, count = [1, 4, 3], [3, 2, 5], HEADS * (3 + 8 + 15)
    tensors = packed(q_lengths, kv_lengths)
    leaves = [x.npu().requires_grad_() for x in tensors]
    options = {"actual_seq_qlen": ends(q_lengths), "actual_seq_kvlen": ends(kv_lengths), "scale": SCALE, "keep_prob": 0.75}
    result = torch_npu.npu_fusion_attention(*leaves, HEADS, "TND", **options)
    seed, offset, drawn_count = result[4:]
    assert drawn_count == count
    mask = torch_npu._npu_dropout_gen_mask(torch.zeros(1).npu(), [count], p=0.25, seed=seed, offset=offset, parallel=True, sync=False)
    bits = unpacked(mask, (count,)).split([HEADS * a * b for a, b in zip(q_lengths, kv_lengths, strict=True)])
    kept = [part.view(1, HEADS, a, b) for part, a, b in zip(bits, q_lengths, kv_lengths, strict=True)]
    run = definition(q_lengths, kv_lengths, None, kept=kept, keep_prob=[0.75] * 3)
    upstream = drawn(8, HEADS, 16, seed=9)
    expected, gradients = with_gradients(lambda *x: joined(run(*x), 0), [x.double() for x in tensors], upstream.double())
    result[0].backward(upstream.npu())
    for one, other in zip((result[0], *[leaf.grad for leaf in leaves]), (expected, *gradients), strict=True):
        close(one, other)


def test_sink() -> None:
    sizes = [2, 3]
    tensors = [*packed(sizes, sizes), torch.tensor([0.5, -1.0, 3.0, 0.0])]
    upstream = drawn(5, HEADS, 16, seed=9)
    expected, gradients = with_gradients(
        lambda q, k, v, s: joined(definition(sizes, sizes, None, sink=[s, s])(q, k, v), 0), [x.double() for x in tensors], upstream.double()
    )
    options = {"actual_seq_qlen": ends(sizes), "actual_seq_kvlen": ends(sizes), "scale": SCALE}
    out, found = with_gradients(
        lambda q, k, v, s: torch_npu.npu_fusion_attention(q, k, v, HEADS, "TND", sink=s, **options)[0],
        [x.npu() for x in tensors],
        upstream.npu(),
    )
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)


def test_rotary_parts_are_more_columns_of_query_and_key() -> None:
    sizes = [2, 3]
    query, key, value = packed(sizes, sizes)
    tensors = [query, key, value, drawn(5, HEADS, 8, seed=4), drawn(5, 2, 8, seed=5)]
    upstream = drawn(5, HEADS, 16, seed=9)
    run = definition(sizes, sizes, [left_up] * 2)
    expected, gradients = with_gradients(
        lambda q, k, v, qr, kr: joined(run(torch.cat((q, qr), -1), torch.cat((k, kr), -1), v), 0),
        [x.double() for x in tensors],
        upstream.double(),
    )
    options = {"actual_seq_qlen": ends(sizes), "actual_seq_kvlen": ends(sizes), "scale": SCALE}
    options |= {"atten_mask": TEMPLATE.npu(), "sparse_mode": 2}
    out, found = with_gradients(
        lambda q, k, v, qr, kr: torch_npu.npu_fusion_attention_v2(q, k, v, HEADS, "TND", query_rope=qr, key_rope=kr, **options)[0],
        [x.npu() for x in tensors],
        upstream.npu(),
    )
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)


def test_version_3_takes_lengths_as_tensors() -> None:
    sizes = [2, 3]
    tensors = packed(sizes, sizes)
    seq = torch.tensor(ends(sizes))
    out = torch_npu.npu_fusion_attention_v3(
        *[x.npu() for x in tensors], HEADS, "TND", scale=SCALE, actual_seq_qlen=seq, actual_seq_kvlen=seq
    )[0]
    close(out, joined(definition(sizes, sizes, None)(*[x.double() for x in tensors]), 0))


def test_a_query_without_a_key_is_refused() -> None:
    query, key, value = packed([3], [2])
    call = Attention(query, key, value, None, None, None, TEMPLATE, (), SCALE, 1.0, 9, 9, HEADS, "TND", 0, 3, q_ends=(3,), kv_ends=(2,))
    with pytest.raises(ValueError, match="leaves a query without a key"):
        list(blocks(call))
