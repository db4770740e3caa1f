import pytest
import torch

from emulator.ops import shapes
from tests.emulator.agree import agree

X = torch.arange(120.0).view(4, 5, 6)
REPEATS = torch.tensor([2, 0, 1, 3, 1])


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (lambda x: torch.cat([x, x[:, 1:]], 1), (X,)),
        (lambda x: torch.cat([x.half(), x], -1), (X,)),
        (lambda x: torch.cat([torch.empty(0, device=x.device), x]), (X,)),
        (lambda x: torch.stack([x, x.flip(0)], 1), (X,)),
        (lambda x: x.repeat(2, 1, 3), (X,)),
        (lambda x: x.mT.repeat(2, 2, 1, 1), (X,)),
        (torch.repeat_interleave, (X, 3)),
        (torch.repeat_interleave, (X, 3, 1)),
        (torch.repeat_interleave, (X, REPEATS, 1)),
        (torch.repeat_interleave, (X, REPEATS, -2)),
        (torch.repeat_interleave, (X[0, :, 0], REPEATS)),
        (torch.repeat_interleave, (REPEATS,)),
        (torch.roll, (X, 2, 1)),
        (torch.roll, (X, (1, -2), (0, 2))),
        (torch.roll, (X, 7)),
        (torch.flip, (X, [0, 2])),
        (torch.tril, (X,)),
        (lambda x: torch.tril(x.mT, -1), (X,)),
        (torch.triu, (X, 2)),
        (torch.triu, (X.bool(), -1)),
        (lambda x: x.clone().tril_(1), (X,)),
        (lambda x: x.clone().triu_(), (X,)),
        (torch.channel_shuffle, (torch.arange(72.0).view(2, 4, 3, 3), 2)),
        (torch.nn.functional.one_hot, (torch.tensor([[0, 2], [1, 1]]),)),
        (torch.nn.functional.one_hot, (torch.tensor([[0, 2], [1, 1]]), 5)),
        (torch._chunk_cat, ([X, X[:2]], 0, 2)),
        (lambda x: x.clone().fill_diagonal_(3.0), (X[0],)),
    ],
)
def test_equal_to_the_cpu(call, arguments):
    agree(call, *arguments)


def test_split_into_given_tensors():
    wide = torch.arange(70_000.0).view(1, -1)
    sizes = [2000] * 35

    def split(x):
        out = [torch.empty(1, size, device=x.device) for size in sizes]
        torch.split_with_sizes_copy(x, sizes, 1, out=out)
        return out

    agree(split, wide)


def test_gradient_of_repeat_interleave():
    def gradient(x, repeats):
        y = torch.repeat_interleave(x, repeats, 1)
        (y * torch.linspace(0, 1, y.numel(), device=x.device).view(y.shape)).sum().backward()
        return x.grad

    agree(gradient, X.clone().requires_grad_(), REPEATS)


def test_gradient_of_unfold():
    def gradient(x):
        x.unfold(1, 3, 1).pow(2).sum().backward()
        return x.grad

    agree(gradient, X.clone().requires_grad_())


def test_one_hot_beyond_the_depth_is_off_everywhere():
    found = shapes.OneHot(torch.tensor([0, 7]), 3, torch.tensor([5]), torch.tensor([-1]), 0, torch.empty(0))
    assert found.tolist() == [[5, -1], [-1, -1], [-1, -1]]


@pytest.mark.parametrize("transpose_first", [True, False])
def test_confusion_transpose(transpose_first):
    found = shapes.ConfusionTranspose(X, (0, 2, 1), (4, 30, 1), transpose_first, X)
    assert found.equal(X.permute(0, 2, 1).reshape(4, 30, 1) if transpose_first else X.reshape(4, 30, 1).permute(0, 2, 1))


@pytest.mark.parametrize(
    ("begin", "end", "strides", "masks", "expected"),
    [
        ((1, 0), (3, 5), (1, 2), (0, 0, 0, 0, 0), X[1:3, 0:5:2]),
        ((3, -1), (0, -6), (-2, -1), (0, 0, 0, 0, 0), X.flip(0, 1)[0:3:2]),
        ((1, 9), (9, 2), (1, 1), (2, 1, 0, 0, 0), X[1:, :2]),
        ((0, 1), (0, 3), (1, 1), (0, 0, 1, 0, 0), X[..., 1:3]),
        ((0, 0, 1), (0, 0, 3), (1, 1, 1), (0, 0, 1, 2, 0), X[..., None, 1:3]),
        ((2, 0, 1), (0, 0, 3), (1, 1, 1), (0, 0, 0, 2, 1), X[2, None, 1:3]),
    ],
)
def test_strided_slice(begin, end, strides, masks, expected):
    assert shapes.StridedSlice(X, begin, end, strides, *masks, X).equal(expected)
