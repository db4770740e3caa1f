"""What must have no influence has none: later tokens, padding, prompt labels, keys beyond the window, positions. Knows no device."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ALL, DENSE, V4, Stated, agree, hold, moved, nothing, stated
from suites.workloads.invariants.subject import PAD, embedded, gradients, logits, parts, subject, terms, text

_LENGTH = 50  # no multiple of a compression rate, and two windows of the heaviest one


def causality(inputs: Inputs, /, *, model: str) -> Step:
    """Another token at t changes no logit before t, for t at and beside the edges of the compressed blocks; at t it does."""
    module = subject(inputs, model)
    tokens, other = text(inputs, 1, _LENGTH), text(inputs, 1, _LENGTH, "other")
    at = (1, 3, 4, 15, 16, 17, 31, 32, 47, _LENGTH - 1)
    changed = torch.cat([torch.cat([tokens[:, :t], (other[:, t:] + (other[:, t:] == tokens[:, t:])) % 256], 1) for t in at])

    @torch.no_grad()
    def check() -> Stated:
        right, found = logits(module, tokens)[0], logits(module, changed)
        said: dict[str, Tensor] = {}
        for i, t in enumerate(at):
            said |= {**agree(f"before {t}", found[i, :t], right[:t]), **moved(f"at {t}", found[i, t] - right[t])}
        return said

    return stated(check, terms(module, _LENGTH))


def no_gradient_from_the_future(inputs: Inputs, /, *, model: str) -> Step:
    """The logits at t have no gradient to any token after t: not small, but zero."""
    module = subject(inputs, model)
    tokens, at = text(inputs, 2, _LENGTH), 21

    def check() -> Stated:
        with embedded(module) as found:
            gradients(module, logits(module, tokens)[:, at].square().sum())
        gradient = found[0].grad
        assert gradient is not None
        return nothing("gradient after t", gradient[:, at + 1 :], gradient[:, : at + 1])

    return stated(check)


def masked_tokens_have_no_gradient(inputs: Inputs, /, *, model: str) -> Step:
    """Labels of -100 (a prompt, padding) give the logits before them no gradient, and what stands there does not enter the loss."""
    module = subject(inputs, model)
    tokens, prompt, end = text(inputs, 2, _LENGTH), 20, 40
    attended = (torch.arange(_LENGTH, device=tokens.device) < end).expand(2, -1).long()
    tokens = torch.where(attended.bool(), tokens, PAD)
    counted = attended.clone()
    counted[:, :prompt] = 0
    labels = torch.where(counted.bool(), tokens, -100)

    def check() -> Stated:
        scores = logits(module, tokens, attention_mask=attended)
        scores.retain_grad()
        with embedded(module) as found:
            again = module(input_ids=tokens, attention_mask=attended, labels=labels, use_cache=False)
            gradients(module, again.loss)
        embeddings = found[0].grad
        (onto,) = torch.autograd.grad(
            functional.cross_entropy(scores[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100), scores
        )
        alone = functional.cross_entropy(scores[:, prompt - 1 : end - 1].flatten(0, 1), tokens[:, prompt:end].flatten())
        assert embeddings is not None
        return {
            **nothing("embeddings of padding", embeddings[:, end:], embeddings[:, :end]),
            **nothing("logits of the prompt", onto[:, : prompt - 1], onto[:, prompt - 1 : end - 1]),
            **nothing("logits of padding", onto[:, end - 1 :], onto[:, prompt - 1 : end - 1]),
            **agree("loss", again.loss.float(), alone),
        }  # fmt: skip

    return stated(check, terms(module, _LENGTH))


def right_padding(inputs: Inputs, /, *, model: str) -> Step:
    """A row's logits are the same alone and padded on the right, whatever the padding holds, at all lengths beside a block's edge."""
    module = subject(inputs, model)
    lengths = (3, 4, 5, 15, 16, 17, 33)
    tokens, noise = text(inputs, len(lengths), _LENGTH), text(inputs, len(lengths), _LENGTH, "noise")
    real = torch.arange(_LENGTH, device=tokens.device) < torch.tensor(lengths, device=tokens.device)[:, None]

    @torch.no_grad()
    def check() -> Stated:
        padded = logits(module, torch.where(real, tokens, PAD), attention_mask=real.long())
        filled = logits(module, torch.where(real, tokens, noise), attention_mask=real.long())
        said: dict[str, Tensor] = {}
        for i, n in enumerate(lengths):
            alone = logits(module, tokens[i : i + 1, :n])[0]
            said |= {**agree(f"padded {n}", padded[i, :n], alone), **agree(f"noise {n}", filled[i, :n], alone)}
        return said

    return stated(check, terms(module, _LENGTH))


def left_padding(inputs: Inputs, /, *, model: str) -> Step:
    """A row's logits are the same alone and padded on the left, positions counted from its first token, or running on: they are relative.

    Not asked of DeepSeek-V4: transformers compresses blocks that begin at the padding (huggingface/transformers 45938).
    """
    module = subject(inputs, model)
    pads, length = (0, 1, 4, 9), 24
    tokens = text(inputs, len(pads), length)
    real = torch.arange(length, device=tokens.device) >= torch.tensor(pads, device=tokens.device)[:, None]

    @torch.no_grad()
    def check() -> Stated:
        positions = (real.long().cumsum(-1) - 1).clamp(min=0)
        given = torch.where(real, tokens, PAD)
        counted = logits(module, given, attention_mask=real.long(), position_ids=positions)
        running = logits(module, given, attention_mask=real.long())
        said: dict[str, Tensor] = {}
        for i, n in enumerate(pads):
            alone = logits(module, tokens[i : i + 1, n:])[0]
            said |= {**agree(f"padded by {n}", counted[i, n:], alone), **agree(f"running positions {n}", running[i, n:], alone)}
        return said

    return stated(check, terms(module, length) + length**2)


def sliding_window(inputs: Inputs, /, *, model: str) -> Step:
    """In a model of one sliding layer a token has no influence beyond its window, and has some up to its last position."""
    module = subject(inputs, model)
    window: int = module.config.sliding_window
    module.model.layers = module.model.layers[:1]
    at = 5
    tokens = text(inputs, 1, _LENGTH)
    changed = tokens.clone()
    changed[:, at] = (changed[:, at] + 1) % 256

    def check() -> Stated:
        with torch.no_grad():
            right, found = logits(module, tokens)[0], logits(module, changed)[0]
        with embedded(module) as given:
            gradients(module, logits(module, tokens)[:, -1].square().sum())
        gradient = given[0].grad
        assert gradient is not None
        end = at + window
        return {
            **agree("beyond the window", found[end:], right[end:]), **moved("at its end", found[end - 1] - right[end - 1]),
            **nothing("gradient before the window", gradient[:, : _LENGTH - window], gradient[:, _LENGTH - window]),
        }  # fmt: skip

    return stated(check, terms(module, _LENGTH))


def positions_are_relative(inputs: Inputs, /, *, model: str, shift: int) -> Step:
    """With every rotation further by `shift` positions the logits are the same: what is turned is turned back (Su et al., RoFormer, 3.4).

    The angle of position p is rounded by up to p u, as if p^2 more roundings lay on the way.
    """
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    def further(_module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if "position_ids" in named:
            return given, {**named, "position_ids": named["position_ids"] + shift}
        return (given[0], given[1] + shift, *given[2:]), named

    @torch.no_grad()
    def check() -> Stated:
        right = logits(module, tokens)
        with ExitStack() as stack:
            for _, rotary in _rotaries(module):
                handle = rotary.register_forward_pre_hook(further, with_kwargs=True)
                stack.callback(handle.remove)
            found = logits(module, tokens)
        turned = _rotated(module, tokens, shift) - _rotated(module, tokens, 0)
        return {**agree("logits", found, right), **moved("rotations", turned)}

    return stated(check, terms(module, _LENGTH) + (_LENGTH + shift) ** 2)


def rotation_keeps_lengths(inputs: Inputs, /, *, model: str) -> Step:
    """Every rotary embedding rotates: cos^2 + sin^2 is 1 at every position and frequency, so that no score is scaled by where it stands."""
    module = subject(inputs, model)
    positions = torch.arange(_LENGTH, device=inputs.device)[None]
    x = inputs.normal("x", (1, _LENGTH, 8), dtype=torch.float32)

    @torch.no_grad()
    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, rotary in _rotaries(module):
            for kind in getattr(rotary, "layer_types", ("",)):
                cos, sin = rotary(x, position_ids=positions, **({"layer_type": kind} if kind else {}))
                square = cos.float().square() + sin.float().square()
                said |= {**agree(f"{name} {kind}", square, torch.ones_like(square)), **moved(f"{name} {kind}", sin)}
        return said

    return stated(check)


def _rotaries(module: Any) -> list[tuple[str, Any]]:
    return parts(module, lambda kind: kind.endswith("RotaryEmbedding"))


def _rotated(module: Any, tokens: Tensor, shift: int) -> Tensor:
    """Return the cosines of the model's first rotary embedding, moved by `shift`."""
    rotary = _rotaries(module)[0][1]
    x = torch.zeros(1, 1, device=tokens.device)
    kind = getattr(rotary, "layer_types", ("",))[0]
    positions = torch.arange(tokens.shape[1], device=tokens.device)[None] + shift
    found: Tensor = rotary(x, position_ids=positions, **({"layer_type": kind} if kind else {}))[0]
    return found


CASES = (
    *hold(causality, ALL, Cause.LEAK),
    *hold(no_gradient_from_the_future, ALL, Cause.LEAK),
    *hold(masked_tokens_have_no_gradient, ALL, Cause.LEAK),
    *hold(right_padding, ALL, Cause.LEAK),
    *hold(left_padding, ("deepseek_v3", "qwen3_moe", *DENSE), Cause.LEAK),
    *hold(sliding_window, ("deepseek_v4-flash",), Cause.LEAK),
    *hold(positions_are_relative, ALL, shift=37),
    *hold(rotation_keeps_lengths, (*V4, "deepseek_v3", *DENSE)),
)
