"""LSTM, GRU and the LSTM's cell against PyTorch's own on the CPU, values and gradients."""

import copy

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# torch_npu gives aclnnLSTM only models of four weights; others go to a graph operator
LSTMS = [{}, {"batch_first": True}, {"bidirectional": True, "bias": False}, {"num_layers": 2, "bias": False}]
GRUS = [{}, {"batch_first": True}, {"bidirectional": True}, {"num_layers": 2, "bias": False}, {"num_layers": 2, "bidirectional": True}]
CASES = [*((torch.nn.LSTM, options) for options in LSTMS), *((torch.nn.GRU, options) for options in GRUS)]


def close(found, expected):
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-5)


def last(state):
    """The last states in one number, each part weighing otherwise."""
    return state.pow(2).sum() if isinstance(state, torch.Tensor) else state[0].pow(2).sum() + 3 * state[1].pow(2).sum()


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_values_and_gradients(kind, options):
    torch.manual_seed(0)
    model, x = kind(5, 7, **options), torch.randn(4, 3, 5)
    on_npu, x_npu = copy.deepcopy(model).npu(), x.npu().requires_grad_()
    x.requires_grad_()
    (y, state), (y_npu, state_npu) = model(x), on_npu(x_npu)
    weight = torch.randn_like(y)
    ((y * weight).sum() + last(state)).backward()
    ((y_npu * weight.npu()).sum() + last(state_npu)).backward()
    close(y_npu, y)
    close(x_npu.grad, x.grad)
    for one, other in zip(on_npu.parameters(), model.parameters(), strict=True):
        close(one.grad, other.grad)
    with torch.no_grad():
        close(on_npu.eval()(x_npu)[0], y)


@pytest.mark.parametrize("options", [{}, LSTMS[2]], ids=str)
def test_packed(options):
    """The data's own gradient is left out: torch_npu 2.13 packs with the padding, and PyTorch's backward of packing knows of none.

    For the same reason no packed GRU works there.
    """
    torch.manual_seed(0)
    model, x, lengths = torch.nn.LSTM(5, 7, **options), torch.randn(6, 3, 5), [6, 5, 3]
    on_npu = copy.deepcopy(model).npu()
    y, (h, c) = model(pack_padded_sequence(x, lengths))
    y_npu, (h_npu, c_npu) = on_npu(pack_padded_sequence(x.npu(), lengths))
    padded, padded_npu = pad_packed_sequence(y)[0], pad_packed_sequence(y_npu)[0]
    close(padded_npu, padded)
    close(h_npu, h)
    close(c_npu, c)
    (padded.pow(2).sum() + last((h, c))).backward()
    (padded_npu.pow(2).sum() + last((h_npu, c_npu))).backward()
    for one, other in zip(on_npu.parameters(), model.parameters(), strict=True):
        close(one.grad, other.grad)


def test_a_step_of_the_cell():
    torch.manual_seed(0)
    gates = torch.randn(3, 28), torch.randn(3, 28), torch.randn(3, 7), torch.randn(28), torch.randn(28)
    on_npu = [one.npu().requires_grad_() for one in gates]
    h, c, _ = torch.ops.aten._thnn_fused_lstm_cell(*on_npu)
    (h.pow(2).sum() + c.sum()).backward()
    on_cpu = [one.clone().requires_grad_() for one in gates]
    i, f, j, o = (on_cpu[0] + on_cpu[1] + on_cpu[3] + on_cpu[4]).chunk(4, 1)
    c_cpu = f.sigmoid() * on_cpu[2] + i.sigmoid() * j.tanh()
    h_cpu = o.sigmoid() * c_cpu.tanh()
    (h_cpu.pow(2).sum() + c_cpu.sum()).backward()
    close(h, h_cpu)
    close(c, c_cpu)
    for one, other in zip(on_npu, on_cpu, strict=True):
        close(one.grad, other.grad)
