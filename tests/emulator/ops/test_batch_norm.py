"""Batch normalization: the same bits as on the CPU, with gradients and running statistics; its synchronized steps add up to the whole."""

import pytest
import torch
import torch_npu
from torch.nn.functional import batch_norm, instance_norm

from tests.emulator.agree import agree
from tests.emulator.ops.gradients import with_gradients

G = torch.Generator().manual_seed(0)
X = torch.randn(6, 4, 3, 5, generator=G) * 2 + 1
GRAD = torch.randn(X.shape, generator=G)
WEIGHT, BIAS = torch.randn(4, generator=G), torch.randn(4, generator=G)
MEAN, VAR = torch.randn(4, generator=G), torch.rand(4, generator=G)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
MIXES = [*[(dtype, dtype) for dtype in FLOATS], *[(torch.float32, dtype) for dtype in FLOATS[1:]]]


@pytest.mark.parametrize(("parameters", "dtype"), MIXES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_as_on_the_cpu(training, parameters, dtype):
    def run(x, weight, bias, mean, var):
        mean, var = mean.clone(), var.clone()
        return [*with_gradients(lambda x, w, b: batch_norm(x, mean, var, w, b, training, 0.3))(x, weight, bias), mean, var]

    agree(run, X.to(dtype), *[one.to(parameters) for one in (WEIGHT, BIAS, MEAN, VAR)])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_without_parameters(dtype):
    agree(with_gradients(lambda x: batch_norm(x, None, None, training=True)), X.to(dtype))
    agree(with_gradients(lambda x: batch_norm(x[:, :, 0, 0].contiguous(), None, None, training=True)), X.to(dtype))
    agree(with_gradients(instance_norm), X.to(dtype))


def parts():
    """Return the batch as two devices hold it: with different numbers of samples."""
    return X[:2].npu(), X[2:].npu()


@pytest.mark.parametrize("form", ["statistics", "sums"])
def test_statistics_gathered_from_devices_are_those_of_the_whole(form):
    counts = torch.tensor([30.0, 60.0]).npu()
    mean, var = MEAN.npu(), VAR.npu()
    if form == "statistics":
        each = [torch.batch_norm_stats(part, 1e-5) for part in parts()]
        gather = torch.batch_norm_gather_stats_with_counts
    else:
        each = [torch_npu.batch_norm_reduce(part, 1e-5) for part in parts()]
        gather = torch_npu.batch_norm_gather_stats_update
    found = gather(X.npu(), torch.stack([one[0] for one in each]), torch.stack([one[1] for one in each]), mean, var, 0.1, 1e-5, counts)
    rows = X.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(found[0].cpu(), rows.mean(1).float())
    torch.testing.assert_close(found[1].cpu(), (rows.var(1, correction=0) + 1e-5).rsqrt().float())
    torch.testing.assert_close(mean.cpu(), (0.9 * MEAN + 0.1 * rows.mean(1)).float())
    torch.testing.assert_close(var.cpu(), (0.9 * VAR + 0.1 * rows.var(1)).float())


def test_synchronized_forward_and_backward_equal_the_whole():
    whole = with_gradients(lambda x, w, b: (batch_norm(x, None, None, w, b, True) * GRAD).sum())(X, WEIGHT, BIAS)
    expected = batch_norm(X, None, None, WEIGHT, BIAS, True)
    mean, invstd = torch.batch_norm_stats(X.npu(), 1e-5)
    counts = torch.tensor([90], dtype=torch.int32).npu()
    weight, bias, grad = WEIGHT.npu(), BIAS.npu(), GRAD.npu()
    output = torch.batch_norm_elemt(X.npu(), weight, bias, mean, invstd, 1e-5)
    sum_dy, sum_dy_xmu, grad_weight, grad_bias = torch.batch_norm_backward_reduce(grad, X.npu(), mean, invstd, weight, True, True, True)
    grad_input = torch.batch_norm_backward_elemt(grad, X.npu(), mean, invstd, weight, sum_dy, sum_dy_xmu, counts)
    for found, wanted in zip((output, grad_input, grad_weight, grad_bias), (expected, *whole[1:]), strict=True):
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-4, atol=1e-5)


def test_half_precision_is_the_same_in_any_layout():
    call = with_gradients(lambda x, weight: batch_norm(x, None, None, weight, training=True))
    whole, turned = (call(x, WEIGHT.half().npu()) for x in (X.half().npu(), X.half().mT.contiguous().npu().mT))
    assert all(a.cpu().equal(b.cpu()) for a, b in zip(whole, turned, strict=True))
