"""What training says of what was sampled: on policy nothing has moved, and a rollout and a training pass agree. Knows no device."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ALL, DENSE, ROUTED, V4, Stated, agree, cancels, exact, hold, moved, ordered, present, stated
from suites.workloads.invariants.subject import gradients, logits, parts, subject, terms, text
from suites.workloads.post_training.distillation import head_of, last_hidden, reverse_kl
from suites.workloads.post_training.grpo import grpo_loss, prepared
from suites.workloads.post_training.policy import clipped_ratio, group_advantages, k3
from suites.workloads.post_training.rollout import completion_logprobs, gumbel, roll_out, vocabulary

_PROMPT, _NEW = 12, 8


def _sampled(inputs: Inputs, module: Any, rows: int = 4) -> dict[str, Tensor]:
    """Draw prompts and completions of unequal length as a batch of the stages has them."""
    tokens = text(inputs, rows, _NEW, "completions")
    ends = torch.tensor([_NEW - i % 3 for i in range(rows)], device=tokens.device)[:, None]
    mask = torch.arange(_NEW, device=tokens.device) < ends
    return {"prompts": text(inputs, rows, _PROMPT, "prompts"), "tokens": tokens, "mask": mask}


def grpo_on_policy(inputs: Inputs, /, *, model: str) -> Step:
    """Before the first step the ratio is 1, k3 to the reference 0, and with advantages of mean 0 the loss 0; its gradient is not.

    That gradient is the plain policy gradient: of -A log pi, which has no ratio (Schulman et al., arXiv 1707.06347, equation 1).
    """
    module = subject(inputs, model)
    batch = {**_sampled(inputs, module), "rewards": inputs.given("rewards", torch.tensor([1.0, 0.0, 0.0, 1.0]))}

    def check() -> Stated:
        with torch.no_grad():
            ready = prepared(module, batch, samples=4)
        found = grpo_loss(0.2, 0.04)(module, ready)
        own = completion_logprobs(module, ready["prompts"], ready["tokens"])
        mine = gradients(module, found["loss"])
        counts = ready["mask"].sum(1, keepdim=True)
        plain = -(ready["advantages"][:, None] * own * ready["mask"] / counts).sum(1).mean()
        size = ready["advantages"].abs().mean()
        said = {
            **agree("ratio", found["ratio"], torch.ones_like(found["ratio"])), **cancels("kl", found["kl"], ready["old"].abs().mean()),
            **cancels("loss", found["loss"], size), **cancels("advantages", ready["advantages"].mean(), size),
        }  # fmt: skip
        theirs = gradients(module, plain)
        body = torch.cat([g.flatten() for g in mine.values()])
        return {
            **said, **agree("gradient", body, torch.cat([g.flatten() for g in theirs.values()])), **present("gradient", body),
            **cancels("clipped", found["clip_share"], torch.ones_like(found["clip_share"])),
        }  # fmt: skip

    return stated(check, terms(module, _PROMPT + _NEW, backward=True))


def clipping_takes_the_gradient(inputs: Inputs, /, *, model: str) -> Step:
    """Where a ratio has gone beyond the clip in the direction of its advantage the gradient is exactly zero; elsewhere it is r A."""
    subject(inputs, model)
    apart = inputs.normal("apart", (16, 32), 0.4, dtype=torch.float32)
    advantages = inputs.normal("advantages", (16,), dtype=torch.float32)
    old = inputs.normal("old", (16, 32), mean=-4.0, dtype=torch.float32)

    def check() -> Stated:
        own = (old + apart).requires_grad_()
        policy = clipped_ratio(own, old, advantages, 0.2)
        (found,) = torch.autograd.grad(policy.loss.sum(), own)
        ratio = torch.exp(own.detach() - old)
        beyond = torch.where(advantages[:, None] > 0, ratio > 1.2, ratio < 0.8)
        free = ratio * advantages[:, None]
        right = torch.where(beyond, 0.0, -free)
        return {
            **agree("gradient", found, right), **exact("zero where clipped", (found == 0), beyond),
            **ordered("pessimism", -free - 8 * 2.0**-24 * free.abs(), policy.loss),
        }  # fmt: skip

    return stated(check, 8)


def advantages_of_a_group(inputs: Inputs, /, *, model: str) -> Step:
    """Of each group advantages have mean 0 and standard deviation 1, whatever scale and offset rewards have; of equal ones they are 0."""
    subject(inputs, model)
    rewards = inputs.normal("rewards", (32,), dtype=torch.float32)

    def check() -> Stated:
        found = group_advantages(rewards, 8)
        groups = found.reshape(4, 8)
        still = group_advantages(torch.full_like(rewards, 0.7), 8)
        return {
            **cancels("mean", groups.mean(1), groups), **agree("deviation", groups.std(1), torch.ones(4, device=found.device)),
            **agree("scaled", group_advantages(4 * rewards, 8), found), **agree("moved", group_advantages(rewards + 1, 8), found),
            **exact("equal rewards", still, torch.zeros_like(still)), **moved("equal rewards", found),
        }  # fmt: skip

    return stated(check, 32)


def self_distillation(inputs: Inputs, /, *, model: str) -> Step:
    """A student that is its own teacher: KL is 0 and so is its gradient, which adds up terms of the size of the log-probabilities' own."""
    module = subject(inputs, model)
    batch = _sampled(inputs, module)

    def check() -> Stated:
        head = head_of(module)
        with torch.no_grad():
            hidden = last_hidden(module, batch)
        found = reverse_kl([head])(module, {**batch, "hidden_0": hidden})
        head.requires_grad_(True)
        mine = gradients(module, reverse_kl([head])(module, {**batch, "hidden_0": hidden.detach()})["loss"] * 1.0)
        other = gradients(module, completion_logprobs(module, batch["prompts"], batch["tokens"]).mean())
        said = cancels("kl", found["kl_0"], torch.full_like(found["kl_0"], 5.5))
        for name in other:
            if other[name].any() and name != "lm_head.weight":  # the head is the teacher's as well
                said |= cancels(f"gradient of {name}", mine[name], other[name])
        return said

    return stated(check, terms(module, _PROMPT + _NEW, backward=True))


