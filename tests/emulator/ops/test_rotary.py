"""Rotary position embedding by rotation of complex numbers, in float64, against the device's operators, forward and backward."""

import pytest
import torch
import torch_npu
from torch import Tensor

from tests.emulator.ops.attention_definition import close, drawn, with_gradients


def angles(*shape: int) -> Tensor:
    """One angle for each pair."""
    return drawn(*shape, seed=7).double()


def turned(first: Tensor, second: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate the pairs (first, second) as complex numbers."""
    result = torch.complex(first, second) * torch.polar(torch.ones_like(angle), angle)
    return result.real, result.imag


def tables(angle: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """The cosines and sines that the operators take, each angle twice."""
    whole = torch.cat((angle, angle), dim=-1) if mode == "half" else angle.repeat_interleave(2, dim=-1)
    return whole.cos(), whole.sin()


def rotated(x: Tensor, angle: Tensor, mode: str) -> Tensor:
    if mode == "half":
        return torch.cat(turned(*x.chunk(2, dim=-1), angle), dim=-1)
    return torch.stack(turned(x[..., ::2], x[..., 1::2], angle), dim=-1).flatten(-2)


@pytest.mark.parametrize("mode", ["half", "interleave"])
@pytest.mark.parametrize("broadcast", [(1, 6, 1), (2, 6, 1), (2, 6, 4)])
def test_rotary_mul(mode: str, broadcast: tuple[int, ...]) -> None:
    x, angle, upstream = drawn(2, 6, 4, 16), angles(*broadcast, 8), drawn(2, 6, 4, 16, seed=9)
    expected, gradients = with_gradients(lambda y: rotated(y, angle, mode), [x.double()], upstream.double())
    cos, sin = (table.float().npu() for table in tables(angle, mode))
    out, found = with_gradients(lambda y: torch_npu.npu_rotary_mul(y, cos, sin, mode), [x.npu()], upstream.npu())
    close(out, expected)
    close(found[0], gradients[0])


@pytest.mark.parametrize("mode", ["half", "interleave"])
def test_gradients_of_the_tables(mode: str) -> None:
    x, upstream = drawn(2, 6, 4, 16), drawn(2, 6, 4, 16, seed=9)
    tensors = [x, *(table.float() for table in tables(angles(1, 6, 1, 8), mode))]

    def definition(y: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        quarter = torch.full((8,), torch.pi / 2, dtype=torch.float64)
        return y * cos + rotated(y, quarter, mode) * sin

    expected, gradients = with_gradients(definition, [y.double() for y in tensors], upstream.double())
    out, found = with_gradients(lambda *y: torch_npu.npu_rotary_mul(*y, mode), [y.npu() for y in tensors], upstream.npu())
    for one, other in zip((out, *found), (expected, *gradients), strict=True):
        close(one, other)


def test_three_dimensions_and_a_rotation_matrix() -> None:
    x, angle = drawn(6, 4, 16), angles(6, 1, 8)
    cos, sin = (table.float() for table in tables(angle, "half"))
    matrix = torch.zeros(16, 16)
    matrix[torch.arange(8) + 8, torch.arange(8)], matrix[torch.arange(8), torch.arange(8) + 8] = -1, 1
    close(torch_npu.npu_rotary_mul(x.npu(), cos.npu(), sin.npu()), rotated(x.double(), angle, "half"))
    close(torch_npu.npu_rotary_mul(x.npu(), cos.npu(), sin.npu(), rotate=matrix.npu()), rotated(x.double(), angle, "half"))


def test_tables_are_rounded_to_the_type_of_the_input() -> None:
    x, angle = drawn(2, 6, 4, 16, dtype=torch.bfloat16), angles(1, 6, 1, 8)
    cos, sin = tables(angle, "half")
    out = torch_npu.npu_rotary_mul(x.npu(), cos.float().npu(), sin.float().npu())
    low = [table.bfloat16().double() for table in (cos, sin)]
    first, second = x.double().chunk(2, dim=-1)
    expected = x.double() * low[0] + torch.cat((-second, first), dim=-1) * low[1]
    assert torch.equal(out.cpu(), expected.float().bfloat16())


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize("width", [16, 12])
def test_apply_rotary_pos_emb_overwrites_both(layout: str, width: int) -> None:
    query, key, angle = drawn(2, 6, 4, 16), drawn(2, 6, 2, 16, seed=1), angles(2, 6, 1, width // 2)
    expected = [torch.cat((rotated(x[..., :width].double(), angle, "half"), x[..., width:].double()), dim=-1) for x in (query, key)]
    arguments = [query, key, *(table.float() for table in tables(angle, "half"))]
    if layout == "TND":
        arguments, expected = ([x.flatten(0, 1) for x in given] for given in (arguments, expected))
    moved = [x.npu() for x in arguments]
    out = torch_npu.npu_apply_rotary_pos_emb(*moved, layout)
    for one, other, place in zip(out, expected, moved[:2], strict=True):
        close(one, other)
        assert one.data_ptr() == place.data_ptr()


def test_interleave_rope_moves_pairs_apart() -> None:
    x, angle = drawn(2, 4, 6, 64), angles(2, 1, 6, 32)
    cos, sin = (table.float().npu() for table in tables(angle, "half"))
    expected = torch.cat(turned(x[..., ::2].double(), x[..., 1::2].double(), angle), dim=-1)
    close(torch_npu.npu_interleave_rope(x.npu(), cos, sin), expected)


@pytest.mark.parametrize("mode", ["half", "interleave"])
@pytest.mark.parametrize("width", [16, 12])
def test_rope_from_a_cache(mode: str, width: int) -> None:
    angle = angles(32, width // 2)
    positions, query, key = torch.tensor([3, 0, 31, 5, 5]), drawn(5, 3 * 16), drawn(5, 16, seed=1)
    cache = torch.cat((angle.cos(), angle.sin()), dim=-1).float()
    out = torch_npu.npu_mrope(positions.npu(), query.npu(), key.npu(), cache.npu(), 16, rotary_mode=mode)
    for one, given in zip(out, (query, key), strict=True):
        heads = given.double().view(5, -1, 16)
        expected = torch.cat((rotated(heads[..., :width], angle[positions].unsqueeze(1), mode), heads[..., width:]), dim=-1)
        close(one, expected.view(given.shape))


@pytest.mark.parametrize(
    ("sections", "cache_mode", "axes"),
    [
        ([2, 3, 3], "default", [0, 0, 1, 1, 1, 2, 2, 2]),
        ([2, 2, 2, 2], "default", [0, 0, 1, 1, 2, 2, 3, 3]),
        ([4, 2, 2], "interleave", [0, 1, 2, 0, 1, 2, 0, 0]),
    ],
)
def test_rope_of_several_positions(sections: list[int], cache_mode: str, axes: list[int]) -> None:
    angle = angles(32, 8)
    positions = torch.arange(len(sections) * 5).reshape(-1, 5) * 7 % 32
    query, key = drawn(5, 3 * 16), drawn(5, 16, seed=1)
    cache = torch.cat((angle.cos(), angle.sin()), dim=-1).float()
    out = torch_npu.npu_mrope(positions.npu(), query.npu(), key.npu(), cache.npu(), 16, mrope_section=sections, cache_mode=cache_mode)
    chosen = torch.stack([angle[positions[axis], column] for column, axis in enumerate(axes)], dim=-1)
    for one, given in zip(out, (query, key), strict=True):
        close(one, rotated(given.double().view(5, -1, 16), chosen.unsqueeze(1), "half").view(given.shape))
