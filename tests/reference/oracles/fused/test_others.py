"""Caches, recurrences, choices, blocks with scales, rearrangements and regions: against loops, PyTorch's own, and values by hand."""

import pytest
import torch
import torch.nn.functional as F

from reference.oracles.fused import choosing, latent_cache, microscaling, rearranging, recurrence, regions
from reference.oracles.fused.widening import wide
from tests.reference.oracles.drawing import drawn, leaf


@pytest.mark.parametrize("mode", ["Norm", "PA"])
def test_keys_are_normalised_turned_and_put_in_their_rows(mode: str) -> None:
    kv, gamma, angles = drawn(2, 1, 3, 10), drawn(6, seed=1), drawn(2, 1, 3, 2, seed=2)
    cosine, sine = (torch.cat([t, t], -1) for t in (angles.cos(), angles.sin()))
    index = torch.tensor([[4, 0, 2], [1, 3, 4]]) if mode == "Norm" else torch.tensor([7, 0, 2, -1, 3, 4])
    shapes = [(2, 1, 5, 4), (2, 1, 5, 6)] if mode == "Norm" else [(4, 2, 1, 4), (4, 2, 1, 6)]
    caches = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
    _, _, turned, normal = latent_cache.kv_rmsnorm_rope_cache(kv, gamma, cosine, sine, index, *caches, epsilon=0.1, cache_mode=mode)
    torch.testing.assert_close(normal, F.rms_norm(kv[..., :6], (6,), gamma, 0.1))
    first, second = kv[..., 6::2], kv[..., 7::2]
    product = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned, torch.cat([product.real, product.imag], -1))
    for cache, value in zip(caches, (turned, normal), strict=True):
        written = 0
        for place, (b, t) in enumerate((b, t) for b in range(2) for t in range(3)):
            row = int(index[b, t] if mode == "Norm" else index[place])
            if row >= 0:
                found = cache[b, 0, row] if mode == "Norm" else cache.view(-1, cache.shape[-1])[row]
                assert torch.equal(found, value[b, 0, t])
                written += 1
        assert int((cache != 0).any(-1).sum()) == written


def test_slices_and_blocks_are_put_in_their_places() -> None:
    target, updates = drawn(3, 4, 2), drawn(2, 2, seed=1)
    out = latent_cache.moved_in(target, torch.tensor([[0, 3], [2, 1]]), updates)
    assert torch.equal(out[0, 3], updates[0])
    assert torch.equal(out[2, 1], updates[1])
    assert int((out != target).any(-1).sum()) == 2
    found = latent_cache.scatter_list(list(target), torch.tensor([1, 0, 2]), drawn(3, 2, 2, seed=2))
    assert torch.equal(found[0][1:3], drawn(3, 2, 2, seed=2)[0])
    assert torch.equal(found[0][0], target[0, 0])


def test_the_delta_rule_writes_what_it_then_reads() -> None:
    """With a unit key, full strength and no decay, the query that is the key reads the value; a decay forgets the older one."""
    key = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0]]], dtype=torch.float64)
    value, one, none = drawn(3, 2, 3), torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
    out, states = recurrence.gated_delta_rule(key, key, value, one, none, torch.zeros(1, 2, 3, 2, dtype=torch.float64), [3], 1.0)
    torch.testing.assert_close(out, value)
    torch.testing.assert_close(states[-1, :, :, 1], value[1])
    decayed = recurrence.gated_delta_rule(key, key, value, one, none - 1.0, torch.zeros(1, 2, 3, 2, dtype=torch.float64), [3], 1.0)[1]
    torch.testing.assert_close(decayed[-1, :, :, 1], value[1] * torch.exp(torch.tensor(-1.0)).double())


def test_causal_convolution_is_pytorchs() -> None:
    x, weight, mask = drawn(7, 2, 3), drawn(4, 3, seed=1), drawn(2, 7, seed=2) > 0
    expected = F.conv1d(F.pad(x.permute(1, 2, 0), (3, 0)), weight.T.unsqueeze(1), groups=3).permute(2, 0, 1)
    torch.testing.assert_close(recurrence.masked_causal_conv1d(x, weight, mask), expected * mask.T[..., None])
    assert torch.autograd.gradcheck(lambda a, b: recurrence.masked_causal_conv1d(a, b, mask), (leaf(7, 2, 3), leaf(4, 3, seed=1)))


def test_words_that_stay() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.1, 0.25, 0.15]], dtype=torch.float64))
    stay = lambda p, k: (choosing.top_k_top_p(logits, p, k)[0] > -torch.inf).tolist()  # noqa: E731
    assert stay(None, torch.tensor([2])) == [True, False, True, False]
    assert stay(torch.tensor([0.7], dtype=torch.float64), None) == [True, False, True, False]
    assert stay(torch.tensor([0.8], dtype=torch.float64), None) == [True, False, True, True]
    assert stay(torch.tensor([0.01], dtype=torch.float64), torch.tensor([3])) == [True, False, False, False]


def test_copies_of_experts() -> None:
    copies, ids = torch.tensor([[1, 7, 0], [2, 3, 5]]), torch.tensor([[0, 1], [1, 1], [1, 0]])
    assert choosing.moe_update_expert(ids, copies, rank=5, ranks=8).tolist() == [[7, 5], [5, 5], [5, 7]]
    assert choosing.moe_update_expert(ids, copies, rank=3, ranks=8).tolist() == [[7, 3], [3, 3], [3, 7]]
    assert choosing.moe_update_expert_by_turns(ids, copies).tolist() == [[7, 3], [5, 5], [3, 7]]
    kept = choosing.kept_experts(torch.tensor([[3.0, 1.0], [2.0, 2.0]]), torch.tensor([0.5, 0.4]), torch.tensor([True, False]))
    assert kept.tolist() == [[True, False], [False, False]]


