"""What low-rank adapters leave alone, and what they come to when they are merged. Knows no device."""

from typing import Any

import torch
from torch import Tensor, nn

from harness.case import Step
from harness.errors import AssayError
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ALL, Stated, agree, exact, hold, moved, nothing, present, stated
from suites.workloads.invariants.subject import gradients, logits, subject, terms, text
from suites.workloads.post_training.lora import Adapter
from suites.workloads.post_training.sft import next_token

_LENGTH, _RANK, _ALPHA = 40, 4, 12.0
_TARGETS = ("q_proj", "v_proj", "q_b_proj", "kv_proj", "kv_b_proj", "o_proj")


def _adapted(inputs: Inputs, model: Any, b: float = 0.0) -> list[Adapter]:
    """Freeze the model, and put an adapter around the attention's projections of whatever family; B is drawn where `b` is not zero."""
    model.requires_grad_(False)
    found = []
    for name, part in list(model.named_modules()):
        if type(part) is nn.Linear and name.endswith(_TARGETS) and "indexer" not in name:
            adapter = Adapter(part, inputs.normal(f"{name}.a", (_RANK, part.in_features), 0.1, dtype=torch.float32), _ALPHA)
            if b:
                with torch.no_grad():
                    adapter.b.copy_(inputs.normal(f"{name}.b", tuple(adapter.b.shape), b, dtype=torch.float32))
            model.set_submodule(name, adapter)
            found.append(adapter)
    if not found:
        raise AssayError(f"{model.config.model_type}: no projection to adapt; choose another model")
    return found


def adapter_begins_as_identity(inputs: Inputs, /, *, model: str) -> Step:
    """With B = 0 the adapted model is the base model, bit for bit (Hu et al., ICLR 2022, section 4.1): zero was added."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)
    with torch.no_grad():
        base = logits(module, tokens)
    adapters = _adapted(inputs, module)

    @torch.no_grad()
    def check() -> Stated:
        found = logits(module, tokens)
        for adapter in adapters:
            adapter.b.fill_(0.01)
        other = logits(module, tokens)
        for adapter in adapters:
            adapter.b.zero_()
        return {**exact("logits", found, base), **moved("logits", other - base)}

    return stated(check)


def merged_adapters(inputs: Inputs, /, *, model: str) -> Step:
    """W + (alpha / rank) B A in the place of W and the adapter gives the same logits: an adapter costs nothing when it is served."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)
    with torch.no_grad():
        base = logits(module, tokens)
    adapters = _adapted(inputs, module, b=0.05)

    @torch.no_grad()
    def check() -> Stated:
        apart = logits(module, tokens)
        kept = [(adapter.base.weight.clone(), adapter.b.clone()) for adapter in adapters]
        for adapter in adapters:
            adapter.base.weight += adapter.scale * adapter.b @ adapter.a
            adapter.b.zero_()
        merged = logits(module, tokens)
        for adapter, (weight, b) in zip(adapters, kept, strict=True):
            adapter.base.weight.copy_(weight)
            adapter.b.copy_(b)
        return {**agree("logits", merged, apart), **moved("adapters", apart - base)}

    return stated(check, terms(module, _LENGTH))


def adapters_learn_alone(inputs: Inputs, /, *, model: str) -> Step:
    """At B = 0 the gradient of A is exactly zero and that of every B is not; after a step along B that of every A is not; W has none."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)
    _adapted(inputs, module)

    def check() -> Stated:
        first = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        said: dict[str, Tensor] = {}
        for name, gradient in first.items():
            if name.endswith(".a"):
                said |= nothing(name, gradient, first[name.removesuffix("a") + "b"])
            else:
                said |= present(name, gradient)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name in first and name.endswith(".b"):
                    parameter -= 0.1 * first[name]
        second = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        for name in second:
            said |= present(f"{name} after a step", second[name])
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name in first and name.endswith(".b"):
                    parameter.zero_()
        frozen = [name for name, p in module.named_parameters() if p.requires_grad and not name.endswith((".a", ".b"))]
        return {**said, **nothing("base weights that learn", torch.tensor(len(frozen)), torch.tensor(len(first)))}

    return stated(check)


CASES = (
    *hold(adapter_begins_as_identity, ALL),
    *hold(merged_adapters, ALL),
    *hold(adapters_learn_alone, ALL, Cause.GRADIENT),
)
