"""LSTM and GRU over layers, directions and steps, the LSTM's cell, and their backwards, in float32. Knows no projection and no dropout.

A packed sequence comes as torch_npu packs it: every step has the whole batch, of which the first `batch_sizes[step]` rows are real.
What a backward needs is kept a tensor for each layer and direction, (steps, batch, hidden).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from emulator.operator import Out, Outs, Pointer, Tensors, aclnn

#: Input and recurrent weight, their biases if there are any; gates in PyTorch's order: input, forget, cell, output; reset, update, new.
Weights = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
_LSTM_KEPT, _GRU_KEPT = 7, 5


class _Steps:
    """A sequence by steps: `x` (steps, batch, features), `counts` how many rows of each step are real."""

    def __init__(self, data: Tensor, batch_sizes: Tensor | None, batch_first: bool) -> None:
        self.packed, self.batch_first = batch_sizes is not None and batch_sizes.numel() > 0, batch_first
        if batch_sizes is not None and self.packed:
            self.counts: list[int] = batch_sizes.tolist()
            self.x = data.float().reshape(len(self.counts), -1, data.shape[-1])
        else:
            self.x = data.float().transpose(0, 1) if batch_first else data.float()
            self.counts = [self.x.shape[1]] * self.x.shape[0]

    def order(self, direction: int) -> list[int]:
        return list(range(len(self.counts)))[:: -1 if direction else 1]

    def given_back(self, y: Tensor) -> Tensor:
        """Return steps in the layout of the result: that of the data, but for a packed one, which comes back by steps."""
        return y.transpose(0, 1) if self.batch_first else y


def _weights(params: Sequence[Tensor], biases: bool) -> list[Weights]:
    wide = [one.float() for one in params]
    if biases:
        return [(wide[at], wide[at + 1], wide[at + 2], wide[at + 3]) for at in range(0, len(wide), 4)]
    return [(wide[at], wide[at + 1], None, None) for at in range(0, len(wide), 2)]


def _without_dropout(dropout: float, train: bool, layers: int) -> None:
    if dropout and train and layers > 1:
        raise NotImplementedError("dropout between the layers of an LSTM or GRU is not emulated")


def _kept(lists: Tensor, wanted: Sequence[Tensor] | None) -> list[Tensor]:
    """Return what is kept for the backward; without training torch_npu asks for none, or for tensors of one element that nobody reads."""
    return [torch.zeros(()) if out.dim() == 0 else one for one, out in zip(lists, wanted or [], strict=False)]


def _lstm_direction(x: Tensor, counts: list[int], weights: Weights, h: Tensor, c: Tensor, order: list[int]) -> Tensor:
    """Run the steps, changing h and c in place; return i, j (the new content), f, o, h, c, tanh(c), stacked."""
    w_ih, w_hh, b_ih, b_hh = weights
    given = linear(x, w_ih, b_ih)
    kept = x.new_zeros(_LSTM_KEPT, *x.shape[:2], h.shape[1])
    for step in order:
        rows = slice(counts[step])
        i, f, j, o = (given[step, rows] + linear(h[rows], w_hh, b_hh)).chunk(4, 1)
        i, f, j, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(j), torch.sigmoid(o)
        c[rows] = f * c[rows] + i * j
        tanh_c = torch.tanh(c[rows])
        h[rows] = o * tanh_c
        kept[:, step, rows] = torch.stack((i, j, f, o, h[rows], c[rows], tanh_c))
    return kept


def _gru_direction(x: Tensor, counts: list[int], weights: Weights, h: Tensor, order: list[int]) -> Tensor:
    """Run the steps, changing h in place; return r, z, n, what the state gives to n, h, stacked."""
    w_ih, w_hh, b_ih, b_hh = weights
    given = linear(x, w_ih, b_ih)
    kept = x.new_zeros(_GRU_KEPT, *x.shape[:2], h.shape[1])
    for step in order:
        rows = slice(counts[step])
        (r, z, n), (r_h, z_h, n_h) = given[step, rows].chunk(3, 1), linear(h[rows], w_hh, b_hh).chunk(3, 1)
        r, z = torch.sigmoid(r + r_h), torch.sigmoid(z + z_h)
        n = torch.tanh(n + r * n_h)
        h[rows] = (1 - z) * n + z * h[rows]
        kept[:, step, rows] = torch.stack((r, z, n, n_h, h[rows]))
    return kept


@aclnn
def LSTM(
    data: Tensor, params: Tensors, hx: Tensors, batch_sizes: Tensor | None,
    biases: bool, layers: int, dropout: float, train: bool, bidirectional: bool, batch_first: bool,
    y: Out, h_out: Out, c_out: Out, i: Outs, j: Outs, f: Outs, o: Outs, h: Outs, c: Outs, tanh_c: Outs,
) -> Any:  # fmt: skip
    """As torch.nn.LSTM; data (steps, batch, features), (batch, steps, features) or packed (steps * batch, features)."""
    _without_dropout(dropout, train, layers)
    steps, directions = _Steps(data, batch_sizes, batch_first), 1 + bidirectional
    h_now, c_now = hx[0].float().clone(), hx[1].float().clone()
    kept, x = [], steps.x
    for at, weights in enumerate(_weights(params, biases)):
        kept.append(_lstm_direction(x, steps.counts, weights, h_now[at], c_now[at], steps.order(at % directions)))
        if at % directions == directions - 1:
            x = torch.cat([one[4] for one in kept[-directions:]], -1)
    by_kind = torch.stack(kept, 1)
    lists = [_kept(by_kind[kind], wanted) for kind, wanted in enumerate((i, j, f, o, h, c, tanh_c))]
    return steps.given_back(x), h_now, c_now, *lists


@aclnn
def GRU(
    data: Tensor, params: Tensors, hx: Tensor, batch_sizes: Tensor | None,
    biases: bool, layers: int, dropout: float, train: bool, bidirectional: bool, batch_first: bool,
    y: Out, h_out: Out, r: Outs, z: Outs, n: Outs, n_h: Outs, h: Outs,
) -> Any:  # fmt: skip
    """As torch.nn.GRU; data as for LSTM."""
    _without_dropout(dropout, train, layers)
    steps, directions, h_now = _Steps(data, batch_sizes, batch_first), 1 + bidirectional, hx.float().clone()
    kept, x = [], steps.x
    for at, weights in enumerate(_weights(params, biases)):
        kept.append(_gru_direction(x, steps.counts, weights, h_now[at], steps.order(at % directions)))
        if at % directions == directions - 1:
            x = torch.cat([one[4] for one in kept[-directions:]], -1)
    by_kind = torch.stack(kept, 1)
    return steps.given_back(x), h_now, *[_kept(by_kind[kind], wanted) for kind, wanted in enumerate((r, z, n, n_h, h))]


def _before(state: Tensor, after: Tensor, counts: list[int], order: list[int]) -> Tensor:
    """Return the state that each step began with, given that before the first and those after each."""
    found, state = torch.zeros_like(after), state.clone()
    for step in order:
        rows = slice(counts[step])
        found[step, rows] = state[rows]
        state[rows] = after[step, rows]
    return found


def _of_weights(at_input: Tensor, at_state: Tensor, x: Tensor, h_before: Tensor, weights: Weights) -> list[Tensor]:
    """Return the gradients of the weights and biases, given those of the gates, at the input's side and the state's."""
    by_input, by_state = at_input.flatten(0, 1), at_state.flatten(0, 1)
    found = [by_input.T @ x.flatten(0, 1), by_state.T @ h_before.flatten(0, 1)]
    return found if weights[2] is None else [*found, by_input.sum(0), by_state.sum(0)]


@aclnn
def LstmBackward(
    data: Tensor, hx: Tensors, params: Tensors, grad_y: Tensor | None, grad_h: Tensor | None, grad_c: Tensor | None,
    i: Tensors, j: Tensors, f: Tensors, o: Tensors, h: Tensors, c: Tensors, tanh_c: Tensors, batch_sizes: Tensor | None,
    biases: bool, layers: int, dropout: float, train: bool, bidirectional: bool, batch_first: bool, reserved: Pointer,
    grad_data: Out, grad_h_before: Out, grad_c_before: Out, grad_params: Outs,
) -> Any:  # fmt: skip
    """Back through time: gradients of the data, of the first states, and of the weights in the order of `params`."""
    _without_dropout(dropout, train, layers)
    steps, directions = _Steps(data, batch_sizes, batch_first), 1 + bidirectional
    h_first, c_first = hx[0].float(), hx[1].float()
    d_h = torch.zeros_like(h_first) if grad_h is None else grad_h.float().clone()
    d_c = torch.zeros_like(c_first) if grad_c is None else grad_c.float().clone()
    d_y, weights = _by_steps(grad_y, steps, h_first.shape[-1] * directions), _weights(params, biases)
    found: list[list[Tensor]] = [[]] * len(weights)
    for layer in reversed(range(layers)):
        x = steps.x if layer == 0 else torch.cat([h[at].float() for at in range((layer - 1) * directions, layer * directions)], -1)
        d_x = torch.zeros_like(x)
        for direction in range(directions):
            at, order = layer * directions + direction, steps.order(direction)
            kept = [one[at].float() for one in (i, j, f, o, tanh_c)]
            h_before, c_before = (_before(a, b[at].float(), steps.counts, order) for a, b in ((h_first[at], h), (c_first[at], c)))
            d_gates = _lstm_gates(
                d_y.chunk(directions, -1)[direction], d_h[at], d_c[at], kept, c_before, weights[at][1], steps.counts, order
            )
            d_x += d_gates @ weights[at][0]
            found[at] = _of_weights(d_gates, d_gates, x, h_before, weights[at])
        d_y = d_x
    return steps.given_back(d_y).reshape(grad_data.shape), d_h, d_c, [one for each in found for one in each]


def _by_steps(grad_y: Tensor | None, steps: _Steps, features: int) -> Tensor:
    if grad_y is None:
        return torch.zeros(*steps.x.shape[:2], features)
    wide = grad_y.float()
    return wide.transpose(0, 1) if steps.batch_first else wide.reshape(*steps.x.shape[:2], features)


def _lstm_gates(
    d_y: Tensor, d_h: Tensor, d_c: Tensor, kept: list[Tensor], c_before: Tensor, w_hh: Tensor, counts: list[int], order: list[int]
) -> Tensor:
    """Return the gates' gradients of every step; d_h and d_c become those of the first state, in place."""
    found = d_y.new_zeros(*d_y.shape[:2], w_hh.shape[0])
    for step in reversed(order):
        rows = slice(counts[step])
        i, j, f, o, tanh_c = (one[step, rows] for one in kept)
        d_state = d_h[rows] + d_y[step, rows]
        d_cell = d_c[rows] + d_state * o * (1 - tanh_c * tanh_c)
        d_i, d_f, d_j, d_o = d_cell * j, d_cell * c_before[step, rows], d_cell * i, d_state * tanh_c
        gates = torch.cat((d_i * i * (1 - i), d_f * f * (1 - f), d_j * (1 - j * j), d_o * o * (1 - o)), 1)
        found[step, rows], d_h[rows], d_c[rows] = gates, gates @ w_hh, d_cell * f
    return found


