"""Experts: their order does not matter, weights add up to the scaling factor, tokens keep to themselves. Knows no device."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ROUTED, V4, Stated, agree, exact, hold, moved, stated
from suites.workloads.invariants.subject import logits, parts, subject, terms, text

_LENGTH = 40
#: An order of eight experts that is no involution, and leaves a group (four successive ones) a group, as group-limited routing asks.
_ORDER = (5, 6, 7, 4, 1, 3, 0, 2)


def expert_order(inputs: Inputs, /, *, model: str) -> Step:
    """With the experts in another order, rows of the gate, bias and hash table with them, the logits are the same."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    @torch.no_grad()
    def check() -> Stated:
        right = logits(module, tokens)
        experts = [part for _, part in _experts(module)]
        for part in experts:
            part.down_proj.copy_(part.down_proj[list(_ORDER)])
            part.gate_up_proj.copy_(part.gate_up_proj[list(_ORDER)])
        strangers = logits(module, tokens)
        back = [_ORDER.index(i) for i in range(len(_ORDER))]
        for _, gate in _gates(module):
            _reorder_gate(gate, list(_ORDER), back)
        found = logits(module, tokens)
        for part in experts:
            part.down_proj.copy_(part.down_proj[back])
            part.gate_up_proj.copy_(part.gate_up_proj[back])
        for _, gate in _gates(module):
            _reorder_gate(gate, back, list(_ORDER))
        return {**agree("logits", found, right), **moved("logits of other experts", strangers - right)}

    return stated(check, terms(module, _LENGTH))


def _reorder_gate(gate: Any, order: Sequence[int], back: Sequence[int]) -> None:
    gate.weight.copy_(gate.weight[list(order)])
    if hasattr(gate, "e_score_correction_bias"):
        gate.e_score_correction_bias.copy_(gate.e_score_correction_bias[list(order)])
    if hasattr(gate, "tid2eid"):
        gate.tid2eid.copy_(torch.tensor(back, device=gate.tid2eid.device)[gate.tid2eid.long()])


def routing_weights(inputs: Inputs, /, *, model: str) -> Step:
    """A token has different experts; their weights add up to the scaling factor (DeepSeek-V3, arXiv 2412.19437, equations 13 to 16)."""
    module = subject(inputs, model)
    hidden = inputs.normal("hidden", (1, 64, module.config.hidden_size), 3.0, dtype=torch.float32)
    tokens = text(inputs, 1, 64)

    @torch.no_grad()
    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, gate in _gates(module):
            drawn = inputs.device
            if hasattr(gate, "e_score_correction_bias"):  # a bias chooses, and must not weigh
                gate.e_score_correction_bias.copy_(torch.linspace(-0.2, 0.2, gate.num_experts, device=drawn))
            _, weights, chosen = gate(hidden, *((tokens,) if hasattr(gate, "tid2eid") else ()))
            total = weights.sum(-1)
            ordered = chosen.sort(-1).values
            said |= {
                **agree(name, total, torch.full_like(total, module.config.routed_scaling_factor)),
                **moved(name, weights[:, 0] - weights[:, 1]),
                **exact(f"{name} twice the same", (ordered[:, 1:] == ordered[:, :-1]).any(), torch.tensor(False, device=drawn)),
                **moved(f"{name} twice the same", ordered.float()),
            }  # fmt: skip
            if hasattr(gate, "e_score_correction_bias"):
                gate.e_score_correction_bias.zero_()
        return said

    return stated(check, module.config.num_experts_per_tok + module.config.hidden_size)


def bias_only_selects(inputs: Inputs, /, *, model: str) -> Step:
    """A bias that is the same for all experts changes neither their choice nor their weights: it selects, and does not weigh."""
    module = subject(inputs, model)
    hidden = inputs.normal("hidden", (1, 64, module.config.hidden_size), 3.0, dtype=torch.float32)

    @torch.no_grad()
    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, gate in _gates(module):
            if not hasattr(gate, "e_score_correction_bias"):
                continue
            dense = []
            for bias in (0.0, 0.5):  # a power of two: sums of scores and bias keep their order but for near-ties
                gate.e_score_correction_bias.fill_(bias)
                _, weights, chosen = gate(hidden)
                dense.append(torch.zeros(64, gate.num_experts, device=hidden.device).scatter(1, chosen, weights))
            gate.e_score_correction_bias.zero_()
            said |= {**agree(name, dense[1], dense[0]), **exact(f"{name} chosen", dense[1] > 0, dense[0] > 0)}
        return said

    return stated(check, module.config.hidden_size)


