"""The Fourier transform of a signal's pieces. Knows no other: torch_npu makes those of matrix products."""

import torch
from torch import Tensor

from emulator.operator import Out, named


@named("aclStft")
def stft(
    self: Tensor, window: Tensor | None, out: Out, size: int, hop: int, window_size: int, normalized: bool, onesided: bool, as_complex: bool
) -> Tensor:
    """As torch.stft of a signal (samples,) or (batch, samples) that is padded already, if at all."""
    taken = torch.ones(window_size, dtype=self.dtype) if window is None else window
    found = torch.stft(self, size, hop, window_size, taken, center=False, normalized=normalized, onesided=onesided, return_complex=True)
    return found if as_complex else torch.view_as_real(found)
