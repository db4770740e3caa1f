"""Preference pairs of real text: how a passage goes on, against how another one does. Knows no model; a tokenizer is handed in.

Nobody was asked what they prefer: that a text goes on as it did is the one preference that real text has by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from harness.errors import AssayError
from harness.inputs import draw_integers
from suites.assets.corpus import passages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHARE_LONG = 4  # of so many passages at least one is expected to be long enough


@dataclass(frozen=True)
class Preference:
    """Token ids of a prompt, of the completion that is preferred, and of the one that is not. None of them is empty."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


def preferences(tokenizer: PreTrainedTokenizerBase, count: int, length: int, start: int = 0) -> list[Preference]:
    """Return `count` preferences, each completion with its prompt at most `length` (8 or more) tokens, the same on every machine.

    A prompt begins a passage; the chosen completion is how that passage goes on, the rejected one what stands at the same place of
    the next passage. Prompts have a quarter to a half of `length` tokens, completions a half to all of what is left. Passages that are
    shorter than `length` are passed over, and the first `start` preferences are left out. Raises AssayError where too few passages
    are long enough.
    """
    wanted = start + count + 1
    texts = list(islice(_long(tokenizer, _SHARE_LONG * wanted, length), wanted))
    if len(texts) < wanted:
        raise AssayError(
            f"{start + count} preferences of {length} tokens asked for, of {_SHARE_LONG * wanted} passages {len(texts)} are so long; "
            "ask for fewer or shorter ones"
        )
    return [_preference(i, texts[i], texts[i + 1], length) for i in range(start, start + count)]


def _long(tokenizer: PreTrainedTokenizerBase, among: int, length: int) -> Iterator[list[int]]:
    for passage in passages(among):
        tokens = tokenizer.encode(passage, add_special_tokens=False)
        if len(tokens) >= length:
            yield tokens


def _preference(number: int, text: list[int], other: list[int], length: int) -> Preference:
    prompt = _drawn(f"prompt-{number}", length // 4, length // 2)
    left = length - prompt
    chosen, rejected = (_drawn(f"{which}-{number}", left // 2, left) for which in ("chosen", "rejected"))
    return Preference(tuple(text[:prompt]), tuple(text[prompt : prompt + chosen]), tuple(other[prompt : prompt + rejected]))


def _drawn(name: str, least: int, most: int) -> int:
    return int(draw_integers(0, f"preferences/{name}", 1, least, most + 1)[0])
