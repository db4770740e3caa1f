"""What torch_npu does otherwise than PyTorch, or says that it cannot: some of docs/operators.md, with a fact for every waiver."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.devices.refusals import says_unsupported
from reference.waiver import PACKAGED
from suites.workloads.operators.opinfo import LEFT_OUT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

G = torch.Generator().manual_seed(0)
X = torch.randn(6, 8, generator=G)
WINDOW = torch.ones(16)
IMAGE, VOLUME = torch.randn(1, 2, 6, 6, generator=G), torch.randn(1, 2, 4, 4, 4, generator=G)


def double() -> None:
    assert X.npu().double().dtype is X.npu().to(torch.float64).dtype is torch.float32


def float_power() -> None:
    assert (torch.float_power(X.npu().abs(), 2.0).dtype, torch.float_power(X.abs(), 2.0).dtype) == (torch.float32, torch.float64)


def matmul_of_nothing() -> None:
    a, b = (torch.ones(shape).npu().requires_grad_() for shape in ((5, 5, 0), (0, 5)))
    result = a @ b
    assert result.shape == (5, 5, 5)
    with pytest.raises(RuntimeError, match="cannot reshape tensor of 0 elements"):
        result.sum().backward()


def layer_norm() -> None:
    _, mean, _ = torch.native_layer_norm(X.half().npu(), (8,), None, None, 1e-5)
    _, of_nothing, _ = torch.native_layer_norm(torch.ones(0, 8).npu(), (8,), None, None, 1e-5)
    assert (mean.dtype, of_nothing.shape) == (torch.float32, (0,))


def batch_norm() -> None:
    def saved(x: Tensor, training: bool) -> Tensor:
        ones = [torch.ones(8).to(x) for _ in range(4)]
        return torch.native_batch_norm(x, *ones, training, 0.1, 1e-5)[1]

    assert (saved(X.half().npu(), True).dtype, saved(X.half(), True).dtype) == (torch.float32, torch.float16)
    assert (saved(X.npu(), False).shape, saved(X, False).shape) == ((8,), (0,))


def max_pool_mask() -> None:
    _, mask = F.max_pool2d(IMAGE.npu(), 2, return_indices=True)
    assert (mask.dtype, mask.shape) == (torch.int8, (1, 2, 4, 64))


def max_pool3d_indices() -> None:
    for pool in (F.max_pool3d, F.adaptive_max_pool3d):
        assert pool(VOLUME.npu(), 2, return_indices=True)[1].dtype is torch.int32


def target_without_gradient() -> None:
    scores, target = X.npu().requires_grad_(), torch.rand(6, 8, generator=G).npu().requires_grad_()
    F.binary_cross_entropy_with_logits(scores, target).backward()
    assert scores.grad is not None
    assert target.grad is None


def gelu() -> None:
    assert F.gelu(X.npu()).cpu().equal(F.gelu(X, approximate="tanh"))


def gelu_of_no_approximation() -> None:
    assert F.gelu(X.npu(), approximate="asdf").cpu().equal(F.gelu(X, approximate="tanh"))


def coarse_cross_entropy() -> None:
    words, labels = torch.randn(40, 8, generator=G).bfloat16(), torch.arange(6)

    def gradient(device: str, **options: Any) -> Tensor:
        chosen = nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio:2", **options)
        x = X.bfloat16().to(device).requires_grad_()
        F.linear_cross_entropy(x, words.to(device), labels.to(device), options=chosen).backward()
        assert x.grad is not None
        return x.grad.cpu()

    assert gradient("npu").equal(gradient("cpu", acc_policy="compact", acc_dtype=torch.bfloat16))
    assert not gradient("npu").equal(gradient("cpu"))


def unscaled_dropout() -> None:
    mask = torch.arange(64) % 2 == 0
    found = torch.ops.aten.native_dropout_backward(torch.ones(64).npu(), mask.npu(), 1.0)
    assert found.cpu().equal(torch.ones(64))


def bilinear_bytes() -> None:
    """Only among deterministic algorithms, where PyTorch's own definition is called."""
    image = (torch.arange(54) * 7 % 11).to(torch.uint8).view(1, 6, 3, 3)
    torch.use_deterministic_algorithms(True)
    try:
        found, expected = (F.interpolate(x, scale_factor=1.7, mode="bilinear").cpu() for x in (image.npu(), image))
    finally:
        torch.use_deterministic_algorithms(False)
    exact = F.interpolate(image.double(), scale_factor=1.7, mode="bilinear")
    assert (found - exact).abs().max() <= 0.5 + 1e-5
    assert (expected - exact).abs().max() > 0.5 + 1e-5


def short_tail() -> None:
    torch.manual_seed(0)
    drawn = torch.empty(1 << 16, dtype=torch.bfloat16).npu().exponential_().cpu()
    assert 5 < drawn.max() < 5.6


FACTS: dict[str, Callable[[], None]] = {
    "double-is-float": double, "float-power-is-float": float_power, "matmul-backward-of-nothing": matmul_of_nothing,
    "layer-norm-statistics": layer_norm, "batch-norm-statistics": batch_norm, "max-pool-mask": max_pool_mask,
    "max-pool3d-indices": max_pool3d_indices, "bce-with-logits-target": target_without_gradient, "gelu-is-tanh": gelu,
    "gelu-approximate-unread": gelu_of_no_approximation, "linear-cross-entropy-coarse": coarse_cross_entropy,
    "dropout-backward-unscaled": unscaled_dropout, "exponential-bfloat16-tail": short_tail, "bilinear-bytes": bilinear_bytes,
}  # fmt: skip


@pytest.mark.parametrize("name", FACTS)
def test_what_a_waiver_is_for_is_so(name: str) -> None:
    FACTS[name]()


def test_every_waiver_has_its_fact() -> None:
    assert set(tomllib.loads((PACKAGED / "npu.toml").read_text(encoding="utf-8"))) == set(FACTS)


def test_every_waiver_and_what_is_left_out_stands_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operators.md").read_text(encoding="utf-8")
    assert [name for name in FACTS if f"| `{name}` |" not in page] == []
    assert [name for name in LEFT_OUT if not name.startswith("jiterator") and f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: torch.exp(X.int().npu()).cpu(), "not implemented for DT_INT32"),
        (lambda: torch.ops.aten.native_dropout_backward(X.npu(), (X > 0).npu(), 2.0).cpu(), "mask not implemented for DT_BOOL"),
        (lambda: X.npu().to(memory_format=torch.channels_last), "ERR01007"),
        (lambda: torch.stft(X.npu().flatten(), 16, window=WINDOW.npu().requires_grad_(), return_complex=True), "not differentiable"),
    ],
)
def test_what_is_said_to_be_unsupported_is_understood(call: Callable[[], object], words: str) -> None:
    with pytest.raises(RuntimeError, match=words) as caught:
        call()
    assert says_unsupported(caught.value)
