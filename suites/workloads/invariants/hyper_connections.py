"""Manifold-constrained hyper-connections: what mixes the streams is doubly stochastic, and mixes them the right way round. Knows no device.

Sources: Xie et al., mHC (arXiv 2512.24880); DeepSeek-V4, arXiv 2606.19348, section 2.2.
"""

from typing import Any

import torch
from torch import Tensor

from harness.case import Step
from harness.inputs import Inputs
from suites.workloads.invariants.stating import V4, Stated, agree, hold, moved, ordered, stated
from suites.workloads.invariants.subject import parts, subject

_LENGTH = 6


def doubly_stochastic(inputs: Inputs, /, *, model: str) -> Step:
    """Rows and columns of every combination matrix add up to 1, no entry is negative, and it is not symmetric.

    Columns are normalised last: they are off by rounding, and by the epsilon that the division adds. Rows are off by what is left of
    Sinkhorn's iterations: in Hilbert's metric each halves the distance at least by tanh(D / 4), D the diameter of the matrix (Birkhoff;
    Franklin and Lorenz, Linear Algebra Appl. 114, 1989, theorem 4).
    """
    module = subject(inputs, model)
    streams = _streams(inputs, module)

    @torch.no_grad()
    def check() -> Stated:
        said: dict[str, Tensor] = {}
        for name, mixer in _mixers(module):
            comb = mixer(streams)[1].float()
            count, epsilon = comb.shape[-1], 2 * comb.shape[-1] * mixer.hc_eps
            rounding = 8 * mixer.hc_sinkhorn_iters * 2.0**-24
            left = (
                torch.exp(_contraction(_entries(mixer, streams)) ** (2 * mixer.hc_sinkhorn_iters - 2) * _diameter(_entries(mixer, streams)))
                - 1
            )
            said |= {
                **ordered(f"{name} columns", (comb.sum(-2) - 1).abs(), torch.full_like(comb.sum(-2), epsilon + rounding)),
                **ordered(f"{name} rows", (comb.sum(-1) - 1).abs(), (epsilon + rounding + left)[..., None].expand(*comb.shape[:-1])),
                **ordered(f"{name} entries", torch.zeros_like(comb), comb), **moved(name, comb - comb.transpose(-1, -2)),
                **ordered(f"{name} bound", left.max(), torch.tensor(0.1, device=left.device)),
            }  # fmt: skip
            assert count == module.config.hc_mult
        return said

    return stated(check)


def mixing_direction(inputs: Inputs, /, *, model: str) -> Step:
    """A layer whose attention and experts say nothing maps streams X to comb^T X, twice: sum over the matrix's first index.

    The matrix is Sinkhorn's of what the weights say, by a definition of our own, entry [j, k] for stream j into stream k.
    """
    module = subject(inputs, model)
    layer = module.model.layers[0]
    streams, tokens = _streams(inputs, module), inputs.integers("tokens", (2, _LENGTH), 0, 256)
    _silence(layer)

    @torch.no_grad()
    def check() -> Stated:
        found = _through(module, layer, streams, tokens)
        right, turned = streams, streams
        for mixer in (layer.attn_hc, layer.ffn_hc):
            right = torch.einsum("...jk,...jd->...kd", sinkhorn(_entries(mixer, right), mixer), right)
            turned = torch.einsum("...jk,...kd->...jd", sinkhorn(_entries(mixer, turned), mixer), turned)
        return {**agree("streams", found, right), **moved("direction", turned - right)}

    return stated(check, _terms(module))


