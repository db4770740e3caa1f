"""What an optimizer does where anybody can say it: nothing, decay alone, a step of known length, a pause. Knows no device."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from harness.case import Case, Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import DENSE, V4, Stated, agree, exact, hold, moved, ordered, present, stated
from suites.workloads.invariants.subject import subject, text
from suites.workloads.post_training.muon import orthogonalise
from suites.workloads.post_training.optimizers import OPTIMIZERS
from suites.workloads.post_training.sft import next_token

_LENGTH = 32
_RATE, _DECAY = 2.0**-7, 0.1  # the stages' decay; a rate of which few digits are lost


def _trained(module: Any) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _kept(trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trained.items()}


def _restore(trained: Mapping[str, nn.Parameter], kept: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(kept[name])
            parameter.grad = None


def _joined(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors.values()])


def _one_step(module: Any, tokens: Tensor, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(next_token(module, {"tokens": tokens})["loss"])
    optimizer.step()


def decay_alone(inputs: Inputs, /, *, model: str, optimizer: str) -> Step:
    """With gradients of zero a step multiplies each weight by 1 - rate x decay, once (Loshchilov and Hutter, ICLR 2019, algorithm 2)."""
    module = subject(inputs, model)
    trained = _trained(module)

    def check() -> Stated:
        kept = _kept(trained)
        for parameter in trained.values():
            parameter.grad = torch.zeros_like(parameter)
        OPTIMIZERS[optimizer](trained, _RATE).step()
        found, before = _joined(trained), _joined(kept)
        _restore(trained, kept)
        return {**agree("weights", found, before * (1 - _RATE * _DECAY)), **moved("weights", found - before)}

    return stated(check, 2)


def rate_of_zero(inputs: Inputs, /, *, model: str, optimizer: str) -> Step:
    """A learning rate of zero leaves every bit of every weight."""
    module = subject(inputs, model)
    trained, tokens = _trained(module), text(inputs, 2, _LENGTH)

    def check() -> Stated:
        kept = _kept(trained)
        _one_step(module, tokens, OPTIMIZERS[optimizer](trained, 0.0))
        found, before = _joined(trained), _joined(kept)
        _one_step(module, tokens, OPTIMIZERS[optimizer](trained, _RATE))
        other = _joined(trained)
        _restore(trained, kept)
        return {**exact("weights", found, before), **moved("weights", other - before)}

    return stated(check)


def first_adamw_step(inputs: Inputs, /, *, model: str, optimizer: str) -> Step:
    """AdamW's first step is rate x g / (|g| + eps) after the decay (Kingma and Ba, ICLR 2015, algorithm 1): of at most rate, against g."""
    module = subject(inputs, model)
    trained, tokens = _trained(module), text(inputs, 2, _LENGTH)

    def check() -> Stated:
        kept = _kept(trained)
        _one_step(module, tokens, OPTIMIZERS[optimizer](trained, _RATE))
        gradient = _joined({n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in trained.items()})
        decayed = _joined({n: kept[n] if p.grad is None else kept[n] * (1 - _RATE * _DECAY) for n, p in trained.items()})
        found, before = _joined(trained), _joined(kept)
        _restore(trained, kept)
        taken = found - decayed
        slack = 4 * 2.0**-24 * (before.abs() + _RATE)
        return {
            **agree("weights", found, decayed - _RATE * gradient / (gradient.abs() + 1e-8)), **moved("weights", found - before),
            **ordered("length", taken.abs(), _RATE + slack), **ordered("direction", taken * gradient.sign(), slack),
        }  # fmt: skip

    return stated(check, 8)


def forms_of_adamw(inputs: Inputs, /, *, model: str) -> Step:
    """Three steps tensor by tensor, by lists of tensors and fused arrive at the same weights."""
    module = subject(inputs, model)
    trained = _trained(module)

    def check() -> Stated:
        kept = _kept(trained)
        draw = [{n: torch.sin(1e4 * (i + 1) * p) * 1e-3 for n, p in kept.items()} for i in range(3)]
        found = {}
        for form in ("adamw", "adamw-foreach", "adamw-fused"):
            stepping = OPTIMIZERS[form](trained, _RATE)
            for gradient in draw:
                for name, parameter in trained.items():
                    parameter.grad = gradient[name].clone()
                stepping.step()
            found[form] = _joined(trained)
            _restore(trained, kept)
        plain = found["adamw"]
        return {
            **agree("foreach", found["adamw-foreach"], plain),
            **agree("fused", found["adamw-fused"], plain), **moved("weights", plain - _joined(kept)),
        }  # fmt: skip

    return stated(check, 3 * 12)


