import numpy as np
import pytest

from emulator.philox import long_words, philox, uniform, words

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    a, b, c, d = (np.array([word], np.uint64) for word in counter)
    assert tuple(int(word[0]) for word in philox((a, b, c, d), key)) == expected


def test_layout_offset_is_the_low_half_block_the_high_half_seed_the_key():
    seed, offset, block = 0x0123456789ABCDEF, 0xFEDCBA9876543210, 20_000
    counter = (offset & ONES, offset >> 32, block, 0)
    a, b, c, d = (np.array([word], np.uint64) for word in counter)
    expected = philox((a, b, c, d), (seed & ONES, seed >> 32))
    assert words(4 * block + 4, seed, offset)[4 * block :].tolist() == [int(word[0]) for word in expected]


def test_a_shorter_draw_is_the_beginning_of_a_longer_one():
    assert words(1001, 7, 4).tolist() == words(70_000, 7, 4)[:1001].tolist()


def test_seed_and_offset_as_the_signed_numbers_that_c_passes():
    assert words(8, -1, -1).tolist() == words(8, (1 << 64) - 1, (1 << 64) - 1).tolist()


@pytest.mark.parametrize(("seed", "offset"), [(1, 0), (0, 4), (1 << 40, 0), (0, 1 << 40)])
def test_other_seed_or_offset_gives_other_words(seed, offset):
    assert not np.any(words(64, seed, offset) == words(64, 0, 0))


def test_long_words_are_pairs_and_none_is_nothing():
    short = words(4, 3, 8)
    assert long_words(2, 3, 8).tolist() == [int(short[0]) | int(short[1]) << 32, int(short[2]) | int(short[3]) << 32]
    assert words(0, 3, 8).shape == (0,)


def test_uniform_is_in_the_half_open_interval():
    drawn = uniform(100_000, 5, 0)
    assert drawn.min() >= 0
    assert drawn.max() < 1
