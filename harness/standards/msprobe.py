"""The dual benchmark of msprobe 26.2, as its sources have it: what it masks, it does not judge. Knows no case.

Source: msprobe 26.2.0, `precision_standard/standard_config.py` and `compare/algorithm.py` (rules as facts, in our words):

    masked     elements where the device, or the golden in the device's dtype, is NaN or infinite
    small      |g| <= 2^-10 (float16, bfloat16), 2^-20 (float32); a small element is wrong when |e| > 1e-16, 2^-30
    rel        |e| / (|g| + eps) where neither masked nor small; its maximum and mean
    rmse       sqrt(mean(e^2, masked counted as 0) * (N / (N - masked + 1e-4) + 1e-4))
    ratio      device / max(third party, 2^-11 (float16), 2^-8 (bfloat16), 2^-14 (float32))

A ratio beyond its bound is an error, beyond 1 a warning, which is no failure. NaN and infinity of the device alone are therefore passed.
"""

from typing import NamedTuple

import numpy as np

from harness.standards.cann.floating import Said
from harness.standards.cann.special import as_rounded
from harness.standards.segments import Segments


class Config(NamedTuple):
    """The constants of a dtype: small-value threshold, its error, the epsilon of the relative error, the floor of a ratio."""

    small: float
    small_error: float
    epsilon: float
    floor: float


CONFIGS = {
    "float16": Config(2**-10, 1e-16, 2**-10, 2**-11),
    "bfloat16": Config(2**-10, 1e-16, 2**-8, 2**-8),
    "float32": Config(2**-20, 2**-30, 2**-23, 2**-14),
}
METRICS = ("max_rel", "mean_rel", "rmse", "small")
BOUNDS = {"L0": (10.0, 2.0, 2.0, 2.0), "L1": (5.0, 1.5, 1.5, 2.0), "L2": (2.0, 1.2, 1.2, 2.0)}
_L1 = frozenset({"embedding", "npu_fusion_attention", "npu_fusion_attention_grad", "scatter_", "scatter_add_"})
_L2 = frozenset(
    {"addmm", "npu_cross_entropy_loss", "gelu", "layer_norm", "matmul", "mm", "index", "one_hot", "sum", "npu_rms_norm", "nonzero"}
)  # fmt: skip


def level_of(operator: str) -> str:
    """Return the level that msprobe's own lists give an operator, by its lower-case name."""
    return "L1" if operator in _L1 else "L2" if operator in _L2 else "L0"


def figures(segments: Segments, dtype: str) -> np.ndarray:
    """Return METRICS of both sides: [4, 2, outputs]."""
    config = CONFIGS[dtype]
    size = np.abs(segments.golden)
    with np.errstate(invalid="ignore", over="ignore"):
        seen = np.isfinite(segments.outputs) & np.isfinite(as_rounded(segments.golden, dtype))
        error = np.where(seen, np.abs(segments.outputs - segments.golden), 0.0)
        small = size <= config.small
        judged = seen & ~small
        relative = np.where(judged, error / (size + config.epsilon), 0.0)
        square = segments.total(error * error)
    count = np.diff(np.append(segments.starts, segments.golden.size))
    masked = count - segments.total(seen)
    rmse = np.sqrt(square / count * (count / (count - masked + 1e-4) + 1e-4))
    wrong = segments.total(seen & small & (error > config.small_error)) / np.maximum(segments.total(small), 1)
    mean = segments.total(relative) / np.maximum(segments.total(judged), 1)
    return np.stack([segments.largest(relative), mean, rmse, wrong])


def judge(segments: Segments, dtype: str, level: str) -> list[Said]:
    """Say of each output (all of `dtype`, a key of CONFIGS) what the dual benchmark says; `pass` includes its warnings."""
    found = figures(segments, dtype)
    bounds = np.array(BOUNDS[level])
    ratios = found[:, 0] / np.maximum(found[:, 1], CONFIGS[dtype].floor)
    worst = (ratios / bounds[:, None]).argmax(axis=0)
    said = []
    for i, (name, at) in enumerate(zip(segments.names, worst.tolist(), strict=True)):
        ratio, bound = float(ratios[at, i]), float(bounds[at])
        failed = ratio > bound
        why = f"{METRICS[at]} ratio {ratio:.3g} > {bound:g}" if failed else "with a warning" if ratio > 1 else ""
        said.append(Said(name, "fail" if failed else "pass", why, METRICS[at], ratio, bound))
    return said