def clipped_gradients(inputs: Inputs, /, *, model: str) -> Step:
    """Clipping gives all gradients one factor: the norm is the cap's, the direction stays; below the cap nothing changes.

    What it reports is the norm before. PyTorch divides by norm + 10^-6, which counts as so many roundings.
    """
    module = subject(inputs, model)
    trained, tokens = _trained(module), text(inputs, 2, _LENGTH)

    def check() -> Stated:
        module.zero_grad()
        torch.autograd.backward(next_token(module, {"tokens": tokens})["loss"])
        learned = {n: p for n, p in trained.items() if p.grad is not None}
        before = _joined({n: p.grad for n, p in learned.items() if p.grad is not None}).clone()
        norm = torch.linalg.vector_norm(before.double()).float()
        cap = float(norm) / 4
        told = clip_grad_norm_(learned.values(), cap, foreach=False)
        after = _joined({n: p.grad for n, p in learned.items() if p.grad is not None}).clone()
        clip_grad_norm_(learned.values(), float(norm), foreach=False)
        again = _joined({n: p.grad for n, p in learned.items() if p.grad is not None})
        module.zero_grad()
        return {
            **agree("norm told", told, norm), **agree("norm", torch.linalg.vector_norm(after.double()).float(), torch.full_like(norm, cap)),
            **agree("direction", after, before / 4), **exact("below the cap", again, after), **moved("clipping", before - after),
        }  # fmt: skip

    return stated(check, int((2.0**24 * 1e-6) ** 2) + sum(p.numel() for p in trained.values()))


def states_are_wide(inputs: Inputs, /, *, model: str, optimizer: str) -> Step:
    """What an optimizer keeps is as wide as the weights, of their shape, and there for each that has a gradient; none is of zeros."""
    module = subject(inputs, model)
    trained, tokens = _trained(module), text(inputs, 2, _LENGTH)

    def check() -> Stated:
        kept = _kept(trained)
        stepping = OPTIMIZERS[optimizer](trained, _RATE)
        _one_step(module, tokens, stepping)
        states = {
            n: [t for t in stepping.state[p].values() if isinstance(t, Tensor) and t.ndim] for n, p in trained.items() if p.grad is not None
        }
        widths = torch.tensor([t.element_size() for some in states.values() for t in some])
        counts = torch.tensor([len(some) for some in states.values()])
        alike = torch.tensor([t.shape == trained[n].shape for n, some in states.items() for t in some])
        _restore(trained, kept)
        return {
            **ordered("bytes", torch.full_like(widths, 4), widths), **ordered("states", torch.ones_like(counts), counts),
            **exact("shapes", alike, torch.ones_like(alike)),
            **present("moments", torch.stack([t.detach().double().square().sum() for some in states.values() for t in some])),
        }  # fmt: skip

    return stated(check)


def small_updates_count(inputs: Inputs, /, *, model: str, optimizer: str) -> Step:
    """Sixteen steps of a hundredth of a weight's bfloat16 digit each move it by all sixteen: nothing is rounded away between steps."""
    module = subject(inputs, model)
    trained = {"lm_head.weight": module.get_output_embeddings().weight}
    rate = 2.0**-20

    def check() -> Stated:
        kept = _kept(trained)
        with torch.no_grad():
            trained["lm_head.weight"].fill_(1.0)
        stepping = OPTIMIZERS[optimizer](trained, rate)
        for _ in range(16):
            trained["lm_head.weight"].grad = torch.full_like(trained["lm_head.weight"], 0.5)
            stepping.step()
        found = trained["lm_head.weight"].detach().clone()
        _restore(trained, kept)
        away, right = 1.0 - found, torch.full_like(found, 16 * rate * (1 + _DECAY))
        slack = 16 * 2.0**-24  # each step rounds a weight near 1 once
        return {**ordered("least", right - slack, away), **ordered("most", away, right + slack)}

    return stated(check)


