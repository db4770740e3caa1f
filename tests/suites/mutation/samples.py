"""Small calls that together reach every operator that a mutant names, forward and backward, each with its float64 evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLES: dict[str, Callable[["Draw"], list[Tensor]]] = {}


@dataclass(frozen=True)
class Draw:
    """Operands of one dtype, the same for every mutant; `wide` gives them in float64, rounded first."""

    dtype: torch.dtype = torch.float32
    wide: bool = False

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0, seed: int = 0) -> Tensor:
        drawn = np.random.default_rng(seed + sum(shape)).standard_normal(shape)  # not PyTorch's, which a mutant may have changed
        x = torch.from_numpy(drawn * scale + mean).to(self.dtype)
        return (x.double() if self.wide else x).requires_grad_()

    def plain(self, *shape: int, scale: float = 1.0, mean: float = 0.0, seed: int = 0) -> Tensor:
        return self.normal(*shape, scale=scale, mean=mean, seed=seed).detach()

    def values(self, *values: float) -> Tensor:
        x = torch.tensor(values).to(self.dtype)
        return x.double() if self.wide else x

    def integers(self, low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.from_numpy(np.random.default_rng(3).integers(low, high, shape)).to(dtype)

    def ties(self, *shape: int) -> Tensor:
        x = self.integers(0, 4, *shape).to(self.dtype)
        return x.double() if self.wide else x


def differentiated(out: Tensor, *leaves: Tensor) -> list[Tensor]:
    cotangent = torch.linspace(-1, 1.5, max(out.numel(), 1), dtype=torch.float64)[: out.numel()].reshape(out.shape)
    return [out, *torch.autograd.grad(out, leaves, cotangent.to(out.dtype))]


def sample(function: Callable[[Draw], list[Tensor]]) -> Callable[[Draw], list[Tensor]]:
    SAMPLES[function.__name__] = function
    return function


def of(name: str, function: Callable[[Draw], Any]) -> None:
    """Add a sample whose results are not differentiated."""

    def call(draw: Draw) -> list[Tensor]:
        result = function(draw)
        return list(result) if isinstance(result, (tuple, list)) else [result]

    SAMPLES[name] = call


@sample
def products(d: Draw) -> list[Tensor]:
    x, w, b, v = d.normal(40, 37), d.normal(37, 40, seed=1), d.normal(40), d.normal(37, seed=5)
    square, slice_ = d.normal(32, 32), d.normal(80, 37, seed=9)[40:]
    out = [*differentiated(x @ w, x, w), *differentiated(F.linear(x, w.T, b), x, w, b), *differentiated(square @ square.T, square)]
    out += [x.detach() @ v.detach(), v.detach().dot(v.detach()), slice_ @ w, torch.addmm(b, x, w, beta=0.5, alpha=2)]
    out.append(torch.addmv(b, x, v))
    return [*out, torch.bmm(d.normal(3, 9, 37), d.normal(3, 37, 33, seed=2))]


@sample
def batched_products(d: Draw) -> list[Tensor]:
    a, b, c = d.normal(2, 37, 34), d.normal(2, 34, 37, seed=1), d.normal(2, 37, 37, seed=2)
    return differentiated(torch.baddbmm(c, a, b), a, b, c)


of("extreme_products", lambda d: torch.tensor([[3e38, 3e38]]).to(torch.float32) @ torch.tensor([[3e38], [3e38]]))
of("integer_products", lambda d: d.integers(-99, 99, 5, 40, dtype=torch.int32) * 999 @ (d.integers(-99, 99, 40, 3, dtype=torch.int32) * 99))
of("two_updates", lambda d: _updates(d))


def _updates(d: Draw) -> list[Tensor]:
    w, x = d.plain(8, 8), d.plain(4, 8)
    first = x @ w
    w.mul_(2)
    return [first, x @ w]


@sample
def softmax(d: Draw) -> list[Tensor]:
    x, y, z = d.normal(7, 37, scale=3), d.normal(3, 17, 17, scale=3), d.normal(5, 1000, scale=2)
    return [*differentiated(F.softmax(x, -1), x), *differentiated(F.softmax(y, 1), y), *differentiated(F.softmax(z, -1), z)]


@sample
def log_softmax(d: Draw) -> list[Tensor]:
    x, y = d.normal(7, 37, scale=3), d.normal(3, 17, 17, scale=3)
    return [*differentiated(F.log_softmax(x, -1), x), *differentiated(F.log_softmax(y, 1), y)]


@sample
def cross_entropy(d: Draw) -> list[Tensor]:
    x, labels = d.normal(7, 37, scale=3), d.integers(0, 37, 7)
    labels[2] = -100
    each = F.cross_entropy(x, labels, reduction="none")
    return [*differentiated(F.cross_entropy(x, labels), x), *differentiated(each, x)]


of("large_logits", lambda d: (F.softmax(d.plain(3, 9, scale=500), -1), torch.logsumexp(d.plain(3, 9, scale=500), 1)))
of("log_sum_exp", lambda d: (torch.logsumexp(d.plain(5, 77), 1), torch.logcumsumexp(d.plain(5, 20), 1)))


@sample
def layer_norm(d: Draw) -> list[Tensor]:
    x, w, b = d.normal(21, 130, scale=2, mean=0.5), d.normal(130), d.normal(130, seed=3)
    return differentiated(F.layer_norm(x, (130,), w, b), x, w, b)


@sample
def group_norm(d: Draw) -> list[Tensor]:
    x, w, b = d.normal(3, 6, 5, 7, mean=0.5), d.normal(6), d.normal(6, seed=3)
    return differentiated(F.group_norm(x, 3, w, b), x, w, b)


@sample
def batch_norm(d: Draw) -> list[Tensor]:
    x, w, b = d.normal(5, 6, 9, mean=0.5), d.normal(6), d.normal(6, seed=3)
    return differentiated(F.batch_norm(x, None, None, w, b, training=True), x, w, b)


@sample
def reductions(d: Draw) -> list[Tensor]:
    x, y = d.normal(13, 277, mean=0.3), d.plain(6, 9, mean=1.0, scale=0.2)
    out = [*differentiated(x.sum(1), x), *differentiated(x.mean(1), x), x.sum(), x.mean(), x.sum((0, 1), keepdim=True)]
    out += [x.var(1), x.std(1), *torch.var_mean(x, 1), x.var(1, correction=0), y.prod(1), y.prod(), y.cumprod(1), x.cumsum(1)]
    return [
        *out,
        torch.linalg.vector_norm(x, 2, 1),
        torch.linalg.vector_norm(x),
        x.amax(1),
        x.amin(1),
        *x.max(1),
        *x.min(1),
        x.sort(1).values.amax(1),
    ]


of("large_norm", lambda d: torch.linalg.vector_norm(torch.full((9,), 300.0, dtype=torch.float16)))
of("integer_sums", lambda d: (d.integers(0, 2**31, 3, 9).sum(1), d.integers(0, 2**31, 3, 9).cumsum(1)))


@sample
def elementwise(d: Draw) -> list[Tensor]:
    x, y = d.normal(17, 17), d.normal(17, 17, seed=1, mean=3.0, scale=0.5)
    column, turned = d.plain(17, 1, seed=2), d.plain(17, 17, seed=4).T
    out = [
        x + y,
        x - y,
        x * y,
        x / y,
        torch.add(x, y, alpha=0.7),
        torch.sub(x, y, alpha=0.3),
        x + column,
        x * turned,
        x / turned,
        turned * turned,
    ]
    out += [torch.addcmul(x, x, y, value=0.7), torch.addcdiv(x, x, y, value=0.7), torch.lerp(x, y, 0.3), x**3, y**2.5, x.reciprocal()]
    return [o for o in out if o.requires_grad] + [o for o in out if not o.requires_grad]


@sample
def functions(d: Draw) -> list[Tensor]:
    x, y = d.normal(17, 17), d.plain(17, 17, seed=1).abs() + 0.1
    names = ("exp", "exp2", "expm1", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sigmoid", "erf", "erfc", "atan", "round")
    positive = ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "lgamma", "digamma")
    out = [getattr(torch, n)(x) for n in names] + [getattr(torch, n)(y) for n in positive]
    return [*out, torch.logaddexp(x.detach(), y)]


@sample
def activations(d: Draw) -> list[Tensor]:
    x = d.normal(17, 19, scale=2)
    names = ("silu", "mish", "softplus", "elu", "hardswish", "leaky_relu", "relu", "hardtanh")
    out = [r for n in names for r in differentiated(getattr(F, n)(x), x)]
    out += [*differentiated(F.gelu(x), x), *differentiated(F.gelu(x, approximate="tanh"), x)]
    return [*out, *differentiated(torch.tanh(x), x), *differentiated(torch.sigmoid(x), x)]


@sample
def losses(d: Draw) -> list[Tensor]:
    x, y = d.normal(61, 67), d.plain(61, 67, seed=1)
    return [F.mse_loss(x, y), F.huber_loss(x, y), F.smooth_l1_loss(x, y), F.soft_margin_loss(x, y.sign())]


of("special", lambda d: _special(d.values(-1.0, 0.0, -0.0, 1.5, float("inf"), -float("inf"), float("nan"), 3e38, 100.0, -100.0)))


def _special(x: Tensor) -> list[Tensor]:
    unary = [
        x.exp(),
        x.sqrt(),
        x.log(),
        x.rsqrt(),
        x * x,
        x / 0,
        x + x,
        F.relu(x),
        x.clamp(-1, 1),
        x**3,
        torch.acos(x),
        F.threshold(x, 0, 0),
    ]
    unary += [F.leaky_relu(x), F.hardtanh(x), x.clamp_min(0)]
    return [
        *unary,
        x.max(),
        x.min(),
        x.amax(0),
        x.amin(0),
        torch.maximum(x, x.flip(0)),
        torch.minimum(x, x.flip(0)),
        *x.max(0),
        *x.cummax(0),
    ]


of("tiny", lambda d: (torch.tensor([3e-6, 1e-5], dtype=torch.float16) * 0.5, torch.tensor([3e-6, 0.5]).to(torch.float16)))
of(
    "casts",
    lambda d: (d.plain(9, 9, mean=1.0).float().to(torch.bfloat16), d.plain(65).to(torch.bfloat16), d.plain(8, 8).T.to(torch.float64)),
)
of("halves", lambda d: (torch.round(d.values(0.5, 1.5, 2.5, -0.5, 2.2)),))
of("integers", lambda d: _integers(d.integers(-(2**31), 2**31 - 1, 40, dtype=torch.int32), d.integers(1, 9, 40, dtype=torch.int32)))


def _integers(x: Tensor, y: Tensor) -> list[Tensor]:
    out = [x + x, x * y, x - y, x // y, torch.div(x, y, rounding_mode="floor"), x % y, x >> 2, x >= y, y <= y.flip(0)]
    return [*out, torch.bitwise_right_shift(x, y)]


@sample
def attention(d: Draw) -> list[Tensor]:
    q, k, v = d.normal(2, 4, 21, 16, scale=2), d.normal(2, 2, 21, 16, seed=1, scale=2), d.normal(2, 2, 21, 16, seed=2)
    bias = d.plain(21, 21, seed=3)
    seen = d.integers(0, 2, 21, 21).bool() | torch.eye(21, dtype=torch.bool)
    out = differentiated(F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True), q, k, v)
    for mask in (bias, bias.masked_fill(~seen, -torch.inf), seen):
        out += differentiated(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True), q, k, v)
    return out


@sample
def convolution(d: Draw) -> list[Tensor]:
    x, w, b = d.normal(3, 5, 9, 9), d.normal(4, 5, 3, 3, seed=1), d.normal(4)
    out = differentiated(F.conv2d(x, w, b, padding=1), x, w, b) + differentiated(F.conv2d(x, w, b, dilation=2, stride=2), x, w, b)
    line, kernel = d.normal(2, 4, 19), d.normal(3, 4, 5, seed=2)
    return out + differentiated(F.conv1d(line, kernel, padding=2), line, kernel)


@sample
def pooling(d: Draw) -> list[Tensor]:
    x, y = d.normal(2, 3, 9, 9), d.normal(2, 3, 8, 8)
    out = [F.avg_pool2d(x, 3, padding=1, count_include_pad=True), F.avg_pool2d(y, 2), *F.max_pool2d(x, 3, return_indices=True)]
    out += [F.adaptive_avg_pool2d(x, 4)]
    return [*out, *F.max_pool3d(d.plain(2, 3, 4, 4, 4), 2, return_indices=True)]


@sample
def interpolation(d: Draw) -> list[Tensor]:
    x, line = d.normal(2, 3, 5, 5), d.normal(2, 3, 7)
    out = [F.interpolate(x, scale_factor=2, mode=mode) for mode in ("bilinear", "bicubic", "nearest", "nearest-exact")]
    grid = d.plain(2, 4, 4, 2, scale=0.5)
    return [*out, F.interpolate(line, 13, mode="linear"), F.interpolate(line, 13), F.grid_sample(x, grid, align_corners=False)]


@sample
def embedding(d: Draw) -> list[Tensor]:
    table, ids = d.normal(11, 6), d.integers(0, 11, 5, 8)
    return differentiated(F.embedding(ids, table), table)


@sample
def indexing(d: Draw) -> list[Tensor]:
    x, src, at = d.normal(6, 5), d.normal(9, 5), torch.tensor([0, 1, 1, 5, 3, 0, 2, 2, 2])
    wide = at[:, None].expand(9, 5).contiguous()
    out = [*differentiated(x.index_add(0, at, src), x, src), *differentiated(x.scatter_add(0, wide, src), x, src)]
    out += [*differentiated(x.index_put((at,), src, accumulate=True), x, src), *differentiated(x.index_select(0, at), x)]
    return [*out, *differentiated(x.gather(0, wide), x), *differentiated(x[at], x), x.take(at), x.roll(1, 0), x.flip(0)]


@sample
def choices(d: Draw) -> list[Tensor]:
    x, tied = d.plain(5, 37), d.ties(5, 37)
    out = [*x.topk(4), *tied.topk(4), *tied.topk(4, sorted=False), x.argmax(1), x.argmin(), *x.sort(1), *tied.sort(1)]
    out += [*tied.sort(dim=1, stable=True), *tied.kthvalue(3), *tied.median(1), *tied.mode(1), torch.nonzero(tied > 1)]
    falling = torch.arange(9, 0, -1).to(x.dtype)
    return [
        *out,
        falling.argmin(),
        *falling.sort(),
        torch.searchsorted(d.values(0, 1, 2), d.values(1, 2, 0)),
        torch.bucketize(d.values(1, 2, 0), d.values(0, 1, 2)),
    ]


of("out_of_range", lambda d: _refusals(d))


def _refusals(d: Draw) -> list[Tensor]:
    found = []
    for call in (lambda: F.embedding(torch.tensor([9]), d.plain(4, 3)), lambda: d.plain(4, 3).index_select(0, torch.tensor([7]))):
        try:
            found.append(call())
        except (RuntimeError, IndexError):
            found.append(torch.tensor(0.0))
    return found


@sample
def masks(d: Draw) -> list[Tensor]:
    x, mask = d.normal(7, 9), d.integers(0, 2, 7, 9).bool()
    out = [x.masked_fill(mask, 2.0), torch.where(mask, x, -x), x.tril(), x.triu(), F.pad(x, (1, 2)), torch.cat([x, x * 2])]
    return [*out, F.pad(x, (2, 1), mode="reflect"), x.clone(), x.repeat(2, 1), x.T.clone(), x.T.contiguous()]


of("complex", lambda d: torch.view_as_real(torch.conj_physical(torch.complex(d.plain(9).float(), d.plain(9, seed=1).float()))))


@sample
def linear_algebra(d: Draw) -> list[Tensor]:
    a = d.plain(5, 5) if d.dtype in (torch.float32, torch.float64) or d.wide else d.plain(5, 5).float()
    positive = a @ a.T + 3 * torch.eye(5, dtype=a.dtype)
    triangle = positive.tril()
    out = [torch.linalg.solve(positive, a), torch.linalg.inv(positive), torch.linalg.cholesky(positive), torch.fft.fft(a).abs()]
    out += [torch.linalg.solve_triangular(triangle, a, upper=False), torch.cdist(a, positive, compute_mode="donot_use_mm_for_euclid_dist")]
    return [*out, torch.fft.irfft(torch.fft.rfft(a)), torch.cholesky_solve(a, torch.linalg.cholesky(positive))]


@sample
def optimizers(d: Draw) -> list[Tensor]:
    out = []
    for fused in (True, False):
        params = [d.plain(9, 5).requires_grad_(), d.plain(17, seed=1).requires_grad_()]
        optimizer = torch.optim.AdamW(params, lr=0.02, weight_decay=0.5, eps=1e-3, fused=fused, foreach=False)
        for step in range(2):
            for param in params:
                param.grad = d.plain(*param.shape, seed=7 + step)
            optimizer.step()
        out += [p.detach() for p in params]
    lists = [d.plain(9, 5), d.plain(17, seed=1)]
    torch._foreach_mul_(lists, 0.7)
    torch._foreach_add_(lists, [x.clone() for x in lists])
    torch._foreach_addcdiv_(lists, [x.clone() for x in lists], [x.abs() + 1 for x in lists], 0.3)
    torch._foreach_addcmul_(lists, [x.clone() for x in lists], [x.abs() + 1 for x in lists], 0.3)
    torch._foreach_lerp_(lists, [x + 1 for x in lists], 0.3)
    return out + lists


of("draws", lambda d: _draws(d))


def _draws(d: Draw) -> list[Tensor]:
    torch.manual_seed(0)
    out = [torch.rand(999), torch.randn(999), torch.empty(999).uniform_(-1, 2), torch.empty(999).normal_(1, 2), torch.rand(999)]
    out += [torch.bernoulli(torch.full((999,), 0.2)), torch.empty(999).bernoulli_(0.2), torch.randperm(50), torch.randint(3, 99, (999,))]
    out += [torch.empty(999).exponential_(2.0), torch.multinomial(torch.tensor([0.1, 0.2, 0.7]), 99, replacement=True), torch.randn(999)]
    return [*out, *torch.native_dropout(torch.ones(999), 0.3, True), torch.empty(99, dtype=torch.int64).random_(0, 50)]
