"""Products with quantised operands and in groups, against plain products in float64."""

import torch

from reference.oracles.fused import products as oracle
from tests.reference.oracles.drawing import drawn

ENDS = torch.tensor([2, 2, 5])
OWNER = [0, 0, 2, 2, 2]


def integers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int8)


def test_a_quantised_product_scaled_by_columns_and_rows() -> None:
    x1, x2, scale, rows = integers(3, 8), integers(8, 4, seed=1), drawn(4), drawn(3, seed=1)
    exact = (x1.double() @ x2.double()) * scale * rows[:, None]
    torch.testing.assert_close(oracle.quant_matmul(x1, x2, scale, pertoken_scale=rows, output_dtype=torch.float64), exact)
    real, whole = drawn(4, seed=2), torch.tensor([1, 2, 3, 4])
    found = oracle.quant_matmul(x1, x2, scale, pertoken_scale=rows, bias=real, output_dtype=torch.float64)
    torch.testing.assert_close(found, exact + real)
    sums = oracle.quant_matmul(x1, x2, scale, bias=whole, output_dtype=torch.int32)
    assert torch.equal(sums.long(), x1.long() @ x2.long() + whole)
    found = oracle.quant_matmul(x1, x2, scale * 1e-4, offset=real, bias=whole, output_dtype=torch.int8)
    torch.testing.assert_close(found, sums * scale * 1e-4 + real)


def test_weights_are_restored_in_groups_of_rows() -> None:
    x, codes, scale, offset, bias = drawn(3, 8), integers(8, 4), drawn(2, 4, seed=1), drawn(2, 4, seed=2), drawn(4, seed=3)
    weight = torch.cat([(codes[:4].double() + offset[0]) * scale[0], (codes[4:].double() + offset[1]) * scale[1]])
    torch.testing.assert_close(oracle.weight_quant_batchmatmul(x, codes, scale, offset, bias=bias), x @ weight + bias)


def test_quantising_on_the_way_is_exact_where_nothing_is_rounded() -> None:
    x = torch.tensor([[127.0, -3.0, 50.0]], dtype=torch.float64) / 4
    weight, scale = integers(2, 3), drawn(2)
    torch.testing.assert_close(oracle.quant_matmul_dequant(x, weight, scale), x @ weight.double().T * scale)
    found = oracle.quant_grouped_matmul_dequant(x.repeat(5, 1), weight.repeat(3, 1, 1), scale.repeat(3, 1), ENDS)
    torch.testing.assert_close(found, (x @ weight.double().T * scale).repeat(5, 1))


def test_groups_take_their_weight_and_bias() -> None:
    x, weight, bias = drawn(5, 4), drawn(3, 4, 6, seed=1), drawn(3, 6, seed=2)
    found = oracle.grouped_matmul(x, list(weight), ENDS, list(bias))
    torch.testing.assert_close(found, torch.stack([x[row] @ weight[group] + bias[group] for row, group in enumerate(OWNER)]))


def test_groups_of_the_summed_dimension() -> None:
    x, weight = drawn(4, 5), drawn(5, 6, seed=1)
    found = oracle.grouped_matmul_of_columns(x, weight, ENDS)
    torch.testing.assert_close(found, torch.stack([x[:, :2] @ weight[:2], torch.zeros(4, 6).double(), x[:, 2:] @ weight[2:]]))


def test_rows_are_added_to_their_tokens() -> None:
    x, weight, scale, rows = integers(5, 4), integers(3, 4, 6, seed=1), drawn(3, 6), drawn(5, seed=1)
    logit, shared, index = drawn(5, seed=2), drawn(2, 6, seed=3), torch.tensor([0, 3, 0, 1, 3])
    found = oracle.grouped_matmul_finalize_routing(x, weight, ENDS, scale, rows, logit, index, shared, 0.5, 1, 4)
    expected = torch.zeros(4, 6, dtype=torch.float64)
    for row, group in enumerate(OWNER):
        expected[index[row]] += (x[row].double() @ weight[group].double()) * scale[group] * rows[row] * logit[row]
    expected[1:3] += 0.5 * shared
    torch.testing.assert_close(found, expected)


def test_gated_and_quantised_rows_come_back() -> None:
    x, weight, scale, rows = integers(5, 4), integers(3, 4, 6, seed=1), drawn(3, 6) * 1e-3, drawn(5, seed=1)
    y, step = oracle.grouped_matmul_swiglu_quant(x, weight, ENDS, scale, rows)
    for row, group in enumerate(OWNER):
        value = (x[row].double() @ weight[group].double()) * scale[group] * rows[row]
        torch.testing.assert_close(y[row] * step[row], torch.nn.functional.silu(value[:3]) * value[3:])


def test_feed_forward_of_all_and_of_experts() -> None:
    x, first, second = drawn(5, 4), drawn(3, 4, 8, seed=1), drawn(3, 8, 4, seed=2)
    zero = torch.zeros(8, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    found = oracle.ffn_of_experts(x, first, second, "gelu", [2, 0, 3])
    for row, group in enumerate(OWNER):
        torch.testing.assert_close(found[row], oracle.ffn(x[row : row + 1], first[group], second[group], "gelu", zero)[0])
        torch.testing.assert_close(found[row], torch.nn.functional.gelu(x[row] @ first[group]) @ second[group])


def test_batches_between_rows_and_columns() -> None:
    x, weight = drawn(5, 3, 4), drawn(3, 4, 6, seed=1)
    torch.testing.assert_close(oracle.transpose_batchmatmul(x, weight), (x.transpose(0, 1) @ weight).transpose(0, 1))


def test_adapters_change_their_slice_of_their_rows() -> None:
    y, x, a, b = drawn(3, 10), drawn(3, 4, seed=1), drawn(2, 2, 2, 4, seed=2), drawn(2, 2, 6, 2, seed=3)
    found = oracle.batch_gather_matmul(y, x, b, torch.tensor([1, -1, 0]), a, 1, 0.5, 2, 6)
    assert torch.equal(found[1], y[1])
    assert torch.equal(found[:, :2], y[:, :2])
    torch.testing.assert_close(found[2, 2:8], y[2, 2:8] + 0.5 * b[0, 1] @ a[0, 1] @ x[2])
