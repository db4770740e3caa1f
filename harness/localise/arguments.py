"""The arguments of an operator: copied to another device as they lie, widened to float64, written down. Knows no operator."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_WIDER = {
    torch.float32: torch.float64, torch.bfloat16: torch.float64, torch.float16: torch.float64, torch.float8_e4m3fn: torch.float64,
    torch.float8_e5m2: torch.float64, torch.complex64: torch.complex128, torch.complex32: torch.complex128,
}  # fmt: skip
_ALIGNED = 256  # elements: a view that begins off a boundary of this many begins as far off it in the copy


def transform(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return `value` with `change` applied to everything in it that is no list, tuple or mapping."""
    if isinstance(value, (list, tuple)):
        return type(value)(transform(v, change) for v in value)
    if isinstance(value, Mapping):
        return {k: transform(v, change) for k, v in value.items()}
    return change(value)


def tensors_in(value: Any) -> list[Tensor]:
    """Return all tensors in nested arguments, in order."""
    if isinstance(value, Mapping):
        return tensors_in(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [tensor for part in value for tensor in tensors_in(part)]
    return [value] if isinstance(value, Tensor) else []


def laid_out(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a copy on `device` of the same shape, dtype, strides and misalignment; what lies between its elements comes along."""
    tensor = tensor.detach()
    if tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_neg() or tensor.numel() == 0:
        return tensor.to(device, copy=True)
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    lead = tensor.storage_offset() % _ALIGNED
    flat = tensor.as_strided((lead + extent,), (1,), tensor.storage_offset() - lead)
    return flat.to(device, copy=True).as_strided(tensor.shape, tensor.stride(), lead)


def placed(value: Any, here: torch.device, there: torch.device | None = None) -> Any:
    """Return arguments for `there`: tensors copied as they lie (one that occurs twice is one), the device `here` replaced.

    Without `there` each copy stays where its tensor is.
    """
    copies: dict[int, Tensor] = {}

    def change(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            if id(leaf) not in copies:
                copies[id(leaf)] = laid_out(leaf, there or leaf.device)
            return copies[id(leaf)]
        return there if there and isinstance(leaf, torch.device) and leaf.type == here.type else leaf

    return transform(value, change)


def widened(value: Any) -> Any:
    """Return arguments for a float64 evaluation on the host: floating tensors and dtypes widen, integers stay what they are."""
    copies: dict[int, Tensor] = {}
    host = torch.device("cpu")

    def change(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            if id(leaf) not in copies:
                copies[id(leaf)] = leaf.detach().to(host, _WIDER.get(leaf.dtype, leaf.dtype), copy=True)
            return copies[id(leaf)]
        if isinstance(leaf, torch.dtype):
            return _WIDER.get(leaf, leaf)
        return host if isinstance(leaf, torch.device) else leaf

    return transform(value, change)


def written_down(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return JSON for arguments. Tensors go into `tensors` as flat host tensors, by name; the JSON says how they lie.

    Raises TypeError for what JSON cannot tell.
    """
    if isinstance(value, (list, tuple)):
        return [written_down(v, tensors) for v in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}  # JSON has neither infinities nor NaN
    if isinstance(value, complex):
        return {"complex": [repr(value.real), repr(value.imag)]}
    if isinstance(value, Tensor):
        copy = laid_out(value.resolve_conj().resolve_neg(), torch.device("cpu"))
        name = f"tensor{len(tensors)}"
        flat = copy.as_strided((copy.untyped_storage().nbytes() // copy.element_size(),), (1,), 0)
        tensors[name] = flat.clone()
        return {"tensor": name, "shape": list(copy.shape), "stride": list(copy.stride()), "offset": copy.storage_offset()}
    if isinstance(value, torch.device):
        return {"device": "reference"}
    if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        return {"torch": str(value).removeprefix("torch.")}
    raise TypeError(f"an argument of type {type(value).__name__} cannot be written down")


def read_back(value: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
    """Return the arguments that `written_down` wrote, on the host; a device among them becomes `device`."""
    if isinstance(value, list):
        return [read_back(v, tensors, device) for v in value]
    if not isinstance(value, Mapping):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]].as_strided(value["shape"], value["stride"], value["offset"])
    if "float" in value:
        return float(value["float"])
    if "complex" in value:
        return complex(*(float(v) for v in value["complex"]))
    if "device" in value:
        return device
    return getattr(torch, value["torch"])
