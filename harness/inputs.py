"""The only door through which data enter a workload: drawn portably, rounded, hashed, placed. Knows no device API and no model.

Draws are integer arithmetic on a counter (SplitMix64, Steele et al., OOPSLA 2014), so the bits are the same on every
operating system, architecture and library version; no libm function is involved.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.digests import UNSEEN
from harness.layouts import LAYOUTS, lay_out
from harness.serving.engine import Engine, Ids

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
ARITHMETIC = 2.0**-24  # the roundoff in which sums and functions are to be computed, of narrower dtypes too (PyTorch's opmath)
_CHUNK = 1 << 18  # elements drawn at a time, so that the temporaries stay in cache


def _splitmix64(counter: np.ndarray) -> np.ndarray:
    z = counter * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _key(seed: int, name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "little"))


def draw_bits(seed: int, name: str, count: int, start: int = 0) -> np.ndarray:
    """Return `count` uint64 words of the stream (seed, name), beginning at word `start`."""
    with np.errstate(over="ignore"):
        return _splitmix64(np.arange(start + 1, start + count + 1, dtype=np.uint64) + _key(seed, name))


def draw_normal(seed: int, name: str, count: int) -> np.ndarray:
    """Return `count` float64 draws of mean 0 and variance 1, confined to [-6, 6].

    Each is the sum of twelve 16-bit uniform integers (Irwin-Hall), which is exact in integers and in float64.
    """
    out = np.empty(count, dtype=np.float64)
    for begin in range(0, count, _CHUNK):
        n = min(_CHUNK, count - begin)
        pieces = draw_bits(seed, name, 3 * n, 3 * begin).view(np.uint16).reshape(n, 12)
        out[begin : begin + n] = (pieces.sum(axis=1, dtype=np.int64) - 6 * 65535) / 65536.0
    return out


def draw_integers(seed: int, name: str, count: int, low: int, high: int) -> np.ndarray:
    """Return `count` int64 draws from [low, high); `high - low` may be up to 2^32."""
    words = draw_bits(seed, name, count) >> np.uint64(32)
    return ((words * np.uint64(high - low)) >> np.uint64(32)).astype(np.int64) + low


def sha256_of(tensor: Tensor) -> str:
    """Return the SHA-256 of dtype, shape and little-endian bytes of a host tensor."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    flat = flat.as_strided(flat.shape, (1,))  # a single element may have any stride, and counts as contiguous
    digest = hashlib.sha256(f"{flat.dtype}{tuple(tensor.shape)}".encode())
    digest.update(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
    return digest.hexdigest()


class Inputs:
    """Everything a workload is given, bound to one case and one device.

    `dtype` is the dtype that the case asks for. `golden` is true when the same workload is evaluated in float64: every
    floating tensor is first rounded as on the device and then widened, so both sides see the same numbers. With `moved` (not 0)
    each of them, and each operand of an integer dtype that the case is about, is then moved by up to one roundoff of the arithmetic; -n
    moves them the other way than n. `moved` without `golden` moves floats alone, and rounds
    them to their own dtype again. With a `rotation` the k-th operand lies in the
    device's memory in the (k + rotation)-th of `harness.layouts.LAYOUTS`. `placed` holds each operand with its host values, for the probes.
    """

    def __init__(
        self,
        seed: int,
        dtype: torch.dtype,
        place: Callable[[Tensor], Tensor],
        device: torch.device,
        golden: bool = False,
        fused: Callable[[str], Callable[..., Any] | None] | None = None,
        moved: int = 0,
        rotation: int | None = None,
        allocated: Callable[[], int | None] = lambda: None,
        engine: Callable[[Callable[[Ids], str]], Engine | None] = lambda _: None,
        room: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        self.seed, self.dtype, self.device, self.golden = seed, dtype, device, golden
        self.digests: dict[str, str] = {}
        self.placed: list[tuple[Tensor, Tensor]] = []
        self._place = place
        self.rotation = rotation
        self._fused, self._moved = fused, moved
        self.engine = engine  # given what turns ids into text: the candidate's own engine, or None where a model has to be placed
        self.room = room  # the bytes that were in use at most since it was last asked, and those that there are
        self.allocated = allocated  # the bytes that tensors hold on the device now, where its framework counts them

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype in which the arithmetic is to be done: float64 for the golden, the case's dtype otherwise."""
        return torch.float64 if self.golden else self.dtype

    def fused(self, name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Return the device's own fused operator of that name, or `plain`, its definition, for the golden and on a device without any.

        Raises NotImplementedError where the device has such operators but not this one.
        """
        own = None if self.golden or self._fused is None else self._fused(name)
        return own or plain

    def given(self, name: str, tensor: Tensor) -> Tensor:
        """Hash a host tensor from elsewhere (text, masks) under `name` and return it on the device; floats widen for the golden."""
        return self.given_all(name, [tensor])[0]

    def told(self, name: str, text: str) -> None:
        """Hash what is no tensor (arguments, in words) under `name`: two sides that were asked different things are not comparable."""
        if name in self.digests:
            raise ValueError(f"input {name!r} was given twice")
        self.digests[name] = hashlib.sha256(text.encode()).hexdigest()

    def unseen(self, name: str) -> None:
        """Note an input that this side has and cannot see (the weights that a server was started with): it is compared with nothing."""
        self.digests[name] = UNSEEN

    def given_all(self, name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Do as `given` does for many tensors under one name. What requires a gradient still does, as a leaf of its own."""
        if name in self.digests:
            raise ValueError(f"input {name!r} was given twice")
        digests = [sha256_of(tensor) for tensor in tensors]
        self.digests[name] = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
        return [self._put(f"{name}/{i}", tensor) for i, tensor in enumerate(tensors)]

    def _put(self, name: str, tensor: Tensor) -> Tensor:
        wanted, host = tensor.requires_grad, tensor.detach()
        if self.golden and (host.is_floating_point() or host.is_complex()):
            host = host.to(torch.complex128 if host.is_complex() else torch.float64)
        if self._moved and (host.is_floating_point() or (self.golden and self._is_operand(host))):
            host = self._move(name, host.double()).to(torch.float64 if self.golden else host.dtype)
        layout = "" if self.rotation is None else LAYOUTS[(len(self.placed) + self.rotation) % len(LAYOUTS)]
        placed = lay_out(layout, host, self._place)
        self.placed.append((placed, host))
        return placed.requires_grad_() if wanted else placed

    def _is_operand(self, host: Tensor) -> bool:
        return not self.dtype.is_floating_point and host.dtype is self.dtype is not torch.bool

    def _move(self, name: str, host: Tensor, by_at_most: float = ARITHMETIC) -> Tensor:
        """Return `host` with each element moved by between half and all of a roundoff, up or down. No two move alike, so ties break."""
        words = draw_bits(self.seed, f"moved-{abs(self._moved)}:{name}", host.numel())
        share = (words >> np.uint64(12)).astype(np.float64) / 2.0**52
        by = np.where(words & np.uint64(1), 1.0, -1.0) * (0.5 + 0.5 * share) * math.copysign(1, self._moved)
        return host * (1 + by_at_most * torch.from_numpy(by).reshape(host.shape))

    def normal(self, name: str, shape: Sequence[int], scale: float = 1.0, mean: float = 0.0, dtype: torch.dtype | None = None) -> Tensor:
        """Draw `shape` values of the given mean and standard deviation, rounded once to `dtype` (default: the case's), on the device."""
        values = draw_normal(self.seed, name, math.prod(shape)) * scale + mean
        return self.given(name, torch.from_numpy(values).reshape(tuple(shape)).to(dtype or self.dtype))

    def integers(self, name: str, shape: Sequence[int], low: int, high: int) -> Tensor:
        """Draw int64 values from [low, high) of the given shape, on the device."""
        values = draw_integers(self.seed, name, math.prod(shape), low, high)
        return self.given(name, torch.from_numpy(values).reshape(tuple(shape)))

    def module(self, name: str, module: nn.Module, dtype: torch.dtype | None = None, moved_by: float = ARITHMETIC) -> nn.Module:
        """Round a host module's floating parameters to `dtype` (default: the case's), hash its state, return it on the device.

        Buffers keep their dtype, as they do when a model is loaded in a narrower dtype (rotary frequencies stay float32), and
        are hashed whether they are saved with the model or not. `moved_by` is how far an evaluation with moved inputs moves each weight.
        """
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype or self.dtype)
        digest = hashlib.sha256()
        for key, value in sorted([*module.named_parameters(), *module.named_buffers()], key=itemgetter(0)):
            digest.update(f"{key}:{sha256_of(value)}\n".encode())
        self.digests[name] = digest.hexdigest()
        for key, parameter in module.named_parameters() if self._moved else ():
            if parameter.is_floating_point():
                moved = self._move(f"{name}/{key}", parameter.data.double(), moved_by)
                parameter.data = moved.to(torch.float64 if self.golden else parameter.dtype)
        return (module.double() if self.golden else module).to(self.device)