def test_a_block_is_scaled_by_a_power_of_two_and_comes_back() -> None:
    x = torch.zeros(1, 40, dtype=torch.float64)
    x[0, :3], x[0, 32] = torch.tensor([500.0, 3.0, -0.01]), 0.75
    y, scale = microscaling.dynamic_mx_quant(x, -1, torch.float8_e4m3fn)
    assert scale.tolist() == [[[127, 127 - 9]]]  # 500 and the type's 448 have one exponent; 0.75 has 9 less
    assert y.float()[0, [0, 1, 32]].tolist() == [448.0, 3.0, 0.75 * 2**9]
    back = microscaling.anti_mx_quant(y, scale)
    assert back[0, 32] == 0.75
    columns, of_columns = microscaling.dynamic_mx_quant(x.T.contiguous(), 0, torch.float8_e4m3fn)
    assert torch.equal(columns.float(), y.float().T)
    assert of_columns.tolist() == [[[127, 118]]]


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_numbers_of_a_block_are_the_nearest_of_their_type(kind: torch.dtype) -> None:
    x = drawn(4, 64, scale=3.0)
    y, scale = microscaling.dynamic_mx_quant(x, -1, kind)
    step = torch.finfo(kind).eps / 2
    inside = x.abs() < x.abs().unflatten(-1, (2, 32)).amax(-1).repeat_interleave(32, -1) * 0.7
    error = (microscaling.anti_mx_quant(y, scale) - x).abs()
    assert (error <= x.abs() * step + 2.0**-8)[inside].all()


def test_blocks_with_real_scales() -> None:
    x = drawn(5, 6)
    y, scale = microscaling.dynamic_block_quant(x, 2, 4)
    assert scale.shape == (3, 2)
    torch.testing.assert_close(scale[0, 1], x[:2, 4:].abs().max() / 127)
    torch.testing.assert_close(y[4, 5] * scale[2, 1], x[4, 5])


def test_views_are_those_of_pytorch() -> None:
    x = drawn(4, 6)
    assert torch.equal(rearranging.cut_out(x, [1, 2], [2, 3]), x[1:3, 2:5])
    assert torch.equal(rearranging.strided(x, [0, 1], [4, 6], [2, 3]), x[::2, 1:6:3])
    assert torch.equal(rearranging.stride_copy(x, (2, 3), (6, 2), 1), torch.as_strided(x, (2, 3), (6, 2), 1))


@pytest.mark.parametrize("then", ["", "relu", "add", "mul", "gelu_erf", "gelu_tanh"])
def test_products_and_what_follows(then: str) -> None:
    a, b, c = drawn(3, 4), drawn(4, 5, seed=1), drawn(3, 5, seed=2)
    product = a @ b
    gelu = F.gelu(product, approximate="tanh" if then == "gelu_tanh" else "none")
    expected = {"": product, "relu": torch.relu(product), "add": product + c, "mul": product * c}.get(then, gelu)
    torch.testing.assert_close(rearranging.fused_matmul(a, b, bias=None, x3=c, fused_op_type=then), expected)
    torch.testing.assert_close(rearranging.linear(a, b.T, c[0]), product + c[0])


def test_gradients_are_autograds() -> None:
    scores, values, grad = leaf(3, 5), drawn(5, 4, seed=1), drawn(3, 4, seed=2)
    y = torch.softmax(scores, -1)
    (expected,) = torch.autograd.grad(y @ values, scores, grad)
    torch.testing.assert_close(rearranging.attn_softmax(scores.detach().clone()), y.detach())
    torch.testing.assert_close(rearranging.attn_softmax_backward(y.detach().clone(), grad, values), expected)
    target = (drawn(3, 5, seed=3) > 0).double()
    (expected,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(scores, target), scores)
    torch.testing.assert_close(rearranging.binary_cross_entropy_backward(torch.ones(()).double(), scores.detach(), target), expected)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_bilinear_samples_of_a_plane_give_its_value_at_the_middle_of_each_cell(mode: int) -> None:
    y, x = torch.meshgrid(torch.arange(12.0).double(), torch.arange(15.0).double(), indexing="ij")
    roi = torch.tensor([[0.0, 8.0, 12.0, 32.0, 28.0]], dtype=torch.float64)
    found = regions.roi_align((3 * y + x)[None, None], roi, 0.25, 2, 3, 2, mode)
    shift, longer = 0.5 * (mode >= 2), 0.25 * (mode == 1)
    middle = [(3.0 - shift + (4 + longer) * (i + 0.5) / 2, 2.0 - shift + (6 + longer) * (j + 0.5) / 3) for i in range(2) for j in range(3)]
    torch.testing.assert_close(found.flatten(), torch.tensor([3 * a + b for a, b in middle], dtype=torch.float64))


def test_a_region_outside_is_zero_and_a_small_one_a_pixel_large() -> None:
    image = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    rois = torch.tensor([[0, 100.0, 100.0, 120.0, 120.0], [0, 2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
    found = regions.roi_align(image, rois, 1.0, 2, 2, 2, 0)
    assert not found[0].any()
    assert (found[1] == 1).all()


def test_wide_is_float32_at_least() -> None:
    assert [wide(torch.zeros(1, dtype=dtype)).dtype for dtype in (torch.bfloat16, torch.float32, torch.float64)] == [
        torch.float32, torch.float32, torch.float64,
    ]  # fmt: skip
