"""What narrow formats may lose, and what they must not: bounds, fixed points, powers of two, gradients. Knows no device."""

from collections.abc import Callable

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from reference.oracles.block_formats import (
    E2M1,
    E4M3,
    MX_BLOCK,
    MXFP4,
    WEIGHT_BLOCK,
    Element,
    Rule,
    bound,
    dequantise,
    exponent,
    quantise,
    round_trip,
)
from suites.workloads.invariants.stating import ALL, Stated, exact, hold, moved, ordered, stated
from suites.workloads.invariants.subject import gradients, logits, subject, text
from suites.workloads.post_training.quantised import Quantised, StraightThrough, formats
from suites.workloads.post_training.sft import next_token

_FORMATS: dict[str, tuple[Element, tuple[int, int]]] = {"mxfp4": (E2M1, MX_BLOCK), "fp8": (E4M3, WEIGHT_BLOCK)}


_through: Callable[..., Tensor] = StraightThrough.apply


def round_trips(inputs: Inputs, /, *, model: str) -> Step:
    """Every weight of the model comes back within half a step of its format, has its sign, and comes back unchanged the second time."""
    module = subject(inputs, model)
    weights = [p.detach().flatten(0, -2) for p in module.parameters() if p.ndim >= 2]

    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, (element, block) in _FORMATS.items():
            away, most, once, twice = [], [], [], []
            for weight in weights:
                blocks = quantise(weight, element, block, Rule.CEILING)
                back = dequantise(blocks, block)
                away.append((back - weight).abs().flatten())
                most.append(bound(weight, blocks.scale, element, block, Rule.CEILING).flatten())
                once.append(back.flatten())
                twice.append(round_trip(back, element, block, Rule.CEILING).flatten())
            whole = torch.cat([weight.flatten() for weight in weights])
            said |= {
                **ordered(f"{name} error", torch.cat(away), torch.cat(most)), **moved(f"{name} error", torch.cat(away)),
                **ordered(f"{name} sign", torch.zeros_like(whole), torch.cat(once) * whole),
                **exact(f"{name} again", torch.cat(twice), torch.cat(once)),
            }  # fmt: skip
        return said

    return stated(check)


def powers_of_two(inputs: Inputs, /, *, model: str) -> Step:
    """Scales are powers of two: what is 8 times as large comes back 8 times as large, bit for bit, and its negative negative."""
    module = subject(inputs, model)
    weight = module.get_output_embeddings().weight.detach()

    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, (element, block) in _FORMATS.items():
            right = round_trip(weight, element, block, Rule.CEILING)
            scale = quantise(weight, element, block, Rule.CEILING).scale
            said |= {
                **exact(f"{name} 8 times", round_trip(8 * weight, element, block, Rule.CEILING), 8 * right),
                **exact(f"{name} negative", round_trip(-weight, element, block, Rule.CEILING), -right),
                **exact(f"{name} scales", torch.exp2(exponent(scale).double()), scale.double()),
            }  # fmt: skip
        return said

    return stated(check)


def four_bits_in_eight(inputs: Inputs, /, *, model: str) -> Step:
    """MXFP4 weights go to FP8 blocks without loss, as long as their scales lie close (DeepSeek-V4, arXiv 2606.19348, on FP4 training)."""
    module = subject(inputs, model)
    weight = next(p for n, p in module.named_parameters() if "down_proj" in n).detach().flatten(0, -2)

    def check() -> Stated:
        four = round_trip(weight, E2M1, MX_BLOCK, Rule.CEILING)
        return exact("weights", round_trip(four, E4M3, WEIGHT_BLOCK, Rule.CEILING), four)

    return stated(check)


def straight_through(inputs: Inputs, /, *, model: str) -> Step:
    """The gradient passes through the rounding as it is (Bengio et al., arXiv 1308.3432), and the master weights are not rounded.

    What is trained through quantisation computes with rounded weights: with weights that are rounded already it gives the same bits.
    """
    module = subject(inputs, model)
    tokens = text(inputs, 2, 24)
    x = inputs.normal("x", (64, 64), dtype=torch.float32)
    upstream = inputs.normal("upstream", (64, 64), dtype=torch.float32)
    chosen = formats(module)

    def check() -> Stated:
        leaf = x.clone().requires_grad_()
        rounded = _through(leaf, MXFP4)
        (found,) = torch.autograd.grad((rounded * upstream).sum(), leaf)
        served = Quantised(module, chosen)
        masters = {n: p.detach().clone() for n, p in module.named_parameters()}
        trained = gradients(module, next_token(served, {"tokens": tokens})["loss"])
        with torch.no_grad():
            plain, quantised = logits(module, tokens), logits(served, tokens)
            same = torch.stack([(p == masters[n]).all() for n, p in module.named_parameters()])
            for name, parameter in module.named_parameters():
                if name in chosen:
                    parameter.copy_(_through(parameter, chosen[name]))
            already = logits(module, tokens)
        direct = gradients(module, next_token(module, {"tokens": tokens})["loss"])
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(masters[name])
        said = {
            **exact("gradient", found, upstream), **moved("gradient", rounded - leaf), **exact("masters", same, torch.ones_like(same)),
            **exact("logits", quantised, already), **moved("logits", quantised - plain),
        }  # fmt: skip
        return said | {k: v for n in trained if direct[n].any() for k, v in exact(f"gradient of {n}", trained[n], direct[n]).items()}

    return stated(check)


CASES = (
    *hold(round_trips, ALL, Cause.PRECISION),
    *hold(powers_of_two, ("deepseek_v4-flash", "llama"), Cause.PRECISION),
    *hold(four_bits_in_eight, ("deepseek_v4-flash", "deepseek_v4-pro", "qwen3_moe"), Cause.PRECISION),
    *hold(straight_through, ALL, Cause.GRADIENT),
)
