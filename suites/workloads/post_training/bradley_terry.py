"""The Bradley-Terry model: rewards explain which of two completions is preferred. Knows no language model and no stage."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from harness.case import Promise
from harness.checks.closeness import Closeness
from harness.checks.share import Share
from suites.workloads.post_training.promises import promised

#: What is promised of a stage that compares rewards. The accuracy is a count, and judged as such.
CHECKS: tuple[Promise, ...] = (
    Closeness(only=("first/*",)), *promised(("chosen_reward", "rejected_reward", "margin")), Share("accuracy", "margins"),
)  # fmt: skip


def bradley_terry(rewards: Tensor) -> Mapping[str, Tensor]:
    """Return `loss` and what else is followed, given rewards [2 pairs]: those of the chosen completions, then of the rejected.

    `loss` is the mean of -log sigmoid(margin) in nats, where a margin is chosen minus rejected (Bradley and Terry, Biometrika 1952; the
    sigmoid is the probability of the preference). `margins` [pairs]; `margin`, `chosen_reward` and `rejected_reward` are means;
    `accuracy` is the share of margins above zero.
    """
    chosen, rejected = rewards.chunk(2)
    margins = chosen - rejected
    return {
        "loss": -functional.logsigmoid(margins).mean(), "margins": margins, "margin": margins.mean(), "chosen_reward": chosen.mean(),
        "rejected_reward": rejected.mean(), "accuracy": (margins > 0).to(margins.dtype).mean(),
    }  # fmt: skip
