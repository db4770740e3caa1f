"""Coroutines called from plain code."""

import asyncio

import pytest

from harness.serving.awaiting import awaited


async def _answer(number: int) -> int:
    await asyncio.sleep(0)
    if number < 0:
        raise ValueError(number)
    return number


async def _within(number: int) -> int:
    return awaited(_answer(number))


def test_it_is_awaited_without_an_event_loop() -> None:
    assert awaited(_answer(3)) == 3


def test_it_is_awaited_from_within_an_event_loop() -> None:
    """A browser's driver in the same thread keeps one running; a notebook does."""
    assert asyncio.run(_within(4)) == 4


@pytest.mark.parametrize("call", [lambda: awaited(_answer(-1)), lambda: asyncio.run(_within(-1))])
def test_what_it_raises_is_raised(call) -> None:
    with pytest.raises(ValueError, match="-1"):
        call()
