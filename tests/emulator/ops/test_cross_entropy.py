"""Fused cross entropies by their definition in float64, with gradients through torch_npu's own autograd where it has them."""

import pytest
import torch
import torch.nn.functional as F
import torch_npu

from emulator.operator import OPERATORS

G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(5, 9, generator=G) * 3
TARGET = torch.tensor([3, 0, 8, 3, 5])
WEIGHT = torch.rand(9, generator=G)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("weight", "ignored", "smoothing"), [(None, -100, 0.0), (WEIGHT, 3, 0.0), (WEIGHT, 8, 0.2)])
def test_cross_entropy(weight, ignored, smoothing, reduction, dtype):
    options = {"reduction": reduction, "ignore_index": ignored, "label_smoothing": smoothing}
    x = LOGITS.to(dtype).npu().requires_grad_()
    found, log_prob, _, _ = torch_npu.npu_cross_entropy_loss(x, TARGET.npu(), None if weight is None else weight.npu(), **options)
    upstream = torch.linspace(1, 2, found.numel())
    found.backward(upstream.to(dtype).npu())
    wide = LOGITS.to(dtype).double().requires_grad_()
    expected = F.cross_entropy(wide, TARGET, None if weight is None else weight.double(), **options)
    expected.backward(upstream.double().view(expected.shape))
    tolerance = {} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(found.detach().cpu(), expected.detach().view(-1).to(dtype))
    torch.testing.assert_close(log_prob.detach().cpu(), wide.detach().log_softmax(-1).to(dtype))
    torch.testing.assert_close(x.grad.cpu(), wide.grad.to(dtype), **tolerance)


def test_the_z_loss_is_refused():
    with pytest.raises(NotImplementedError, match="z-loss"):
        OPERATORS["aclnnCrossEntropyLoss"].function(LOGITS, TARGET, None, "mean", -100, 0.0, 0.1, True, None, None, None, None)
    with pytest.raises(NotImplementedError, match="z-loss"):
        OPERATORS["aclnnCrossEntropyLossGrad"].function(LOGITS, LOGITS, TARGET, None, None, None, "mean", -100, 0.0, 0.1, None)


HIDDEN, TABLE = torch.randn(11, 4, generator=G).half(), torch.randn(12, 4, generator=G).half()
WORDS = torch.randint(12, (11,), generator=G)


def halves():
    """Return what each of two devices holds of the vocabulary: its part of the table, its first and last word."""
    return (TABLE[:7].npu(), 0, 6), (TABLE[7:].npu(), 7, 11)


@pytest.mark.parametrize("keep", [True, False])
def test_vocabulary_parallel_cross_entropy_and_its_gradients(keep):
    parts = [torch_npu.npu_fused_linear_online_max_sum(HIDDEN.npu(), table, WORDS.npu(), *words, keep) for table, *words in halves()]
    highest = torch.stack([part[0] for part in parts]).amax(0)
    sum_exp = sum(part[1] * (part[0] - highest).exp() for part in parts)
    inside = [(words[0] <= WORDS) & (words[1] >= WORDS) for _, *words in halves()]
    predicted = sum((part[2] + part[0] - highest) * here.npu() for part, here in zip(parts, inside, strict=True))
    grad = torch.linspace(1, 2, 11)
    by_hidden, by_table, losses = 0, [], []
    for part, (table, *_) in zip(parts, halves(), strict=True):
        loss, softmax = torch_npu.npu_fused_cross_entropy_loss_with_max_sum(
            highest, sum_exp, predicted, vocab_parallel_logits=part[5] if keep else None
        )
        known = {"softmax": softmax} if keep else {"logits_max": highest, "sum_exp_logits": sum_exp}
        of_hidden, of_table = torch_npu.npu_fused_linear_cross_entropy_loss_with_max_sum_backward(
            grad.npu(), HIDDEN.npu(), table, part[3], part[4], **known
        )
        by_hidden, by_table, losses = by_hidden + of_hidden.cpu().float(), [*by_table, of_table.cpu()], [*losses, loss.cpu()]
    hidden, table = HIDDEN.double().requires_grad_(), TABLE.double().requires_grad_()
    expected = F.cross_entropy(hidden @ table.T, WORDS, reduction="none")
    expected.backward(grad.double())
    tolerance = {"rtol": 5e-3, "atol": 5e-3} if keep else {}
    for loss in losses:
        torch.testing.assert_close(loss, expected.detach().float())
    torch.testing.assert_close(by_hidden, hidden.grad.float(), rtol=5e-3, atol=5e-3)
    torch.testing.assert_close(torch.cat(by_table), table.grad.half(), **tolerance)


def test_the_mask_is_a_bit_a_target_the_first_the_highest():
    words = torch.tensor([0, 1, 2, 3, 0, 0, 0, 9, 5]).npu()
    found = torch_npu.npu_fused_linear_online_max_sum(HIDDEN[:9].npu(), TABLE.npu(), words, 0, 2)
    assert found[3].cpu().tolist() == [0b00010001, 0b11111111]
    assert found[4].cpu().tolist() == [0, 1, 2, 0, 0, 0, 0, 0, 0]


def test_what_is_documented_as_not_supported_is_refused():
    with pytest.raises(NotImplementedError, match="label_smoothing"):
        OPERATORS["aclnnFusedCrossEntropyLossWithMaxSum"].function(*[WEIGHT] * 3, 0.1, None, None, None, WEIGHT, None)
    gradient = OPERATORS["aclnnFusedLinearCrossEntropyLossGrad"].function
    with pytest.raises(NotImplementedError, match="label_smoothing"):
        gradient(WEIGHT, HIDDEN, TABLE, WORDS, WORDS, 0.1, None, None, None, None, None)
    with pytest.raises(ValueError, match="softmax"):
        gradient(WEIGHT, HIDDEN, TABLE, WORDS, WORDS, 0.0, None, None, None, None, None)
