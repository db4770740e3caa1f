"""Rows do not know of each other: alone, in a batch, in another order, packed into one row. Knows no device."""

import torch
from torch import Tensor
from torch.nn import functional

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ALL, DENSE, Stated, agree, alike, exact, hold, moved, stated
from suites.workloads.invariants.subject import gradients, logits, subject, terms, text
from suites.workloads.post_training.sft import next_token

_LENGTH = 40


def batch_invariance(inputs: Inputs, /, *, model: str) -> Step:
    """A row's logits are the same alone and in a batch of 2, 3 and 5."""
    module = subject(inputs, model)
    tokens = text(inputs, 5, _LENGTH)

    @torch.no_grad()
    def check() -> Stated:
        alone = logits(module, tokens[:1])
        said: dict[str, Tensor] = moved("other rows", logits(module, tokens[1:2]) - alone)
        for rows in (2, 3, 5):
            said |= agree(f"batch of {rows}", logits(module, tokens[:rows])[:1], alone)
        return said

    return stated(check, terms(module, _LENGTH))


def order_of_rows(inputs: Inputs, /, *, model: str) -> Step:
    """With the rows of a batch in another order, logits come in that order; the loss and every gradient are the same."""
    module = subject(inputs, model)
    tokens = text(inputs, 4, _LENGTH)
    order = [2, 0, 3, 1]

    def check() -> Stated:
        with torch.no_grad():
            right, found = logits(module, tokens), logits(module, tokens[order])
        loss, other = (next_token(module, {"tokens": rows})["loss"] for rows in (tokens, tokens[order]))
        said = {**agree("logits", found, right[order]), **agree("loss", other, loss), **moved("order", right[order] - right)}
        mine, theirs = gradients(module, loss), gradients(module, other)
        return {**said, **alike(theirs, mine, tokens.numel())}

    return stated(check, terms(module, _LENGTH, backward=True))


def gradients_of_rows_add_up(inputs: Inputs, /, *, model: str) -> Step:
    """The gradient of a batch's summed loss is the sum of the gradients of its rows."""
    module = subject(inputs, model)
    tokens = text(inputs, 3, _LENGTH)

    def summed(rows: Tensor) -> Tensor:
        return functional.cross_entropy(logits(module, rows)[:, :-1].flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")

    def check() -> Stated:
        together = gradients(module, summed(tokens))
        alone = [gradients(module, summed(tokens[i : i + 1])) for i in range(3)]
        return alike({n: torch.stack([g[n] for g in alone]).sum(0) for n in together}, together, tokens.numel())

    return stated(check, terms(module, _LENGTH, backward=True))


def packing(inputs: Inputs, /, *, model: str) -> Step:
    """Documents packed into one row, positions counted anew for each, have the logits and the loss that they have each in a row of its own.

    Not asked of DeepSeek-V4 and V3.2: the compressed blocks of the one, and the indexer of the other, as transformers has them, take one
    row for one document (huggingface/transformers 45938).
    """
    module = subject(inputs, model)
    lengths = (13, 7, 20)
    rows = [text(inputs, 1, n, f"row{n}") for n in lengths]
    packed = torch.cat(rows, 1)
    positions = torch.cat([torch.arange(n, device=packed.device) for n in lengths])[None]

    def check() -> Stated:
        found = logits(module, packed, position_ids=positions)
        alone = [logits(module, row) for row in rows]
        apart = torch.cat(alone, 1)
        ends = torch.cumsum(torch.tensor(lengths), 0).tolist()
        inner = [i for i in range(sum(lengths)) if i + 1 not in ends]
        targets = packed[0, [i + 1 for i in inner]]
        losses = [functional.cross_entropy(scores[0, inner], targets) for scores in (found, apart)]
        said = {**agree("logits", found, apart), **agree("loss", losses[0], losses[1])}
        with torch.no_grad():
            said |= moved("boundaries", logits(module, packed) - apart)
        return {**said, **alike(gradients(module, losses[0]), gradients(module, losses[1]), packed.numel())}

    return stated(check, terms(module, sum(lengths), backward=True))


def repeats(inputs: Inputs, /, *, model: str) -> Step:
    """The same pass, forward and backward, gives the same bits twice, with other work in between."""
    module = subject(inputs, model)
    tokens, other = text(inputs, 3, _LENGTH), text(inputs, 2, _LENGTH - 7, "other")

    def passes(rows: Tensor) -> dict[str, Tensor]:
        return gradients(module, next_token(module, {"tokens": rows})["loss"])

    def check() -> Stated:
        first = passes(tokens)
        passes(other)
        again = passes(tokens)
        return {k: v for name in first if first[name].any() for k, v in exact(name, again[name], first[name]).items()}

    return stated(check)


CASES = (
    *hold(batch_invariance, ALL, Cause.LEAK),
    *hold(order_of_rows, ALL, Cause.LEAK),
    *hold(gradients_of_rows_add_up, ALL, Cause.GRADIENT),
    *hold(packing, ("deepseek_v3", "qwen3_moe", *DENSE), Cause.LEAK),
    *hold(repeats, ALL, Cause.UNSTEADY),
)
