"""Every operator of PyTorch's own database with its sample inputs, in each dtype that it takes, forward and backward. Knows no device."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from harness.case import Case, Promise, Step
from harness.checks.answered import Answered
from harness.checks.closeness import Closeness
from harness.checks.exact import Exact
from harness.checks.probed import Probed
from harness.checks.special_values import SpecialValues
from harness.inputs import Inputs
from suites.assets import opinfo
from suites.workloads.operators.choosing import CHOOSING, chosen, settled
from suites.workloads.operators.dtypes import BESIDE_OURS
from suites.workloads.operators.samples import Calls, Sample

DTYPES = ("float32", "bfloat16", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")

_CUDA = "PyTorch has it for CUDA only"
_SPARSE = "its operands are sparse; no layout but the dense one is tested"
_FLOAT8 = "takes float8 only, and has no float64 kernel to judge it by"

#: Operators that are not run, and why.
LEFT_OUT: Mapping[str, str] = {
    "jiterator_unary": _CUDA, "jiterator_binary": _CUDA, "jiterator_4inputs_with_extra_args": _CUDA,
    "jiterator_binary_return_by_ref": _CUDA, "jiterator_2inputs_2outputs": _CUDA,
    "torch.ops.aten._flash_attention_forward": _CUDA, "torch.ops.aten._efficient_attention_forward": _CUDA,
    "nn.functional.batch_norm/without_cudnn": _CUDA,
    "sparse.sampled_addmm": _SPARSE, "sparse.mm/reduce": _SPARSE,
    "torch._scaled_mm": _FLOAT8, "torch._scaled_mm_v2": _FLOAT8,
}  # fmt: skip

_UNDEFINED = "what its result holds is undefined"

#: Operators of whose results only dtype and shape are compared, and why. Random draws are judged by their distribution elsewhere.
FORM_ONLY: Mapping[str, str] = dict.fromkeys(
    ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"), _UNDEFINED
)

#: Operators that draw random numbers for some of their samples.
MAY_DRAW = (
    "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "nn.functional.alpha_dropout", "nn.functional.dropout",
    "nn.functional.dropout2d", "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout/with_train",
    "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d", "nn.functional.multi_head_attention_forward",
    "nn.functional.rrelu", "nn.functional.scaled_dot_product_attention", "normal", "normal/in_place", "normal/number_mean", "pca_lowrank",
    "rand_like", "randint", "randint_like", "randn", "randn_like", "svd_lowrank", "uniform",
)  # fmt: skip

#: Operators that PyTorch refuses among deterministic algorithms: equal indices may come with unequal values. In the samples they do not.
_ONE_TO_ONE = tuple(f"nn.functional.max_unpool{n}d{variant}" for n in (1, 2, 3) for variant in ("", "/grad"))

#: Operators that read memory rather than values, or take contiguous operands only: they are not tried in other layouts.
_BY_MEMORY = (
    "as_strided",
    "as_strided/partial_views",
    "as_strided_copy",
    "as_strided_scatter",
    "resize_",
    "resize_as_",
    "native_group_norm",
)

#: Elements of the largest operand of a sample that is called. Only grid_sampler_3d has larger ones, of up to 130 MB and seconds each
#: (minutes in float16 on a CPU): their modes are those of its smaller ones.
LARGEST = 2**17

CHECKS: tuple[Promise, ...] = (Answered(), SpecialValues(), Closeness(samples=True), Exact(), Probed(), *BESIDE_OURS)


def sampled(inputs: Inputs, /, *, operator: str) -> Step:
    """Call `operator` on each of its sample inputs; returns what `Calls` does. One call of the step is all samples."""
    if inputs.rotation is not None and operator in _BY_MEMORY:
        raise ValueError(f"{operator} is defined by how its operands lie in memory")
    op = opinfo.operators()[operator]
    called = _undemanding(op) if operator in _ONE_TO_ONE else chosen(operator, op) if operator in CHOOSING else op
    return Calls(inputs, called, _samples(operator, inputs.dtype, inputs.seed), operator in FORM_ONLY).step()


def _undemanding(op: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator as it is where nobody demands deterministic algorithms."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        demanded = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
        try:
            return op(*arguments, **keywords)
        finally:
            torch.use_deterministic_algorithms(demanded)

    return call


@lru_cache(maxsize=2)  # the float64 side, and other layouts, take the same ones
def _samples(operator: str, dtype: torch.dtype, seed: int) -> list[Sample]:
    op = opinfo.operators()[operator]
    drawn = [Sample((s.input, *s.args), dict(s.kwargs), s.output_process_fn_grad) for s in opinfo.samples(op, dtype, seed)]
    found = [sample for sample in drawn if all(leaf.numel() <= LARGEST for leaf in sample.leaves)]
    if operator in MAY_DRAW:
        found = [sample.tried(op) for sample in found]
    if operator in CHOOSING:
        return [settled(operator, sample) for sample in found]
    return [_indices_on_host(sample) for sample in found] if operator == "tensor_split" else found


def _indices_on_host(sample: Sample) -> Sample:
    """tensor_split takes its indices from the host only, on every device."""
    first, *others = sample.arguments
    return replace(sample, arguments=(first, *(o.tolist() if isinstance(o, torch.Tensor) else o for o in others)))


def _dtypes(name: str) -> list[str]:
    """Return those of DTYPES that the operator takes, or complex64 where it takes none of them."""
    taken = opinfo.dtypes(opinfo.operators()[name])
    return [dtype for dtype in DTYPES if dtype in taken] or ["complex64"]


CASES = tuple(
    Case(f"operators/opinfo/{name}[{dtype}]", "operators", sampled, dtype, CHECKS, {"operator": name}, probed=True, wide=True)
    for name in opinfo.operators()
    if name not in LEFT_OUT
    for dtype in _dtypes(name)
)