def hash_routing(inputs: Inputs, /, *, model: str) -> Step:
    """A hash-routed layer sends a token to the experts of its id, whatever its position, its neighbours and its hidden state."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)
    turned = tokens.flip(1)
    chosen: list[Tensor] = []

    @torch.no_grad()
    def check() -> Stated:
        chosen.clear()
        gates = [gate for _, gate in _gates(module) if hasattr(gate, "tid2eid")]
        handles = [gate.register_forward_hook(lambda _m, _i, out: chosen.append(out[2])) for gate in gates]
        logits(module, tokens)
        logits(module, turned)
        for handle in handles:
            handle.remove()
        said: dict[str, Tensor] = {}
        for i, gate in enumerate(gates):
            one, other = chosen[i].reshape(2, _LENGTH, -1), chosen[len(gates) + i].reshape(2, _LENGTH, -1)
            said |= {
                **exact(f"layer {i}", other.flip(1), one),
                **exact(f"table {i}", one, gate.tid2eid[tokens]),
                **moved(f"layer {i}", one - other),
            }
        return said

    return stated(check)


def tokens_keep_their_experts(inputs: Inputs, /, *, model: str) -> Step:
    """A layer of experts gives each token what it gives it alone, in whatever order tokens come, and though an expert gets none or all."""
    module = subject(inputs, model)
    count = 24
    hidden = inputs.normal("hidden", (count, module.config.hidden_size), dtype=torch.float32)
    order = torch.arange(count - 1, -1, -1, device=hidden.device)
    chosen = inputs.integers("experts", (count, 2), 0, 3)
    chosen[:, 1] += 4  # two of seven experts in use have no token in common with the others; experts 3 and 7 have none at all
    weights = inputs.normal("shares", (count, 2), 0.1, 0.5, dtype=torch.float32)

    @torch.no_grad()
    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, part in _experts(module)[:2]:
            right = part(hidden, chosen, weights)
            turned = part(hidden[order], chosen[order], weights[order])
            alone = torch.cat([part(hidden[i : i + 1], chosen[i : i + 1], weights[i : i + 1]) for i in range(count)])
            swapped = part(hidden, chosen.flip(1), weights.flip(1))
            said |= {**agree(f"{name} order", turned[order], right), **agree(f"{name} alone", right, alone)}
            said |= {**agree(f"{name} places", swapped, right), **moved(name, right[order] - right)}
        return said

    return stated(check, 3 * module.config.hidden_size)


def experts_saturate(inputs: Inputs, /, *, model: str) -> Step:
    """Beyond its limit SwiGLU is flat (gpt-oss; DeepSeek-V4, arXiv 2606.19348): gates and ups 10^6 and 10^7 times as large give one result.

    One value in 10^5 would lie below the limit yet; among those drawn here there is none.
    """
    module = subject(inputs, model)
    hidden = inputs.normal("hidden", (16, module.config.hidden_size), dtype=torch.float32)
    chosen = inputs.integers("chosen", (16, 1), 0, 8)
    weights = torch.ones(16, 1, device=hidden.device)

    @torch.no_grad()
    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, part in parts(module, lambda kind: kind.endswith(("Experts", "V4MLP"))):
            found = []
            for factor in (1.0e6, 1.0e7):
                given = (hidden * factor,) if not hasattr(part, "gate_up_proj") else (hidden * factor, chosen, weights)
                found.append(part(*given))
            said |= agree(name, found[1], found[0])
        return said

    return stated(check, 2 * module.config.hidden_size)


def _gates(module: Any) -> list[tuple[str, Any]]:
    return parts(module, lambda kind: kind.endswith("Router") and "Indexer" not in kind) or parts(
        module, lambda kind: kind.endswith("TopKRouter")
    )


def _experts(module: Any) -> list[tuple[str, Any]]:
    return parts(module, lambda kind: kind.endswith("Experts"))


_BIASED = (*V4, "deepseek_v32", "deepseek_v3")

CASES = (
    *hold(expert_order, ROUTED, Cause.CHOICE),
    *hold(routing_weights, _BIASED, Cause.CHOICE),
    *hold(bias_only_selects, _BIASED, Cause.CHOICE),
    *hold(hash_routing, V4, Cause.CHOICE),
    *hold(tokens_keep_their_experts, ROUTED),
    *hold(experts_saturate, V4),
)
