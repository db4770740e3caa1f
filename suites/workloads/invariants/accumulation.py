"""Gradients: gathered in portions, recomputed, tied, and there for every parameter. Knows no device."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ALL, Stated, agree, alike, exact, hold, moved, present, stated
from suites.workloads.invariants.subject import gradients, subject, terms, text
from suites.workloads.post_training.sft import next_token

_LENGTH = 40

#: Parameters that transformers gives no gradient to, by the ends of their names: the indexer selects, and a choice has no derivative; its
#: own loss (DeepSeek-V3.2, arXiv 2512.02556, equations 3 and 4) is left out there, as in pytorch/torchtitan 4802.
UNTRAINED = re.compile(r"\.indexer\.")


def accumulated(micro: Sequence[Tensor], model: Any) -> dict[str, Tensor]:
    """Return the gradients of the mean loss over all targets of several micro-batches, each weighed by how many it has of them."""
    total = sum(rows[:, 1:].numel() for rows in micro)
    model.zero_grad(set_to_none=True)
    for rows in micro:
        torch.autograd.backward(next_token(model, {"tokens": rows})["loss"] * (rows[:, 1:].numel() / total))
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


def accumulation(inputs: Inputs, /, *, model: str) -> Step:
    """Gradients gathered over micro-batches of unequal size are those of the whole batch: each token counts the same."""
    module = subject(inputs, model)
    tokens = text(inputs, 4, _LENGTH)

    def check() -> Stated:
        whole = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        found = accumulated([tokens[:1], tokens[1:3], tokens[3:]], module)
        return alike(found, whole, tokens.numel())

    return stated(check, terms(module, _LENGTH, backward=True))


def recomputation(inputs: Inputs, /, *, model: str) -> Step:
    """Activations computed again in the backward pass (Chen et al., arXiv 1604.06174) give the same loss and gradients, bit for bit."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)
    calls: list[int] = []

    def check() -> Stated:
        handle = module.model.layers[0].self_attn.register_forward_pre_hook(lambda *_: calls.append(1))
        module.train()  # nothing drops; transformers recomputes in training mode only
        losses, found, counted = [], [], []
        for recompute in (False, True):
            if recompute:
                _recompute(module, "enable", {"use_reentrant": False})
            calls.clear()
            loss = next_token(module, {"tokens": tokens})["loss"]
            found.append(gradients(module, loss))
            losses.append(loss)
            counted.append(len(calls))
        _recompute(module, "disable")
        module.eval()
        handle.remove()
        said = {**exact("loss", losses[1], losses[0]), **moved("recomputed layers", torch.tensor(counted[1] - counted[0]))}
        return said | {k: v for n in found[0] if found[0][n].any() for k, v in exact(n, found[1][n], found[0][n]).items()}

    return stated(check)


def _recompute(module: Any, what: str, *arguments: object) -> None:
    """Switch recomputation on or off; transformers is about to give it another name."""
    (getattr(module, f"activation_checkpointing_{what}", None) or getattr(module, f"gradient_checkpointing_{what}"))(*arguments)


def every_parameter_learns(inputs: Inputs, /, *, model: str) -> Step:
    """Every trainable parameter receives a gradient that is not zero, but for those that are known to have none (`UNTRAINED`)."""
    module = subject(inputs, model)
    tokens = text(inputs, 4, 64)

    def check() -> Stated:
        found = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        return {k: v for n, g in found.items() if not UNTRAINED.search(n) for k, v in present(n, g).items()}

    return stated(check)


def tied_embeddings(inputs: Inputs, /, *, model: str) -> Step:
    """One matrix as embedding and as head receives the sum of the gradients that two equal matrices receive."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)
    embedding, head = module.get_input_embeddings(), module.get_output_embeddings()
    with torch.no_grad():
        head.weight.copy_(embedding.weight)

    def check() -> Stated:
        apart = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        names = {id(p): n for n, p in module.named_parameters()}
        ends = [apart[names[id(weight)]] for weight in (embedding.weight, head.weight)]
        own, module.config.tie_word_embeddings = head.weight, True
        module.tie_weights()
        tied = gradients(module, next_token(module, {"tokens": tokens})["loss"])[names[id(embedding.weight)]]
        head.weight, module.config.tie_word_embeddings = own, False
        return {
            **agree("gradient", tied, ends[0] + ends[1]), **moved("of the embedding", ends[0]), **moved("of the head", ends[1]),
        }  # fmt: skip

    return stated(check, terms(module, _LENGTH, backward=True))


def frozen_parts_stay(inputs: Inputs, /, *, model: str) -> Step:
    """With the lower half of the layers frozen the gradients of the upper half are the same bits, and the frozen receive none."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    def check() -> Stated:
        whole = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        frozen = [p for n, p in module.named_parameters() if "embed_tokens" in n or ".layers.0." in n]
        for parameter in frozen:
            parameter.requires_grad_(False)
        upper = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        held = torch.tensor([p.grad is not None for p in frozen]).any()
        for parameter in frozen:
            parameter.requires_grad_(True)
        said = {
            **exact("gradients held by frozen parts", held, torch.tensor(False)),
            **moved("gradients held by frozen parts", torch.ones(())),
        }
        return said | {k: v for n, g in upper.items() if whole[n].any() for k, v in exact(n, g, whole[n]).items()}

    return stated(check)


def loss_in_portions(head: nn.Module, hidden: Tensor, targets: Tensor, size: int) -> Tensor:
    """Return the mean cross-entropy of targets [tokens] after hidden states [tokens, hidden], of `size` tokens at a time."""
    portions = zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    losses = [functional.cross_entropy(head(part).float(), target, reduction="sum") for part, target in portions]
    return torch.stack(losses).sum() / len(targets)


def head_in_portions(inputs: Inputs, /, *, model: str) -> Step:
    """The loss computed over portions of the tokens, never holding all logits, has the value and the gradient of the whole."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    def check() -> Stated:
        loss = next_token(module, {"tokens": tokens})["loss"]
        whole = gradients(module, loss)
        hidden = module.model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
        mean = loss_in_portions(module.lm_head, hidden, tokens[:, 1:].flatten(), 17)
        found = gradients(module, mean)
        return {**agree("loss", mean, loss), **alike(found, whole, tokens.numel())}

    return stated(check, terms(module, _LENGTH, backward=True))


CASES = (
    *hold(accumulation, ALL, Cause.GRADIENT),
    *hold(recomputation, ALL, Cause.GRADIENT),
    *hold(every_parameter_learns, ALL, Cause.GRADIENT),
    *hold(tied_embeddings, ALL, Cause.GRADIENT),
    *hold(frozen_parts_stay, ALL, Cause.GRADIENT),
    *hold(head_in_portions, ("deepseek_v4-flash", "deepseek_v3", "llama"), Cause.GRADIENT),
)
