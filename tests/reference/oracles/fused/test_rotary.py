"""Rotation by tables against complex products, and what must hold of it."""

import pytest
import torch

from reference.oracles.fused import rotary as oracle
from reference.oracles.rotary import rotary
from tests.reference.oracles.drawing import drawn

ANGLES = drawn(5, 4)
HALF = torch.cat([ANGLES, ANGLES], -1)
PAIRS = ANGLES.repeat_interleave(2, -1)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_by_halves_is_the_complex_product() -> None:
    x = drawn(2, 5, 8, seed=1)
    close(oracle.rotary_mul(x, HALF.cos(), HALF.sin()), rotary(x, ANGLES))


def test_by_neighbours_is_the_complex_product_of_pairs() -> None:
    x = drawn(5, 8, seed=1)
    turned = torch.view_as_complex(x.unflatten(-1, (4, 2)).contiguous()) * torch.polar(torch.ones_like(ANGLES), ANGLES)
    close(oracle.rotary_mul(x, PAIRS.cos(), PAIRS.sin(), "interleave"), torch.view_as_real(turned).flatten(-2))


@pytest.mark.parametrize(("mode", "angles"), [("half", HALF), ("interleave", PAIRS)])
def test_four_quarters_are_a_whole_turn_and_lengths_stay(mode: str, angles: torch.Tensor) -> None:
    x = drawn(5, 8, seed=1)
    turned = x
    for _ in range(4):
        turned = oracle.quarter_turn(turned, mode)
    assert torch.equal(turned, x)
    close(oracle.rotary_mul(x, angles.cos(), angles.sin(), mode).norm(dim=-1), x.norm(dim=-1))


def test_both_operands_are_turned_in_place() -> None:
    query, key = drawn(1, 5, 2, 8), drawn(1, 5, 1, 8, seed=1)
    before = query.clone()
    cosine, sine = HALF.cos()[None, :, None], HALF.sin()[None, :, None]
    out, _ = oracle.apply_rotary_pos_emb(query, key, cosine, sine)
    assert out is query
    close(query, oracle.rotary_mul(before, cosine, sine))


def test_interleaved_rope_is_the_rotation_of_pairs_sorted() -> None:
    x = drawn(5, 8, seed=1)
    pairs = oracle.rotary_mul(x, PAIRS.cos(), PAIRS.sin(), "interleave")
    close(oracle.interleave_rope(x, HALF.cos(), HALF.sin()), torch.cat([pairs[:, ::2], pairs[:, 1::2]], -1))


@pytest.mark.parametrize("mode", ["half", "interleave"])
def test_a_cache_is_read_at_the_positions_and_the_rest_of_a_head_is_left(mode: str) -> None:
    cache, positions = torch.cat([ANGLES.cos(), ANGLES.sin()], -1), torch.tensor([3, 0])
    query = drawn(2, 20)
    out, _ = oracle.mrope(positions, query, query[:, :10], cache, 10, rotary_mode=mode)
    angles = (HALF if mode == "half" else PAIRS)[positions]
    for head in (slice(0, 10), slice(10, 20)):
        part, found = query[:, head], out[:, head]
        close(found[:, :8], oracle.rotary_mul(part[:, :8], angles.cos(), angles.sin(), mode))
        assert torch.equal(found[:, 8:], part[:, 8:])
