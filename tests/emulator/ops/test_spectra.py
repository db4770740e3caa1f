"""The Fourier transform of a signal's pieces: as on the CPU."""

import pytest
import torch

from tests.emulator.agree import agree

G = torch.Generator().manual_seed(0)
X = torch.randn(3, 40, generator=G)


@pytest.mark.parametrize(
    "options",
    [{}, {"hop_length": 5}, {"win_length": 12}, {"center": False}, {"normalized": True}, {"onesided": False}, {"pad_mode": "constant"}],
    ids=str,
)
@pytest.mark.parametrize("x", [X, X[0]], ids=["batch", "signal"])
def test_of_the_pieces_of_a_signal(x, options):
    window = torch.hann_window(options.get("win_length", 16))
    agree(lambda x, window: torch.stft(x, 16, window=window, return_complex=True, **options), x, window)


def test_gradient_of_the_pieces():
    def gradient(x):
        x = x.detach().requires_grad_()
        torch.stft(x, 16, window=torch.ones(16, device=x.device), return_complex=True).abs().sum().backward()
        return x.grad

    torch.testing.assert_close(gradient(X.npu()).cpu(), gradient(X), rtol=1e-4, atol=1e-4)
