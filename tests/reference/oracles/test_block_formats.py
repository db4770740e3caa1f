"""Tests of the block formats: against torch's own float8, tables written out, and the bounds that the module proves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.inputs import draw_integers, draw_normal
from reference.oracles.block_formats import (
    ACTIVATION_BLOCK,
    E2M1,
    E4M3,
    E5M2,
    FP8_ACTIVATIONS,
    FP8_ENTRIES,
    LOSSLESS_SPREAD,
    MX_BLOCK,
    MXFP4,
    MXFP8,
    WEIGHT_BLOCK,
    Blocks,
    Rule,
    bound,
    codes,
    dequantise,
    exponent,
    power_of_two,
    quantise,
    round_trip,
    scale_bits,
    spread_of_scales,
    to_element,
)  # fmt: skip

TORCH = {E4M3: torch.float8_e4m3fn, E5M2: torch.float8_e5m2}
FOUR_BITS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
FORMATS = [(E2M1, MX_BLOCK), (E4M3, MX_BLOCK), (E4M3, WEIGHT_BLOCK), (E4M3, ACTIVATION_BLOCK)]


def values(seed: int, rows: int, columns: int, orders: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Draw values that lie up to about `orders` binary orders apart."""
    size, powers = (torch.from_numpy(draw_normal(seed, name, rows * columns)) for name in ("size", "powers"))
    return (size * torch.exp2(orders * powers / 3)).reshape(rows, columns).to(dtype)


@pytest.mark.parametrize("element", [E4M3, E5M2])
def test_every_number_of_eight_bits_is_itself_and_has_torchs_bits(element) -> None:
    bits = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    numbers = bits.view(TORCH[element]).float()
    finite = torch.isfinite(numbers)
    assert torch.equal(to_element(numbers[finite], element), numbers[finite])
    assert torch.equal(codes(numbers[finite], element), bits[finite])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([E4M3, E5M2]), st.sampled_from([torch.float32, torch.float64]))
def test_rounds_as_torch_does(seed, element, dtype) -> None:
    t = values(seed, 1, 200, 20).float().clamp(-element.limit, element.limit)
    assert torch.equal(to_element(t.to(dtype), element).float(), t.to(TORCH[element]).float())


def test_four_bits_round_to_the_nearest_and_ties_to_even() -> None:
    t = torch.tensor([0.25, 0.26, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 5.1, 7.0, -0.25, -0.3])
    expected = torch.tensor([0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0, 0.0, -0.5])
    assert torch.equal(to_element(t, E2M1), expected)
    assert torch.equal(codes(torch.cat([FOUR_BITS, -FOUR_BITS]), E2M1), torch.arange(16, dtype=torch.uint8))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.sampled_from(FORMATS), st.sampled_from(list(Rule)), st.floats(0, 40), st.booleans())
def test_round_trip_stays_within_its_bound(seed, form, rule, orders, wide) -> None:
    (element, block), dtype = form, torch.float64 if wide else torch.float32
    x = values(seed, 5, 150, orders, dtype)
    blocks = quantise(x, element, block, rule)
    error = (dequantise(blocks, block).double() - x.double()).abs()
    assert bool((error <= bound(x, blocks.scale, element, block, rule).double()).all())


@pytest.mark.parametrize(("element", "worst"), [(E2M1, 1.25), (E4M3, 1.0625)])
def test_the_bound_is_reached(element, worst) -> None:
    x = torch.full((1, 32), worst)
    x[0, 0] = element.limit
    blocks = quantise(x, element, MX_BLOCK, Rule.CEILING)
    error = (dequantise(blocks, MX_BLOCK) - x).abs()[0, 1]
    assert error == pytest.approx(float(bound(x, blocks.scale, element, MX_BLOCK, Rule.CEILING)[0, 1]), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from(FORMATS), st.sampled_from([Rule.FLOOR, Rule.CEILING]))
def test_a_second_round_trip_changes_nothing(seed, form, rule) -> None:
    element, block = form
    once = round_trip(values(seed, 4, 140, 8), element, block, rule)
    assert torch.equal(round_trip(once, element, block, rule), once)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from(FORMATS), st.sampled_from([Rule.FLOOR, Rule.CEILING]))
def test_float64_gives_the_same_codes_and_scales(seed, form, rule) -> None:
    element, block = form
    x = values(seed, 4, 140, 8)
    narrow, wide = quantise(x, element, block, rule), quantise(x.double(), element, block, rule)
    assert torch.equal(narrow.numbers.double(), wide.numbers)
    assert torch.equal(narrow.scale.double(), wide.scale)
    assert torch.equal(codes(narrow.numbers, element), codes(wide.numbers, element))


@pytest.mark.parametrize(("largest", "floor", "ceiling"), [(6.0, 0, 0), (6.1, 0, 1), (7.9, 0, 1), (4.0, 0, 0), (3.0, -1, -1), (3.1, -1, 0)])
def test_scales_of_four_bits(largest, floor, ceiling) -> None:
    x = torch.full((1, 32), largest)
    for rule, power in ((Rule.FLOOR, floor), (Rule.CEILING, ceiling)):
        scale = quantise(x, E2M1, MX_BLOCK, rule).scale
        assert scale.tolist() == [[2.0**power]]
        assert scale_bits(scale).tolist() == [[power + 127]]