@aclnn
def GRUBackward(
    data: Tensor, params: Tensors, hx: Tensor, grad_y: Tensor | None, grad_h: Tensor | None,
    r: Tensors, z: Tensors, n: Tensors, n_h: Tensors, h: Tensors, batch_sizes: Tensor | None,
    biases: bool, layers: int, bidirectional: bool, batch_first: bool, grad_data: Out, grad_h_before: Out, grad_params: Outs,
) -> Any:  # fmt: skip
    """As LstmBackward."""
    steps, directions, h_first = _Steps(data, batch_sizes, batch_first), 1 + bidirectional, hx.float()
    d_h = torch.zeros_like(h_first) if grad_h is None else grad_h.float().clone()
    d_y, weights = _by_steps(grad_y, steps, h_first.shape[-1] * directions), _weights(params, biases)
    found: list[list[Tensor]] = [[]] * len(weights)
    for layer in reversed(range(layers)):
        x = steps.x if layer == 0 else torch.cat([h[at].float() for at in range((layer - 1) * directions, layer * directions)], -1)
        d_x = torch.zeros_like(x)
        for direction in range(directions):
            at, order = layer * directions + direction, steps.order(direction)
            kept = [one[at].float() for one in (r, z, n, n_h)]
            h_before = _before(h_first[at], h[at].float(), steps.counts, order)
            sides = _gru_gates(d_y.chunk(directions, -1)[direction], d_h[at], kept, h_before, weights[at][1], steps.counts, order)
            d_x += sides[0] @ weights[at][0]
            found[at] = _of_weights(*sides, x, h_before, weights[at])
        d_y = d_x
    return steps.given_back(d_y).reshape(grad_data.shape), d_h, [one for each in found for one in each]


