"""What losses are on inputs for which anybody can say it: ln 2, ln V, zero. Knows no device."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from harness.case import Step
from harness.inputs import Inputs
from harness.verdict import Cause
from suites.workloads.invariants.stating import ALL, DENSE, V4, Stated, agree, cancels, exact, hold, moved, nothing, present, stated
from suites.workloads.invariants.subject import BYTES, gradients, logits, logprobs, subject, terms, text
from suites.workloads.post_training import completions
from suites.workloads.post_training.dpo import dpo_loss
from suites.workloads.post_training.sft import next_token

_LENGTH = 40


def dpo_begins_at_ln2(inputs: Inputs, /, *, model: str) -> Step:
    """The policy is its own reference: every margin is 0, the loss ln 2 (Rafailov et al., NeurIPS 2023, equation 7), its gradient not 0."""
    module, beta = subject(inputs, model), 0.1
    tokens = text(inputs, 4, _LENGTH)
    mask = torch.arange(_LENGTH, device=tokens.device).expand(4, -1) >= _LENGTH // 2
    batch = {"tokens": tokens, "attention_mask": torch.ones_like(tokens), "completion_mask": mask}

    def check() -> Stated:
        with torch.no_grad():
            reference = completions.token_logprobs(module, batch)
        found = dpo_loss(beta)(module, {**batch, "reference": reference})
        moving = gradients(module, found["loss"])
        size = sum(g.double().square().sum() for g in moving.values())
        assert isinstance(size, Tensor)
        log2 = torch.full_like(found["loss"], math.log(2))
        return {
            **agree("loss", found["loss"], log2),
            **cancels("margins", found["margins"], beta * reference.sum(-1)), **present("gradient", size),
        }  # fmt: skip

    return stated(check, terms(module, _LENGTH))


def uniform_loss_is_ln_vocabulary(inputs: Inputs, /, *, model: str) -> Step:
    """A head of zeros knows nothing: the loss is ln V, whatever the text; the body gets no gradient, the head does."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)
    head = module.get_output_embeddings()
    with torch.no_grad():
        head.weight.zero_()

    def check() -> Stated:
        loss = next_token(module, {"tokens": tokens})["loss"]
        found = gradients(module, loss)
        body = torch.cat([g.flatten() for name, g in found.items() if not name.startswith("lm_head")])
        return {
            **agree("loss", loss, torch.full_like(loss, math.log(module.config.vocab_size))),
            **nothing("gradient of the body", body, found["lm_head.weight"]),
        }

    return stated(check, module.config.vocab_size)


def loss_follows_the_chain_rule(inputs: Inputs, /, *, model: str, length: int) -> Step:
    """The loss of a text is minus the mean of log p(token | prefix), each asked of its prefix alone: the labels are the tokens one on."""
    module = subject(inputs, model)
    tokens = text(inputs, 1, length)

    @torch.no_grad()
    def check() -> Stated:
        loss = next_token(module, {"tokens": tokens})["loss"]
        last = torch.stack([functional.log_softmax(logits(module, tokens[:, :n])[0, -1], -1)[tokens[0, n]] for n in range(1, length)])
        return {**agree("loss", loss, -last.mean()), **agree("logprobs", logprobs(logits(module, tokens), tokens)[0], last)}

    return stated(check, terms(module, length))


def loss_counts_real_tokens(inputs: Inputs, /, *, model: str) -> Step:
    """Padded rows of unequal length: log-probabilities of the completions add up row by row, and padding adds nothing."""
    module = subject(inputs, model)
    lengths = (_LENGTH, _LENGTH // 2, _LENGTH // 4)
    rows = [text(inputs, 1, n, f"row{n}")[0] for n in lengths]
    host = completions.padded([(r[:4].tolist(), r[4:].tolist()) for r in rows], _LENGTH, 256)
    batch = {name: inputs.given(name, tensor) for name, tensor in host.items()}

    @torch.no_grad()
    def check() -> Stated:
        together = completions.logprobs(module, batch)
        alone = torch.stack([logprobs(logits(module, row[None]), row[None])[0, 3:].sum() for row in rows])
        count = batch["completion_mask"].sum(-1)
        return {
            **agree("logprobs", together, alone),
            **exact("completion tokens", count, torch.tensor([n - 4 for n in lengths], device=count.device)),
        }

    return stated(check, terms(module, _LENGTH))


def softmax_normalises(inputs: Inputs, /, *, model: str) -> Step:
    """The probabilities of the model's logits add up to 1, and adding a constant to all logits changes no log-probability."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    @torch.no_grad()
    def check() -> Stated:
        scores = 20 * logits(module, tokens)  # a model that is as sure as a trained one
        logp = functional.log_softmax(scores, -1)
        total = torch.softmax(scores, -1).sum(-1)
        return {
            **agree("sum", total, torch.ones_like(total)), **agree("sum of exponentials", logp.exp().sum(-1), torch.ones_like(total)),
            **agree("shifted", functional.log_softmax(scores + 8, -1), logp), **moved("logits", scores),
        }  # fmt: skip

    return stated(check, module.config.vocab_size)


def cross_entropy_gradient_cancels(inputs: Inputs, /, *, model: str) -> Step:
    """d loss / d logits is (softmax - one-hot) / tokens: over the vocabulary it adds up to zero, and after the last token it is zero."""
    module = subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    def check() -> Stated:
        scores = logits(module, tokens).detach().requires_grad_()

        loss = next_token(_Fixed(scores), {"tokens": tokens})["loss"]
        (found,) = torch.autograd.grad(loss, scores)
        count = tokens[:, 1:].numel()
        right = (torch.softmax(scores, -1)[:, :-1] - functional.one_hot(tokens[:, 1:], scores.shape[-1])) / count
        return {
            **cancels("sum", found.sum(-1), found.abs().sum(-1)), **agree("gradient", found[:, :-1], right),
            **nothing("after the last token", found[:, -1], found[:, :-1]),
        }  # fmt: skip

    return stated(check, module.config.vocab_size)


class _Fixed(torch.nn.Module):
    """A model that answers with given logits."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.logits = scores

    def forward(self, **_: object) -> "_Fixed":
        """Return itself, which has `logits`."""
        return self


def loss_falls_when_the_answer_gains(inputs: Inputs, /, *, model: str) -> Step:
    """A model that always names the next token has no loss; one that names the present token, or that after the next, has a large one."""
    subject(inputs, model)
    tokens = text(inputs, 2, _LENGTH)

    def check() -> Stated:
        def sure(shift: int) -> Tensor:
            named = torch.roll(tokens, -shift, 1)
            return next_token(_Fixed(50.0 * functional.one_hot(named, BYTES + 3).float()), {"tokens": tokens})["loss"]

        right, present_token, after_next = sure(1), sure(0), sure(2)
        return {
            **cancels("loss", right, present_token), **present("loss of the present token", present_token.floor()),
            **present("loss of the token after the next", after_next.floor()),
        }  # fmt: skip

    return stated(check)


CASES = (
    *hold(dpo_begins_at_ln2, (*V4, "qwen3_moe", "llama")),
    *hold(uniform_loss_is_ln_vocabulary, ALL),
    *hold(loss_follows_the_chain_rule, ALL, length=20),
    *hold(loss_counts_real_tokens, ALL),
    *hold(softmax_normalises, ("deepseek_v3", *DENSE)),
    *hold(cross_entropy_gradient_cancels, ("deepseek_v4-flash", "deepseek_v3", *DENSE), Cause.GRADIENT),
    *hold(loss_falls_when_the_answer_gains, ("llama",)),
)