def test_zeros_come_back_as_zeros_and_the_least_scale() -> None:
    for rule in Rule:
        blocks = quantise(torch.zeros(2, 40), E2M1, MX_BLOCK, rule)
        assert not dequantise(blocks, MX_BLOCK).any()
    assert scale_bits(quantise(torch.zeros(1, 32), E2M1, MX_BLOCK, Rule.FLOOR).scale).tolist() == [[0]]


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_block_with_what_is_not_finite_has_nothing_finite(rule, bad) -> None:
    x = torch.ones(1, 64)
    x[0, 3] = bad
    back = round_trip(x, E4M3, MX_BLOCK, rule)
    assert not torch.isfinite(back[0, :32]).all()
    assert torch.isfinite(back[0, 32:]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_powers_of_two_are_exact(dtype) -> None:
    powers = torch.arange(-127, 128)
    made = power_of_two(powers, torch.zeros((), dtype=dtype))
    assert made.dtype is dtype
    assert made.tolist() == [2.0**p for p in range(-127, 128)]
    assert torch.equal(exponent(made * 1.5)[1:], powers[1:])


def in_four_bits(seed: int, spread: int) -> Blocks:
    """MXFP4 of a 128 x 256 matrix whose scales span exactly `spread` binary orders in its first block; the smallest has 1/2 and 6 in it."""
    numbers = FOUR_BITS[torch.from_numpy(draw_integers(seed, "numbers", 128 * 256, 0, 8))].reshape(128, 256)
    numbers[:, ::32], numbers[:, 1::32] = 6.0, 0.5
    powers = torch.from_numpy(draw_integers(seed, "powers", 128 * 8, 0, spread + 1)).reshape(128, 8)
    powers[0, 0], powers[1, 1] = 0, spread
    return Blocks(numbers, torch.exp2(powers.float() - 20))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(0, LOSSLESS_SPREAD))
def test_four_bits_go_to_eight_without_loss(seed, spread) -> None:
    blocks = in_four_bits(seed, spread)
    x = dequantise(blocks, MX_BLOCK)
    assert int(spread_of_scales(blocks)[0, 0]) == spread
    assert torch.equal(round_trip(x, E4M3, WEIGHT_BLOCK, Rule.CEILING), x)


def test_beyond_that_spread_something_is_lost() -> None:
    x = dequantise(in_four_bits(0, LOSSLESS_SPREAD + 1), MX_BLOCK)
    assert not torch.equal(round_trip(x, E4M3, WEIGHT_BLOCK, Rule.CEILING), x)


def test_blocks_of_zeros_do_not_count_in_the_spread() -> None:
    x = values(0, 128, 128, 2)
    x[:, 32:64] = 0.0
    assert int(spread_of_scales(quantise(x, E2M1, MX_BLOCK, Rule.CEILING)).max()) < 10


CODES = {E2M1: FOUR_BITS.double(), E4M3: torch.arange(127, dtype=torch.int32).to(torch.uint8).view(torch.float8_e4m3fn).double()}
FORMATS_BY_NAME = {"mxfp8": MXFP8, "mxfp4": MXFP4, "entries": FP8_ENTRIES, "activations": FP8_ACTIVATIONS}


def by_hand(block: list[float], numbers: torch.Tensor, rule: Rule) -> list[float]:
    """Quantise a block in Python, by a search among all codes: the scale by its rule, then the nearest number, ties to the even code."""
    largest, limit = max(abs(x) for x in block), float(numbers[-1])
    power = math.frexp(largest)[1] - math.frexp(limit)[1]
    if rule is Rule.CEILING and largest > limit * 2.0**power:
        power += 1
    found = []
    for x in block:
        away = (numbers - abs(x) / 2.0**power).abs()
        near = [code for code, distance in enumerate(away.tolist()) if distance == float(away.min())]
        found.append(math.copysign(float(numbers[min(near, key=lambda code: code % 2)]) * 2.0**power, x))
    return found


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from(sorted(FORMATS_BY_NAME)), st.floats(0, 30))
def test_formats_are_what_a_search_among_all_codes_finds(seed, name, orders) -> None:
    form = FORMATS_BY_NAME[name]
    columns = form.block[1]
    x = values(seed, 1, 2 * columns - 7, orders)
    expected = [y for begin in (0, columns) for y in by_hand(x[0, begin : begin + columns].tolist(), CODES[form.element], form.rule)]
    assert form.round_trip(x)[0].tolist() == expected
    assert form.round_trip(x[0]).tolist() == expected


@pytest.mark.parametrize("form", [MXFP8, MXFP4])
def test_every_code_at_every_scale_comes_back(form) -> None:
    codes_of = CODES[form.element].float()
    numbers = torch.cat([codes_of, -codes_of])
    filled = torch.nn.functional.pad(numbers, (0, -len(numbers) % 31)).reshape(-1, 31)
    blocks = torch.cat([torch.full((len(filled), 1), form.element.limit), filled], 1)
    for power in range(-110, 110, 11):
        x = blocks * 2.0**power
        assert torch.equal(form.round_trip(x), x)
        assert (form.quantise(x).scale == 2.0**power).all()


def test_a_format_keeps_the_dtype_and_knows_bfloat16() -> None:
    x = values(0, 3, 70, 4).bfloat16()
    assert MXFP4.round_trip(x).dtype is torch.bfloat16
    assert torch.equal(MXFP4.round_trip(x).float(), MXFP4.round_trip(x.float()))