def resume(inputs: Inputs, /, *, model: str, optimizer: str) -> Step:
    """Two steps, a pause through the host's memory into fresh objects, one step: the bits of three steps."""
    module = subject(inputs, model)
    trained = _trained(module)
    batches = torch.split(text(inputs, 3, _LENGTH), 1)

    def check() -> Stated:
        kept = _kept(trained)
        stepping = OPTIMIZERS[optimizer](trained, _RATE)
        for i, tokens in enumerate(batches):
            _one_step(module, tokens, stepping)
            if i == 1:
                weights, state = {n: p.detach().cpu().clone() for n, p in trained.items()}, deepcopy(stepping.state_dict())
        right = _joined(trained)
        _restore(trained, {n: w.to(inputs.device) for n, w in weights.items()})
        again = OPTIMIZERS[optimizer](trained, _RATE)
        again.load_state_dict(state)
        for tokens in batches[2:]:
            _one_step(module, tokens, again)
        found = _joined(trained)
        _restore(trained, {n: w.to(inputs.device) for n, w in weights.items()})
        forgetful = OPTIMIZERS[optimizer](trained, _RATE)
        for tokens in batches[2:]:
            _one_step(module, tokens, forgetful)
        other = _joined(trained)
        _restore(trained, kept)
        return {**exact("weights", found, right), **moved("state", other - right)}

    return stated(check)


def muon_is_orthogonal(inputs: Inputs, /, *, model: str) -> Step:
    """Muon's direction has singular values of 1 (DeepSeek-V4 report, algorithm 1: within a thousandth in float32), and no scale of its own.

    A gradient and a thousandth of it have one direction; its transpose has the transposed one; each expert of a stack is stepped by itself.
    """
    subject(inputs, model)
    gradient = inputs.normal("gradient", (3, 24, 64), dtype=torch.float32)

    def check() -> Stated:
        found = orthogonalise(gradient)
        values = torch.linalg.svdvals(found.double().cpu())
        alone = torch.stack([orthogonalise(one) for one in gradient])
        return {
            **ordered("least singular value", torch.full_like(values, 0.999), values),
            **ordered("greatest", values, torch.full_like(values, 1.001)),
            **agree("scaled", orthogonalise(gradient / 1024), found), **agree("transposed", orthogonalise(gradient.mT).mT, found),
            **agree("alone", alone, found), **ordered("descent", torch.zeros(3, device=found.device), (found * gradient).sum((1, 2))),
        }  # fmt: skip

    return stated(
        check, 10 * 3 * 64 * 8
    )  # three sums of up to 64 in each of ten iterations, which enlarge eightfold at most what they are given


_ADAMW: tuple[str, ...] = ("adamw", "adamw-foreach", "adamw-fused", "muon")


def _with_each(workload: Callable[..., Step], families: tuple[str, ...], optimizers: tuple[str, ...]) -> tuple[Case, ...]:
    name = workload.__name__.replace("_", "-")
    return tuple(case for own in optimizers for case in hold(workload, families, Cause.UPDATE, name=f"{name}-{own}", optimizer=own))


CASES = (
    *_with_each(decay_alone, ("llama",), _ADAMW),
    *_with_each(rate_of_zero, ("llama",), _ADAMW),
    *_with_each(first_adamw_step, ("deepseek_v4-flash", "llama"), _ADAMW[:3]),
    *hold(forms_of_adamw, ("deepseek_v3", "llama"), Cause.UPDATE),
    *hold(clipped_gradients, (*V4, *DENSE), Cause.UPDATE),
    *_with_each(states_are_wide, ("llama",), _ADAMW),
    *_with_each(states_are_wide, ("deepseek_v4-flash",), ("muon",)),
    *_with_each(small_updates_count, ("llama",), _ADAMW[:3]),
    *_with_each(resume, ("deepseek_v4-flash",), ("adamw", "muon")),
    *_with_each(resume, ("llama",), _ADAMW),
    *hold(muon_is_orthogonal, ("llama",), Cause.UPDATE),
)