def mean_of_streams(inputs: Inputs, /, *, model: str) -> Step:
    """Mixing keeps the sum over the streams where rows and columns add up to 1, and leaves equal streams as they are.

    Both hold up to 2 n epsilon, which the divisions add; the bound counts it as so many roundings.
    """
    module = subject(inputs, model)
    layer = module.model.layers[0]
    streams, tokens = _streams(inputs, module), inputs.integers("tokens", (2, _LENGTH), 0, 256)
    equal = streams[..., :1, :].expand_as(streams).contiguous()
    _silence(layer)

    @torch.no_grad()
    def check() -> Stated:
        mixed, still = _through(module, layer, streams, tokens), _through(module, layer, equal, tokens)
        return {**agree("sum", mixed.sum(-2), streams.sum(-2)), **agree("equal streams", still, equal), **moved("mixing", mixed - streams)}

    allowed = 4 * module.config.hc_mult * module.config.hc_eps * 2**24  # in roundings, twice over two mixers
    return stated(check, _terms(module) + int(allowed**2))


def sinkhorn(entries: Tensor, mixer: Any) -> Tensor:
    """Return the doubly stochastic matrices [..., n, n] of real entries (Sinkhorn and Knopp, 1967), columns normalised last."""
    matrix: Tensor = torch.softmax(entries, -1) + mixer.hc_eps
    matrix = matrix / (matrix.sum(-2, keepdim=True) + mixer.hc_eps)
    for _ in range(mixer.hc_sinkhorn_iters - 1):
        matrix = matrix / (matrix.sum(-1, keepdim=True) + mixer.hc_eps)
        matrix = matrix / (matrix.sum(-2, keepdim=True) + mixer.hc_eps)
    return matrix


def _entries(mixer: Any, streams: Tensor) -> Tensor:
    """Return what Sinkhorn's iterations begin with, before the exponential, [batch, length, n, n]: entry [j, k] from row n (2 + j) + k."""
    n = streams.shape[-2]
    flat = streams.flatten(-2)
    flat = flat * torch.rsqrt(flat.square().mean(-1, keepdim=True) + mixer.input_norm.eps)
    entries: Tensor = torch.einsum("...i,oi->...o", flat, mixer.fn[2 * n :]) * mixer.scale[2] + mixer.base[2 * n :]
    return torch.unflatten(entries, -1, (n, n))


def _diameter(entries: Tensor) -> Tensor:
    """Return the largest log of a cross ratio of exp(entries), [...]: the diameter of its image in Hilbert's metric."""
    apart = entries[..., :, None, :] - entries[..., None, :, :]
    return (apart.amax(-1) - apart.amin(-1)).amax((-1, -2))


def _contraction(entries: Tensor) -> Tensor:
    return torch.tanh(_diameter(entries) / 4)


def _streams(inputs: Inputs, module: Any) -> Tensor:
    return inputs.normal("streams", (2, _LENGTH, module.config.hc_mult, module.config.hidden_size), dtype=torch.float32)


def _silence(layer: Any) -> None:
    """Let attention and experts of a layer say nothing: their last matrices are zero."""
    with torch.no_grad():
        layer.self_attn.o_b_proj.weight.zero_()
        layer.mlp.experts.down_proj.zero_()
        layer.mlp.shared_experts.down_proj.weight.zero_()


def _through(module: Any, layer: Any, streams: Tensor, tokens: Tensor) -> Tensor:
    positions = torch.arange(_LENGTH, device=tokens.device)[None]
    turned = {kind: module.model.rotary_emb(streams, position_ids=positions, layer_type=kind) for kind in ("main", "compress")}
    mask = torch.full((_LENGTH, _LENGTH), float("-inf"), device=tokens.device).triu(1).expand(2, 1, -1, -1)
    found: Tensor = layer(streams, input_ids=tokens, position_embeddings=turned, position_ids=positions, attention_mask=mask)
    return found


def _mixers(module: Any) -> list[tuple[str, Any]]:
    return parts(module, lambda kind: kind.endswith("HyperConnection"))


def _terms(module: Any) -> int:
    """Count the roundings of two mixers: norm and projection over all streams, then Sinkhorn's sums and divisions."""
    n, iterations = module.config.hc_mult, module.config.hc_sinkhorn_iters
    return 2 * int(2 * n * module.config.hidden_size + 2 * iterations * (n + 1) + n)


CASES = (*hold(doubly_stochastic, V4), *hold(mixing_direction, V4), *hold(mean_of_streams, V4))
