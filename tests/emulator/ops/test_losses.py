"""Losses: the same bits as on the CPU, with every gradient, for every reduction."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

pytestmark = pytest.mark.filterwarnings("ignore:reduction. .mean. divides the total loss")  # PyTorch, of the KL divergence
G = torch.Generator().manual_seed(0)
X, Y, W = (torch.randn(4, 5, generator=G) for _ in range(3))
CLASSES, FOURS = torch.tensor([1, -100, 4, 0]), torch.tensor([1, 4, 4, 0])
IMAGE = torch.arange(10).view(1, 2, 5) % 2
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
Loss = Callable[[Tensor, Tensor, Tensor, str], Tensor]

#: Of a prediction, a target and a weight; a gradient flows to the prediction, and to the target unless it is detached.
LOSSES: dict[str, Loss] = {
    "l1": lambda x, y, w, how: F.l1_loss(x, y, reduction=how),
    "mse": lambda x, y, w, how: F.mse_loss(x, y, reduction=how),
    "smooth l1": lambda x, y, w, how: F.smooth_l1_loss(x, y, reduction=how),
    "smooth l1 with a beta": lambda x, y, w, how: F.smooth_l1_loss(x, y, reduction=how, beta=0.25),
    "soft margin": lambda x, y, w, how: F.soft_margin_loss(x, y.detach().sign(), reduction=how),
    "binary cross entropy": lambda x, y, w, how: F.binary_cross_entropy(x.sigmoid(), y.detach().sigmoid(), reduction=how),
    "binary cross entropy, weighted": lambda x, y, w, how: F.binary_cross_entropy(
        x.sigmoid(), y.detach().sigmoid(), w.detach().abs(), reduction=how
    ),
    "binary cross entropy of logits": lambda x, y, w, how: F.binary_cross_entropy_with_logits(x, y.detach().sigmoid(), reduction=how),
    "binary cross entropy of logits, weighted": lambda x, y, w, how: F.binary_cross_entropy_with_logits(
        x, y.detach().sigmoid(), w.detach().abs(), reduction=how
    ),
    "binary cross entropy of logits, positives weighted": lambda x, y, w, how: F.binary_cross_entropy_with_logits(
        x, y.detach().sigmoid(), pos_weight=w[0].detach().abs(), reduction=how
    ),
    "kl divergence": lambda x, y, w, how: F.kl_div(x, y.sigmoid(), reduction=how),
    "kl divergence of logarithms": lambda x, y, w, how: F.kl_div(x, y, reduction=how, log_target=True),
    "kl divergence, broadcast": lambda x, y, w, how: F.kl_div(x, y[:1].detach().sigmoid(), reduction=how),
    "nll": lambda x, y, w, how: F.nll_loss(x, CLASSES.to(x.device), reduction=how),
    "nll, weighted": lambda x, y, w, how: F.nll_loss(x, FOURS.to(x.device), w[0].abs(), reduction=how, ignore_index=4),
    "nll of images": lambda x, y, w, how: F.nll_loss(x.view(1, 2, 2, 5), IMAGE.to(x.device), reduction=how),
    "cross entropy": lambda x, y, w, how: F.cross_entropy(x, CLASSES.to(x.device), reduction=how),
    "cross entropy, smoothed": lambda x, y, w, how: F.cross_entropy(x, CLASSES.to(x.device), reduction=how, label_smoothing=0.1),
    "cross entropy of probabilities": lambda x, y, w, how: F.cross_entropy(x, y.softmax(-1), reduction=how),
    "cosine embedding": lambda x, y, w, how: F.cosine_embedding_loss(x, y, x.new_ones(4), reduction=how),
    "triplet margin": lambda x, y, w, how: F.triplet_margin_loss(x, y, w.detach(), reduction=how),
    "poisson nll": lambda x, y, w, how: F.poisson_nll_loss(x, y.detach().abs(), reduction=how),
    "gaussian nll": lambda x, y, w, how: F.gaussian_nll_loss(x, y, w.detach().abs(), reduction=how),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_as_on_the_cpu(name: str, dtype: torch.dtype, reduction: str) -> None:
    agree(with_gradients(lambda x, y: LOSSES[name](x, y, W.to(x), reduction)), X.to(dtype), Y.to(dtype))


def test_a_single_sample() -> None:
    agree(with_gradients(lambda x: F.cross_entropy(x, torch.tensor(2, device=x.device))), X[0])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_multilabel_margin(reduction: str) -> None:
    target = torch.tensor([[1, 2, -1, 0, 0]] * 4)
    agree(lambda x: F.multilabel_margin_loss(x, target.to(x.device), reduction=reduction), X)
    narrow = F.multilabel_margin_loss(X.half().npu(), target.npu(), reduction=reduction)
    torch.testing.assert_close(narrow.cpu(), F.multilabel_margin_loss(X.half().float(), target, reduction=reduction).half())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("blank", [0, 3])
def test_ctc(blank: int, reduction: str) -> None:
    logits = torch.randn(10, 2, 6, generator=G)
    targets = torch.tensor([[1, 2, 1, 5], [4, 4, 2, 1]])

    def loss(x: Tensor) -> Tensor:
        lengths = torch.tensor([10, 8]), torch.tensor([4, 2])
        return F.ctc_loss(x.log_softmax(-1), targets.to(x.device), *lengths, blank=blank, reduction=reduction, zero_infinity=True)

    agree(with_gradients(loss), logits)


def test_classes_of_32_bits() -> None:
    """The CPU takes classes of 64 bits only."""
    scores, classes = torch.randn(5, 4).log_softmax(1), torch.tensor([0, 3, 1, 2, 2])
    assert F.nll_loss(scores.npu(), classes.int().npu()).cpu().equal(F.nll_loss(scores, classes))
