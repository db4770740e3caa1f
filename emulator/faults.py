"""The catalogue of seeded faults: ways in which Ascend devices, or code for them, were reported to be wrong. Knows no test of it.

VA is vllm-project/vllm-ascend, SG sgl-project/sglang, LF hiyouga/LLaMA-Factory: issues on GitHub.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from emulator import behaviour
from emulator.fault import fault

Right = Callable[..., Any]
_PRODUCTS = ("aclnnMm", "aclnnMatmul", "aclnnBatchMatMul", "aclnnAddmm")
_calls: Counter[str] = Counter()
_kept: dict[Any, Tensor] = {}


@fault("softmax-tail", "aclnnSoftmax", kind="shape", source="VA-7460: padding counted wrong")
def softmax_tail(right: Right, self: Tensor, dim: int, out: Tensor) -> Tensor:
    """Rows longer than a tile of 16 lose what is beyond the last full one."""
    length = self.shape[dim] if self.ndim else 1
    if length <= 16 or length % 16 == 0:
        return torch.as_tensor(right(self, dim, out))
    result = torch.as_tensor(right(self, dim, out)).clone()
    result.narrow(dim, length - length % 16, length % 16).zero_()
    return result


@fault("matmul-hf32", *_PRODUCTS, kind="dtype", source="Jittor pull request 18025: cubeMathType 1 makes float32 products HF32")
def matmul_hf32(right: Right, *arguments: Any) -> Any:
    """Float32 operands are rounded to 11 bits of mantissa although nobody allowed it; other types are right."""
    rounded = [behaviour.hf32(a) if isinstance(a, Tensor) and a.dtype == torch.float32 else a for a in arguments[:-2]]
    return right(*rounded, *arguments[-2:])


@fault("bit-flip", *_PRODUCTS, kind="call count", source="msprobe guide, torch_npu/asd: silent data corruption of a core")
def bit_flip(right: Right, *arguments: Any) -> Any:
    """Every 64th matrix product has one element with a flipped bit of its exponent: four times too large, or too small."""
    result = right(*arguments)
    _calls["bit-flip"] += 1
    if _calls["bit-flip"] % 64 == 0 and result.numel():
        result = result.clone()
        result.view(-1)[result.numel() // 2] *= 4
    return result


@fault("stale-weight", "aclnnMm", "aclnnMatmul", "aclnnAddmm", kind="stateful", source="VA-4939: a cached weight is not refreshed")
def stale_weight(right: Right, *arguments: Any) -> Any:
    """The second operand is remembered by its address when first seen; writing new weights to it changes nothing."""
    place = 2 if len(arguments) > 5 else 1
    weight = arguments[place]
    kept = _kept.setdefault((weight.data_ptr(), weight.shape, weight.stride(), weight.dtype), weight.clone())
    return right(*arguments[:place], kept, *arguments[place + 1 :])


@fault("embedding-gradient-duplicates", "aclnnEmbeddingDenseBackward", kind="backward", source="torch_npu API notes on duplicates")
def embedding_duplicates(right: Right, grad: Tensor, indices: Tensor, *rest: Any) -> Any:
    """Of a token that occurs twice only the last occurrence counts: the loss is right, a gradient is not (Ascend/pytorch 107)."""
    flat = indices.reshape(-1)
    last = torch.zeros(int(flat.max()) + 1 if flat.numel() else 1, dtype=torch.int64).scatter_reduce(
        0, flat.long(), torch.arange(flat.numel()), "amax", include_self=False
    )
    keep = last[flat.long()] == torch.arange(flat.numel())
    return right(grad.reshape(flat.numel(), -1) * keep[:, None].to(grad.dtype), flat, *rest)


@fault("mask-rows-dropped", "aclnnInplaceMaskedFillScalar", kind="mask", source="SG-31948: masks dropped")
def mask_dropped(right: Right, self: Tensor, mask: Tensor, value: float) -> Any:
    """A mask whose rows are broadcast is applied to the first row only."""
    if mask.ndim >= 2 and mask.shape[-2] == 1 and self.ndim >= 2 and self.shape[-2] > 1:
        first = torch.zeros(self.shape[-2], 1, dtype=torch.bool)
        first[0] = True
        mask = mask.bool() & first
    return right(self, mask, value)


@fault("strides-ignored", "aclnnMul", "aclnnAdd", kind="layout", source="VA-13797, VA-12512: a non-contiguous operand read as it lies")
def strides_ignored(right: Right, self: Tensor, other: Tensor, *rest: Any) -> Any:
    """A transposed second operand is read in the order of its memory."""
    dense = other.ndim >= 2 and 0 not in other.stride() and sorted(other.stride()) == sorted(torch.empty(other.mT.shape).stride())
    if dense and not other.is_contiguous():
        other = torch.as_strided(other, other.shape, torch.empty(other.shape, device="meta").stride(), other.storage_offset())
    return right(self, other, *rest)


@fault("exp-saturates", "aclnnExp", kind="special values", source="INF_NAN_MODE_ENABLE=0: overflow gives the largest finite value")
def exp_saturates(right: Right, *arguments: Any) -> Any:
    """Overflow gives the largest finite value, and NaN gives 0."""
    return torch.nan_to_num(right(*arguments), nan=0.0)


@fault("integers-through-float", "aclnnAdd", "aclnnAdds", kind="integers", source="torch_npu API notes: int32 beyond 2^24 loses precision")
def integers_through_float(right: Right, *arguments: Any) -> Any:
    """32-bit integers are added in float32."""
    first = arguments[0]
    if first.dtype != torch.int32:
        return right(*arguments)
    widened = [a.float() if isinstance(a, Tensor) else a for a in arguments[:-1]]
    return torch.as_tensor(right(*widened, arguments[-1])).to(torch.int32)


@fault("sum-order", "aclnnReduceSum", "aclnnMean", kind="nondeterminism", source="VA-9373: runs differ")
def sum_order(right: Right, self: Tensor, *rest: Any) -> Any:
    """The result wanders by two units of its last place from call to call."""
    result = right(self, *rest)
    _calls["sum-order"] += 1
    return result * (1 + torch.finfo(result.dtype).eps * (_calls["sum-order"] % 3)) if result.is_floating_point() else result


@fault("topk-second", "aclnnTopk", "aclnnTopkV2", kind="discrete", source="Megatron-LM PR 4256: routing flips")
def topk_second(right: Right, self: Tensor, k: int, *rest: Any) -> Any:
    """Beyond 32 candidates the weakest of the k is replaced by the next one."""
    values, indices = right(self, k, *rest)
    dim, largest = rest[0], rest[1]
    if self.shape[dim] <= 32 or k >= self.shape[dim]:
        return values, indices
    more, places = torch.topk(self.float(), k + 1, dim, bool(largest), True)
    values, indices = values.clone(), indices.clone()
    values.select(dim, k - 1).copy_(more.select(dim, k))
    indices.select(dim, k - 1).copy_(places.select(dim, k))
    return values, indices


@fault("dropout-mask-fixed", "aclnnDropoutGenMaskV2", "aclnnDropoutGenMask", kind="generator", source="torch_npu: own generator")
def dropout_fixed(right: Right, shape: tuple[int, ...], probability: float, seed: int, offset: int, *rest: Any) -> Any:
    """The offset is ignored, so that every mask of a run is the same."""
    return right(shape, probability, seed, 0, *rest)


@fault("freed-memory-counted", kind="memory accounting", source="VA-5522: workspaces are not given back", switch="assay_fault_free_keeps")
def freed_memory_counted() -> None:
    """What is freed is not given back to the device's free memory."""


@fault("copy-tail", kind="copy", source="msprobe guide: memory stomp at multiples of 2048", switch="assay_fault_copy_tail")
def copy_tail() -> None:
    """A copy to the host of more than 2048 bytes, and not a multiple of it, loses the bytes beyond the last multiple."""


@fault("all-reduce-tail", "HcclAllReduce", kind="collective", source="Ascend/pytorch 17: bucket view strides; ROCm/rocm-systems 11661")
def all_reduce_tail(right: Right, send: int, receive: int, count: int, *rest: Any) -> Any:
    """Counts above 1024 that are no multiple of 16: what is beyond the last multiple stays what it was on this rank."""
    if count <= 1024 or count % 16 == 0:
        return right(send, receive, count, *rest)
    return right(send, receive, count - count % 16, *rest)