def divergences(inputs: Inputs, /, *, model: str) -> Step:
    """k3 is nowhere negative and zero only where nothing differs; the full KL is not negative; the mean of k3 over all tokens is KL."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _PROMPT)
    push = inputs.normal("push", (2, _PROMPT, vocabulary(module)), 0.5, dtype=torch.float32)

    @torch.no_grad()
    def check() -> Stated:
        scores = logits(module, tokens)
        own, other = functional.log_softmax(scores, -1), functional.log_softmax(scores + push, -1)
        each = k3(other, own)
        full = (own.exp() * (own - other)).sum(-1)
        return {
            **ordered("k3", torch.zeros_like(each), each), **ordered("kl", torch.zeros_like(full), full),
            **agree("mean of k3", (own.exp() * each).sum(-1), full, addends=scores.shape[-1]), **moved("k3", each),
            **exact("k3 of equals", k3(own, own), torch.zeros_like(own)), **moved("k3 of equals", each),
            **agree("k3 by its definition", each.double(), torch.expm1((other - own).double()) - (other - own).double()),
        }  # fmt: skip

    return stated(check, 4 * module.config.vocab_size)


def rollout_and_training(inputs: Inputs, /, *, model: str) -> Step:
    """Log-probabilities at rollout time, token by token with a cache, are those of one training pass; so are logits, and the tokens."""
    module = subject(inputs, model)
    prompts = text(inputs, 2, _PROMPT, "prompts")
    noise = inputs.given("noise", gumbel(inputs.seed, "noise", (2, _NEW, vocabulary(module))))

    @torch.no_grad()
    def check() -> Stated:
        done = roll_out(module, prompts, noise)
        trained = completion_logprobs(module, prompts, done.tokens)
        whole = logits(module, torch.cat([prompts, done.tokens], 1))[:, _PROMPT - 1 : -1]
        again = (whole + noise).argmax(-1)
        apart = k3(trained, done.logprobs)
        return {
            **agree("logits", done.logits, whole), **agree("logprobs", done.logprobs, trained), **exact("tokens", done.tokens, again),
            **ordered("k3", torch.zeros_like(apart), apart), **moved("noise", noise),
        }  # fmt: skip

    return stated(check, terms(module, _PROMPT + _NEW))


def routing_of_rollouts(inputs: Inputs, /, *, model: str) -> Step:
    """A rollout sends each token to the experts to which a training pass sends it, in every layer (routing agreement)."""
    module = subject(inputs, model)
    prompts = text(inputs, 2, _PROMPT, "prompts")
    noise = inputs.given("noise", gumbel(inputs.seed, "noise", (2, _NEW, vocabulary(module))))

    @torch.no_grad()
    def check() -> Stated:
        with _chosen(module) as rolled:
            done = roll_out(module, prompts, noise)
        with _chosen(module) as trained:
            logits(module, torch.cat([prompts, done.tokens[:, :-1]], 1))
        said: dict[str, Tensor] = {}
        for name, steps in rolled.items():
            one = torch.cat([step.reshape(2, -1, step.shape[-1]) for step in steps], 1).sort(-1).values
            other = trained[name][0].reshape(one.shape).sort(-1).values
            said |= {**exact(name, one, other), **moved(name, other - other[:, :1])}
        return said

    return stated(check)


@contextmanager
def _chosen(module: Any) -> Iterator[Mapping[str, list[Tensor]]]:
    """Collect the experts that each router chooses, [tokens, chosen], by the router's name, in the order of calls."""
    found: dict[str, list[Tensor]] = {}
    handles = []
    for name, gate in parts(module, lambda kind: kind.endswith("Router")):
        found[name] = []
        handles.append(gate.register_forward_hook(lambda _m, _i, out, kept=found[name]: kept.append(out[2])))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def sampling_repeats(inputs: Inputs, /, *, model: str) -> Step:
    """The same noise samples the same tokens, bit for bit, other noise others; without noise the most probable token comes."""
    module = subject(inputs, model)
    prompts = text(inputs, 2, _PROMPT, "prompts")
    shape = (2, _NEW, vocabulary(module))
    noise, other = (inputs.given(name, gumbel(inputs.seed, name, shape)) for name in ("noise", "other"))

    @torch.no_grad()
    def check() -> Stated:
        one, two, three = roll_out(module, prompts, noise), roll_out(module, prompts, noise), roll_out(module, prompts, other)
        greedy = roll_out(module, prompts, torch.zeros_like(noise))
        return {
            **exact("tokens", two.tokens, one.tokens), **exact("logits", two.logits, one.logits),
            **present("of other noise", one.tokens - three.tokens),
            **exact("greedy", greedy.tokens, greedy.logits.argmax(-1)),
            **agree("logprobs", greedy.logprobs, functional.log_softmax(greedy.logits, -1).amax(-1)),
        }  # fmt: skip

    return stated(check, vocabulary(module))


CASES = (
    *hold(grpo_on_policy, (*V4, "qwen3_moe", "llama")),
    *hold(clipping_takes_the_gradient, ("llama",), Cause.GRADIENT),
    *hold(advantages_of_a_group, ("llama",)),
    *hold(self_distillation, (*V4, "deepseek_v3", *DENSE)),
    *hold(divergences, ("deepseek_v4-flash", *DENSE)),
    *hold(rollout_and_training, ALL),
    *hold(routing_of_rollouts, ROUTED, Cause.CHOICE),
    *hold(sampling_repeats, ("deepseek_v4-flash", "qwen3_moe", *DENSE), Cause.UNSTEADY),
)
