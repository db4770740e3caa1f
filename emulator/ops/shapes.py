"""Tensors joined, split, repeated, turned and cut: elements move, none is computed. Knows no index tensors."""

import torch
from torch import Tensor

from emulator.operator import Ints, Out, Outs, aclnn, plain

plain("Cat", "Tio", torch.cat)
plain("ChunkCat", "Tiio", torch._chunk_cat)
plain("Stack", "Tio", torch.stack)
plain("Repeat", "tIo", torch.Tensor.repeat)
plain("Roll", "tIIo", torch.roll)
plain("Flip", "tIo", torch.flip)
plain("Tril", "tio", torch.tril)
plain("Triu", "tio", torch.triu)
plain("InplaceTril", "oi", torch.Tensor.tril_)
plain("InplaceTriu", "oi", torch.Tensor.triu_)
plain("ChannelShuffle", "tio", torch.channel_shuffle)
plain("UnfoldGrad", "tIiiio", torch.ops.aten.unfold_backward)


@aclnn
def SplitWithSize(self: Tensor, sizes: Ints, dim: int, outs: Outs) -> tuple[tuple[Tensor, ...]]:
    return (torch.split(self, list(sizes), dim),)


@aclnn
def RepeatInterleave(self: Tensor, repeats: Tensor, total: int, out: Out) -> Tensor:
    return torch.repeat_interleave(self.reshape(-1), repeats, 0)


@aclnn
def RepeatInterleaveWithDim(self: Tensor, repeats: Tensor, dim: int, total: int, out: Out) -> Tensor:
    return torch.repeat_interleave(self, repeats, dim)


@aclnn
def RepeatInterleaveInt(self: Tensor, repeats: int, total: int, out: Out) -> Tensor:
    return torch.repeat_interleave(self.reshape(-1), repeats, 0)


@aclnn
def RepeatInterleaveIntWithDim(self: Tensor, repeats: int, dim: int, total: int, out: Out) -> Tensor:
    return torch.repeat_interleave(self, repeats, dim)


@aclnn
def RepeatInterleaveTensor(repeats: Tensor, total: int, out: Out) -> Tensor:
    return torch.repeat_interleave(repeats)


@aclnn
def RepeatInterleaveGrad(grad: Tensor, repeats: Tensor, dim: int, out: Out) -> Tensor:
    """Sums over the copies of each element, in their order, as the CPU's gradient has them."""
    places = torch.repeat_interleave(torch.arange(repeats.numel()), repeats)
    return torch.zeros(out.shape, dtype=grad.dtype).index_add(dim, places, grad)


@aclnn
def OneHot(self: Tensor, depth: int, on: Tensor, off: Tensor, axis: int, out: Out) -> Tensor:
    """The first element of `on` where the class is, of `off` elsewhere; a class beyond the depth is off everywhere (aclnnOneHot)."""
    axis = axis % (self.dim() + 1)
    classes = torch.arange(depth).view(depth, *[1] * (self.dim() - axis))
    return torch.where(self.unsqueeze(axis) == classes, on.reshape(-1)[0], off.reshape(-1)[0])


@aclnn
def ConfusionTranspose(self: Tensor, perm: Ints, shape: Ints, transpose_first: bool, out: Out) -> Tensor:
    """A permutation and a reshape, in the order asked for (page npu_confusion_transpose)."""
    return self.permute(perm).reshape(shape) if transpose_first else self.reshape(shape).permute(perm)


@aclnn
def StridedSlice(
    self: Tensor, begin: Ints, end: Ints, strides: Ints, begin_mask: int, end_mask: int, ellipsis: int, new_axis: int, shrink: int, out: Out
) -> Tensor:
    """TensorFlow's strided slice (page npu_indexing): bit i of a mask is about place i of begin, end and strides."""
    result, dim = self, 0
    for place in range(len(begin)):
        bit = 1 << place
        if ellipsis & bit:
            later = [1 << other for other in range(place + 1, len(begin))]
            dim = result.dim() - sum(1 for other in later if not new_axis & other)
        elif new_axis & bit:
            result, dim = result.unsqueeze(dim), dim + 1
        elif shrink & bit:
            result = result.select(dim, begin[place])
        else:
            first, last = None if begin_mask & bit else begin[place], None if end_mask & bit else end[place]
            kept = range(*slice(first, last, strides[place]).indices(result.shape[dim]))
            result, dim = result.index_select(dim, torch.tensor(kept, dtype=torch.int64)), dim + 1
    return result
