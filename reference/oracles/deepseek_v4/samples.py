"""Which token belongs to which sample, and where in it: padding and packing. Knows no weight and no dtype.

Everything here is integers, worked out on the host. Attention, windows of compression and targets all ask here, so that none of them
can cross the boundary of a sample or touch padding.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """The whole windows of m tokens that each sample begins with, all samples of a row one after the other.

    `tokens` int64 [batch, windows, m]: where the tokens of a window stand in the row. `number` int64 [batch, windows]: the how-manieth of
    its sample. `sample` int64 [batch, windows]: whose, 0 where the row has no more windows. `end` int64 [batch, windows]: its last token.
    """

    tokens: Tensor
    number: Tensor
    sample: Tensor
    end: Tensor

    @property
    def width(self) -> int:
        """Return m."""
        return self.tokens.shape[-1]

    @property
    def previous(self) -> Tensor:
        """Return the tokens of the window before, int64 [batch, windows, m]; of a sample's first window: something, see `number`."""
        return (self.tokens - self.width).clamp(min=0)


@dataclass(frozen=True)
class Samples:
    """`sample` int64 [batch, length] on the host: from 1 on, each a run of neighbours; 0 is padding. `position` counts from 0 in each."""

    sample: Tensor
    position: Tensor

    @classmethod
    def from_segments(cls, segments: Tensor) -> "Samples":
        """Read segment ids [batch, length], 0 for padding. A run of equal ids is a sample; the same id further on is another one."""
        ids = segments.cpu().long()
        begins = torch.ones_like(ids, dtype=torch.bool)
        begins[:, 1:] = ids[:, 1:] != ids[:, :-1]
        at = torch.arange(ids.shape[1]).expand_as(ids)
        first = torch.where(begins, at, 0).cummax(1).values
        real = ids != 0
        return cls((begins & real).long().cumsum(1) * real, (at - first) * real)

    @classmethod
    def from_mask(cls, mask: Tensor) -> "Samples":
        """Read an attention mask [batch, length], 0 for padding, which may stand on either side; a hole would end a sample."""
        return cls.from_segments((mask.cpu() != 0).long())

    @classmethod
    def from_positions(cls, positions: Tensor) -> "Samples":
        """Read position ids [batch, length] of packed rows without padding: a sample begins wherever they are 0."""
        return cls.from_segments((positions.cpu() == 0).long().cumsum(1))

    @cached_property
    def real(self) -> Tensor:
        """Return what is no padding, bool [batch, length]."""
        return self.sample != 0

    def followed(self, by: int) -> Tensor:
        """Return where the token `by` places further on belongs to the same sample, bool [batch, length]."""
        found = torch.zeros_like(self.real)
        if by < found.shape[1]:
            found[:, : found.shape[1] - by] = (self.sample[:, by:] == self.sample[:, : self.sample.shape[1] - by]) & self.real[:, by:]
        return found

    def without_last(self) -> "Samples":
        """Return the same with the last token of each sample as padding: it has no successor to predict from."""
        return replace(self, sample=self.sample * self.followed(1))

    def neighbours(self, window: int) -> Tensor:
        """Return which keys a query sees of the last `window` tokens, itself among them: bool [batch, queries, keys]."""
        at = torch.arange(self.sample.shape[1])
        back = at[:, None] - at
        return self._same(self.sample) & (back >= 0) & (back < window)

    def windows(self, m: int) -> Windows:
        """Return the windows of m tokens; what is left over at the end of a sample is in none. One column at least, be it nobody's."""
        closes = self.real & ((self.position + 1) % m == 0)
        most = max(int(closes.sum(1).max()), 1)
        end = closes.long().argsort(dim=1, descending=True, stable=True)[:, :most]
        tokens = (end[..., None] - m + 1 + torch.arange(m)).clamp(min=0)
        return Windows(tokens, self.position.gather(1, end) // m, self.sample.gather(1, end) * closes.gather(1, end), end)

    def ready(self, windows: Windows) -> Tensor:
        """Return which windows a query may see: those of its sample whose last token has been. bool [batch, queries, windows]."""
        return self._same(windows.sample) & (windows.end[:, None] <= torch.arange(self.sample.shape[1])[:, None])

    def _same(self, other: Tensor) -> Tensor:
        return (self.sample[:, :, None] == other[:, None]) & self.real[:, :, None]
