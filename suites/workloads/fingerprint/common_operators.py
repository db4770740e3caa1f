"""Operators that models, training and data preparation use most, each as a call on one matrix. Knows no device and no answer."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Operator = Callable[[Tensor], object]

#: Methods of a tensor without arguments, and with itself as the only one.
_ALONE = (
    "abs acos acosh all amax amin any argmax argsort asin atan atanh ceil cos cosh count_nonzero det diagonal digamma erf erfc "
    "erfinv exp exp2 expm1 floor frac inverse isfinite isnan lgamma log log10 log1p log2 logdet logit mean median nan_to_num neg "
    "nonzero norm prod reciprocal relu round rsqrt sigmoid sign sin sinc sinh sort sqrt square std sum tan tanh trace tril triu "
    "trunc unique var"
)
_WITH_ITSELF = "add atan2 copysign div eq floor_divide fmod hypot logaddexp lt matmul maximum minimum mul pow remainder sub"


def _places(x: Tensor) -> Tensor:
    return torch.arange(7, -1, -1, device=x.device)


def _heads(x: Tensor) -> Tensor:
    return x.reshape(1, 2, 4, 8)


def _image(x: Tensor) -> Tensor:
    return x[None, None]


def _stft(x: Tensor) -> Tensor:
    return torch.stft(x.flatten(), 16, window=torch.ones_like(x.flatten()[:16]), return_complex=True)


#: Those that need more; `x` is [8, 8] with entries between 0.1 and 0.9.
_MORE: Mapping[str, Operator] = {
    "addmm": lambda x: torch.addmm(x, x, x),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(_image(x), 2),
    "attention": lambda x: F.scaled_dot_product_attention(_heads(x), _heads(x), _heads(x)),
    "avg_pool2d": lambda x: F.avg_pool2d(_image(x), 2),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "bernoulli": torch.bernoulli,
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(x, x),
    "bincount": lambda x: _places(x).bincount(),
    "bmm": lambda x: torch.bmm(x[None], x[None]),
    "cauchy": lambda x: torch.empty_like(x).cauchy_(),
    "cdist": lambda x: torch.cdist(x, x),
    "cholesky": lambda x: torch.linalg.cholesky(torch.eye(8, dtype=x.dtype, device=x.device)),
    "clamp": lambda x: x.clamp(0.2, 0.8),
    "complex product": lambda x: torch.complex(x, x) * torch.complex(x, x),
    "conv1d": lambda x: F.conv1d(x[None], x[:, :, None]),
    "conv2d": lambda x: F.conv2d(_image(x), _image(x)[..., :3, :3]),
    "conv3d": lambda x: F.conv3d(x.reshape(1, 1, 4, 4, 4), x.flatten()[:8].reshape(1, 1, 2, 2, 2)),
    "conv_transpose2d": lambda x: F.conv_transpose2d(_image(x), _image(x)[..., :3, :3]),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x),
    "cross_entropy": lambda x: F.cross_entropy(x, _places(x)),
    "cummax": lambda x: x.cummax(0),
    "cumprod": lambda x: x.cumprod(0),
    "cumsum": lambda x: x.cumsum(0),
    "dropout": lambda x: F.dropout(x, 0.5),
    "eigh": lambda x: torch.linalg.eigh(x + x.T),
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
    "embedding": lambda x: F.embedding(_places(x), x),
    "embedding_bag": lambda x: F.embedding_bag(_places(x)[None], x),
    "exponential": lambda x: torch.empty_like(x).exponential_(),
    "fft": torch.fft.fft,
    "float64": lambda x: x.double() * 2,
    "gather": lambda x: x.gather(0, _places(x)[None]),
    "gelu": F.gelu,
    "geometric": lambda x: torch.empty_like(x).geometric_(0.5),
    "grid_sample": lambda x: F.grid_sample(_image(x), x.reshape(1, 4, 8, 2), align_corners=False),
    "group_norm": lambda x: F.group_norm(x, 2),
    "hardswish": F.hardswish,
    "histc": lambda x: x.histc(4),
    "index_add": lambda x: x.index_add(0, _places(x), x),
    "index_put": lambda x: x.index_put((_places(x),), x),
    "index_select": lambda x: x.index_select(0, _places(x)),
    "interpolate": lambda x: F.interpolate(_image(x), scale_factor=2.0, mode="bilinear"),
    "kl_div": lambda x: F.kl_div(x, x, reduction="sum"),
    "kthvalue": lambda x: x.kthvalue(2),
    "layer_norm": lambda x: F.layer_norm(x, (8,)),
    "leaky_relu": F.leaky_relu,
    "lerp": lambda x: torch.lerp(x, x, 0.5),
    "linear": lambda x: F.linear(x, x),
    "log_normal": lambda x: torch.empty_like(x).log_normal_(),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "logsumexp": lambda x: x.logsumexp(0),
    "lu": torch.linalg.lu_factor,
    "masked_fill": lambda x: x.masked_fill(x > 0.5, 0.0),
    "masked_select": lambda x: x.masked_select(x > 0.5),
    "max_pool2d": lambda x: F.max_pool2d(_image(x), 2),
    "mse_loss": lambda x: F.mse_loss(x, x),
    "multinomial": lambda x: x.multinomial(2),
    "nll_loss": lambda x: F.nll_loss(x, _places(x)),
    "normal": lambda x: torch.empty_like(x).normal_(),
    "one_hot": lambda x: F.one_hot(_places(x), 8),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(1, 4, 4, 4), 2),
    "poisson": torch.poisson,
    "qr": torch.linalg.qr,
    "randperm": lambda x: torch.randperm(8, device=x.device),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 0),
    "rms_norm": lambda x: F.rms_norm(x, (8,)),
    "roll": lambda x: x.roll(1, 0),
    "rrelu": lambda x: F.rrelu(-x, training=True),
    "scatter": lambda x: x.scatter(0, _places(x)[None], 1.0),
    "scatter_add": lambda x: x.scatter_add(0, _places(x)[None], x),
    "searchsorted": lambda x: torch.searchsorted(torch.linspace(0, 1, 9, device=x.device), x.float()),
    "silu": F.silu,
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x),
    "softmax": lambda x: F.softmax(x, -1),
    "softplus": F.softplus,
    "solve": lambda x: torch.linalg.solve(x, x),
    "stft": _stft,
    "svd": torch.linalg.svd,
    "topk": lambda x: x.topk(3),
    "uniform": lambda x: torch.empty_like(x).uniform_(),
    "where": lambda x: torch.where(x > 0.5, x, -x),
}


def _method(name: str, operands: int) -> Operator:
    def call(x: Tensor) -> object:
        return getattr(x, name)(*[x] * operands)

    return call


def common_operators() -> dict[str, Operator]:
    """Return every operator by its name."""
    found = {name: _method(name, 0) for name in _ALONE.split()} | {name: _method(name, 1) for name in _WITH_ITSELF.split()}
    return dict(sorted((found | dict(_MORE)).items()))
