"""What the schema of an ATen operator says: is there anything to compare, what does it write to, what stands in for it elsewhere.

Knows no device by name, and no number.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional

Arguments = tuple[Sequence[Any], Mapping[str, Any]]

#: Operators whose result is memory that nobody has written yet, or the operand itself in another shape.
_NO_VALUE = frozenset({
    "empty", "empty_like", "empty_strided", "empty_permuted", "empty_quantized", "new_empty", "new_empty_strided", "resize_", "resize_as_",
    "set_", "_unsafe_view", "_reshape_alias", "lift", "lift_fresh", "is_same_size", "record_stream",
})  # fmt: skip
_OTHERS = frozenset({"profiler", "prim", "c10d", "_c10d_functional", "c10d_functional"})  # no arithmetic of a device


def name_of(operator: OpOverload) -> str:
    """Return `aten::add.Tensor`, or `aten::mm` for the overload that has no name of its own."""
    return str(operator.name())  # type: ignore[no-untyped-call]


def by_name(name: str) -> OpOverload:
    """Return the operator of that name. Raises AttributeError where this PyTorch has none."""
    namespace, _, rest = name.partition("::")
    packet, _, overload = rest.partition(".")
    found = getattr(getattr(getattr(torch.ops, namespace), packet), overload or "default")
    assert isinstance(found, OpOverload)
    return found


def why_skipped(operator: OpOverload, arguments: Arguments) -> str:
    """Return why there is nothing to compare: "view", "random", "no value", or nothing if there is."""
    schema = operator._schema
    if operator.namespace in _OTHERS or operator._opname in _NO_VALUE:
        return "no value"
    writes = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
    if not writes and any(r.alias_info is not None for r in schema.returns):
        return "view"
    if not writes and not any("Tensor" in str(r.type) for r in schema.returns):
        return "no value"
    if torch.Tag.nondeterministic_seeded in operator.tags and not _drops_nothing(operator, arguments):
        return "random"
    return ""


def _drops_nothing(operator: OpOverload, arguments: Arguments) -> bool:
    """Tell whether an operator that could draw dropout is called without."""
    return named(operator, arguments).get("dropout_p") == 0


def named(operator: OpOverload, arguments: Arguments) -> dict[str, Any]:
    """Return the arguments of a call by their names in the schema, defaults included."""
    positional, keywords = arguments
    found = {a.name: a.default_value for a in operator._schema.arguments if a.has_default_value()}
    found.update(zip((a.name for a in operator._schema.arguments), positional, strict=False))
    return {**found, **keywords}


def written(operator: OpOverload, arguments: Arguments) -> list[Any]:
    """Return the arguments (tensors or lists of tensors) that a call writes to."""
    values = named(operator, arguments)
    marked = (a.name for a in operator._schema.arguments if a.alias_info is not None and a.alias_info.is_write)
    return [values[name] for name in marked if values.get(name) is not None]


def in_one_dtype(operator: OpOverload, arguments: Arguments) -> Arguments:
    """Return the arguments without the demand, which only some devices know, to widen half precision on the way."""
    place = next((i for i, a in enumerate(operator._schema.arguments) if a.name == "half_to_float"), None)
    positional, keywords = arguments
    if place is None or place >= len(positional):
        return arguments
    return [*positional[:place], False, *positional[place + 1 :]], keywords


def stand_in(operator: OpOverload) -> Callable[..., Any] | None:
    """Return the function that does on every device what a kernel of one kind of device does, or None where none is needed.

    The CPU's and CUDA's fused attentions exist there only; another device has its own behind the same public function.
    """
    return _STAND_INS.get(operator._opname) if operator.namespace == "aten" else None


def _attention(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False, *,
    attn_mask: Tensor | None = None, scale: float | None = None,
) -> tuple[Tensor, None]:  # fmt: skip
    """Scaled dot-product attention [batch, heads, length, width]; of the two results the log-sum is each kernel's own affair."""
    grouped = query.shape[1] != key.shape[1]
    out = functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=grouped)
    return out, None


def _attention_backward(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, dropout_p: float, is_causal: bool, *,
    attn_mask: Tensor | None = None, scale: float | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of query, key and value, by differentiating the public function anew: `out` and `logsumexp` are not asked for."""
    leaves = [t.detach().requires_grad_() for t in (query, key, value)]
    again, _ = _attention(leaves[0], leaves[1], leaves[2], dropout_p, is_causal, attn_mask=attn_mask, scale=scale)
    return torch.autograd.grad(again, leaves, grad_out)


def _matmul_backward(grad: Tensor, self: Tensor, other: Tensor, mask: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Gradients of a matrix product's two factors, where `mask` asks for them."""
    leaves = [t.detach().requires_grad_() for t in (self, other)]
    wanted = [leaf for leaf, asked in zip(leaves, mask, strict=True) if asked]
    found = iter(torch.autograd.grad(torch.matmul(*leaves), wanted, grad))
    return tuple(next(found) if asked else None for asked in mask)


_STAND_INS: dict[str, Callable[..., Any]] = {
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "matmul_backward": _matmul_backward,
}


def outside(function: Callable[..., Any], arguments: Arguments) -> Any:
    """Call a function where no dispatch mode is entered and gradients are taken: in a thread of its own, which has neither."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments[0], **arguments[1]).result()
