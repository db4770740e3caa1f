"""Which engine answers: the candidate's own, behind an endpoint, or one in this process over a placed model. Knows no question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.inputs import Inputs
from harness.serving.engine import Engine, Ids, NotServed
from suites.assets.language_model import load, tokenizer_of
from suites.serving.in_process import InProcess
from suites.workloads.model import arithmetic, place

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Opened:
    """An engine, the tokenizer of the model that it is said to serve, and what a report tells of it. `remote`: it is behind an endpoint."""

    engine: Engine
    tokenizer: PreTrainedTokenizerBase
    remote: bool
    facts: Mapping[str, object]


def behind(inputs: Inputs, model: str) -> Opened | None:
    """Return the candidate's own engine behind an endpoint, or None on any other side. Raises AssayError: no tokenizer."""

    def text_of(ids: Ids) -> str:
        return _text(tokenizer, ids)

    remote = inputs.engine(text_of)
    if remote is None:
        return None
    tokenizer = tokenizer_of(model)
    inputs.unseen("weights")
    return Opened(remote, tokenizer, True, {"model": model})


def opened(inputs: Inputs, model: str) -> Opened:
    """Return the engine of this side. Raises AssayError when the model, or for an endpoint its tokenizer, cannot be loaded."""
    if found := behind(inputs, model):
        return found
    language_model = load(model)
    module = place(inputs, language_model.module)
    engine = InProcess(module, language_model.tokenizer, lambda: arithmetic(inputs))
    return Opened(engine, language_model.tokenizer, False, {"model": language_model.name, "source": language_model.source})


def _text(tokenizer: PreTrainedTokenizerBase, ids: Ids) -> str:
    """Return the text of token ids. Raises NotServed where the text has other tokens: then nothing could be compared."""
    text = tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
    if tokenizer.encode(text, add_special_tokens=False) != list(ids):
        raise NotServed("the server takes text only, and the text of this prompt has other tokens than the prompt")
    return str(text)
