"""Several tokens as one entry of keys and values: overlapping windows (CSA) and windows side by side (HCA). Knows no attention.

Source: DeepSeek-V4 technical report, section 2.3.1, eq. 9 to 12, and section 2.3.2, eq. 20 to 23. m tokens make a window; only whole
windows of one sample become entries (`samples.Windows`). Entry i lies at position i m of its sample.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from reference.oracles.deepseek_v4.rotary import turn
from reference.oracles.deepseek_v4.samples import Windows
from reference.oracles.rms_norm import rms_norm
from reference.oracles.softmax import softmax


def entries(weights: Mapping[str, Tensor], hidden: Tensor, windows: Windows, by: Tensor, eps: float, overlapping: bool) -> Tensor:
    """Return the entries [batch, windows, c] of `hidden` [batch, length, d], normed and turned; `by` are the rotary's frequencies.

    `weights` has `kv_proj.weight` and `gate_proj.weight` [c or 2c, d], `position_bias` [m, c or 2c] and `kv_norm.weight` [c]; 2c where
    windows overlap. An entry is the sum of its tokens' values, each component weighted by a softmax over the tokens. What stands in the
    place of windows that a row has not is finite and means nothing.
    """
    values = functional.linear(hidden, weights["kv_proj.weight"])
    gates = functional.linear(hidden, weights["gate_proj.weight"])
    gather = overlapped if overlapping else side_by_side
    values, gates = gather(values, gates, weights["position_bias"], windows)
    entry = (values * softmax(gates, 2)).sum(2)
    norm = weights["kv_norm.weight"]
    return turn(rms_norm(entry, norm.shape, norm, eps), windows.number * windows.width, by)


def side_by_side(values: Tensor, gates: Tensor, bias: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Return values and biased gates of each window's m tokens, [batch, windows, m, c]."""
    return _taken(values, windows.tokens), _taken(gates, windows.tokens) + bias


def overlapped(values: Tensor, gates: Tensor, bias: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Return values and biased gates of 2m tokens, [batch, windows, 2m, c]: series a of the window before, then series b of its own.

    Series a is the first half of the 2c components. A sample's first window has none before it: gates of -inf there.
    """
    (value_a, value_b), (gate_a, gate_b), (bias_a, bias_b) = (t.chunk(2, -1) for t in (values, gates, bias))
    first = (windows.number == 0).to(values.device)[..., None, None]
    before = (_taken(gate_a, windows.previous) + bias_a).masked_fill(first, -torch.inf)
    return (
        torch.cat([_taken(value_a, windows.previous), _taken(value_b, windows.tokens)], 2),
        torch.cat([before, _taken(gate_b, windows.tokens) + bias_b], 2),
    )


def _taken(states: Tensor, tokens: Tensor) -> Tensor:
    """Return [batch, windows, m, c] of `states` [batch, length, c]."""
    rows = torch.arange(states.shape[0], device=states.device)[:, None, None]
    return states[rows, tokens.to(states.device)]