def _gru_gates(
    d_y: Tensor, d_h: Tensor, kept: list[Tensor], h_before: Tensor, w_hh: Tensor, counts: list[int], order: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the gates' gradients of every step, at the input's side and the state's; d_h becomes that of the first state, in place."""
    at_input = d_y.new_zeros(*d_y.shape[:2], w_hh.shape[0])
    at_state = torch.zeros_like(at_input)
    for step in reversed(order):
        rows = slice(counts[step])
        r, z, n, n_h = (one[step, rows] for one in kept)
        d_state = d_h[rows] + d_y[step, rows]
        d_n = d_state * (1 - z) * (1 - n * n)
        d_r, d_z = d_n * n_h * r * (1 - r), d_state * (h_before[step, rows] - n) * z * (1 - z)
        at_input[step, rows], at_state[step, rows] = torch.cat((d_r, d_z, d_n), 1), torch.cat((d_r, d_z, d_n * r), 1)
        d_h[rows] = d_state * z + at_state[step, rows] @ w_hh
    return at_input, at_state


@aclnn
def ThnnFusedLstmCell(
    of_input: Tensor, of_state: Tensor, c: Tensor, input_bias: Tensor | None, state_bias: Tensor | None, h_out: Out, c_out: Out, kept: Out
) -> Any:
    """The LSTM's step from the two products (batch, 4 * hidden); keeps the four gates, side by side."""
    i, f, j, o = sum(one.float() for one in (of_input, of_state, input_bias, state_bias) if one is not None).chunk(4, 1)  # type: ignore[union-attr]
    i, f, j, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(j), torch.sigmoid(o)
    c_new = f * c.float() + i * j
    return o * torch.tanh(c_new), c_new, torch.cat((i, f, j, o), 1)


@aclnn
def ThnnFusedLstmCellBackward(
    grad_h: Tensor | None, grad_c: Tensor | None, c: Tensor, c_new: Tensor, kept: Tensor, has_bias: bool,
    grad_gates: Out, grad_c_before: Out, grad_bias: Out,
) -> Any:  # fmt: skip
    """From the step's gradients those of the gates, of the cell before, and of a bias, which is that of either."""
    i, f, j, o = kept.float().chunk(4, 1)
    tanh_c = torch.tanh(c_new.float())
    d_state = torch.zeros_like(tanh_c) if grad_h is None else grad_h.float()
    d_cell = d_state * o * (1 - tanh_c * tanh_c) + (0 if grad_c is None else grad_c.float())
    d_f, d_j = d_cell * c.float() * f * (1 - f), d_cell * i * (1 - j * j)
    gates = torch.cat((d_cell * j * i * (1 - i), d_f, d_j, d_state * tanh_c * o * (1 - o)), 1)
    return gates, d_cell * f, gates.sum(0)
