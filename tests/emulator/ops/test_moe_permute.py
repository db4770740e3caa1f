"""Permutations by expert and their gradients, against autograd of the definitions in float64."""

import pytest
import torch
import torch_npu

N, K, H, EXPERTS = 6, 2, 8, 4


def tokens(dtype: torch.dtype = torch.float32, rows: int = N) -> torch.Tensor:
    return torch.randn(rows, H, generator=torch.Generator().manual_seed(1)).to(dtype)


def indices() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.stack([torch.randperm(EXPERTS, generator=generator)[:K] for _ in range(N)])


def routes() -> torch.Tensor:
    return torch.zeros(N, EXPERTS, dtype=torch.bool).scatter_(1, indices(), True)


def weights(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)).to(dtype)


def close(found: torch.Tensor, exact: torch.Tensor, dtype: torch.dtype = torch.float32) -> None:
    torch.testing.assert_close(found.detach().cpu(), exact.to(dtype), rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def on_npu(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.npu().requires_grad_() for tensor in tensors]


def exactly(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.double().requires_grad_() for tensor in tensors]


def places(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows by expert, and where each row went."""
    order = torch.tensor(sorted(range(flat.numel()), key=lambda row: int(flat[row])))
    went = torch.empty_like(order)
    went[order] = torch.arange(len(order))
    return order, went


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [None, 7])
def test_permute(kept, dtype):
    (moved,), (exact,) = on_npu(tokens(dtype)), exactly(tokens(dtype))
    order, went = places(indices().flatten())
    found, sorted_indices = torch_npu.npu_moe_token_permute(moved, indices().npu(), kept)
    expected = exact[order[:kept] // K]
    close(found, expected, dtype)
    assert sorted_indices.tolist() == went.tolist()
    grad = tokens(dtype, len(expected))
    found.backward(grad.npu())
    expected.backward(grad.double())
    close(moved.grad, exact.grad, dtype)


def test_permute_with_one_expert_each():
    flat = indices()[:, 0]
    order, went = places(flat)
    found, sorted_indices = torch_npu.npu_moe_token_permute(tokens().npu(), flat.npu())
    close(found, tokens()[order])
    assert sorted_indices.tolist() == went.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [N * K, 7])
def test_unpermute_weighs_and_adds_up(rows, dtype):
    _, went = places(indices().flatten())
    data = (tokens(dtype, rows), weights((N, K), torch.float32))
    (permuted, probs), (exact, exact_probs) = on_npu(*data), exactly(*data)
    found = torch_npu.npu_moe_token_unpermute(permuted, went.int().npu(), probs)
    padded = torch.cat([exact, torch.zeros(N * K - rows, H, dtype=torch.float64)])  # rows that were not kept add nothing
    expected = (padded[went].view(N, K, H) * exact_probs.unsqueeze(-1)).sum(1)
    close(found, expected, dtype)
    found.backward(tokens(dtype).npu())
    expected.backward(tokens(dtype).double())
    close(permuted.grad, exact.grad, dtype)
    close(probs.grad, exact_probs.grad)


def test_unpermute_without_weights():
    _, went = places(indices()[:, 0])
    (permuted,), (exact,) = on_npu(tokens()), exactly(tokens())
    found = torch_npu.npu_moe_token_unpermute(permuted, went.int().npu())
    close(found, exact[went])
    found.backward(tokens().npu() * 2)
    exact[went].backward(tokens().double() * 2)
    close(permuted.grad, exact.grad)


def by_map(x: torch.Tensor, probs: torch.Tensor, routing: torch.Tensor, capacity: int = 0) -> tuple[torch.Tensor, torch.Tensor, list]:
    """Rows, weights, and the (token, expert) of each row, expert by expert."""
    pairs = []
    for expert in range(EXPERTS):
        on = [token for token in range(N) if routing[token, expert]]
        off = [token for token in range(N) if not routing[token, expert]]
        pairs += [(token, expert) for token in ((on + off)[:capacity] if capacity else on)]
    return torch.stack([x[token] for token, _ in pairs]), torch.stack([probs[pair] for pair in pairs]), pairs


@pytest.mark.parametrize("kind", [torch.bool, torch.int8])
@pytest.mark.parametrize("capacity", [0, 3])
def test_permute_by_a_map(capacity, kind):
    data = (tokens(), weights((N, EXPERTS)))
    (moved, probs), (exact, exact_probs) = on_npu(*data), exactly(*data)
    rows, row_probs, pairs = by_map(exact, exact_probs, routes(), capacity)
    found, found_probs, sorted_indices = torch_npu.npu_moe_token_permute_with_routing_map(
        moved, routes().to(kind).npu(), probs=probs, num_out_tokens=capacity * EXPERTS or N * K, drop_and_pad=capacity > 0
    )
    close(found, rows)
    close(found_probs, row_probs)
    if capacity:
        assert sorted_indices.tolist() == [token for token, _ in pairs]
    else:
        assert sorted_indices.tolist() == [pairs.index(pair) for token in range(N) for pair in pairs if pair[0] == token]
    grads = tokens(rows=len(rows)), weights((len(rows),))
    torch.autograd.backward([found, found_probs], [grad.npu() for grad in grads])
    torch.autograd.backward([rows, row_probs], [grad.double() for grad in grads])
    close(moved.grad, exact.grad)
    close(probs.grad, exact_probs.grad)


@pytest.mark.parametrize("weighed", [True, False])
@pytest.mark.parametrize("capacity", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unpermute_by_a_map(capacity, weighed, dtype):
    _, _, pairs = by_map(tokens(), weights((N, EXPERTS)), routes(), capacity)
    went = [token for token, _ in pairs] if capacity else [pairs.index(p) for token in range(N) for p in pairs if p[0] == token]
    data = (tokens(dtype, len(pairs)), weights((N, EXPERTS), dtype))
    (permuted, probs), (exact, exact_probs) = on_npu(*data), exactly(*data)
    found = torch_npu.npu_moe_token_unpermute_with_routing_map(
        permuted, torch.tensor(went, dtype=torch.int32).npu(), [N, H], probs=probs if weighed else None,
        routing_map=routes().npu() if weighed else None, drop_and_pad=capacity > 0,
    )  # fmt: skip
    expected = torch.zeros(N, H, dtype=torch.float64)
    for row, (token, expert) in enumerate(pairs):
        place = torch.zeros(N, 1, dtype=torch.float64).index_fill(0, torch.tensor(token), 1)
        expected = expected + place * exact[row] * (exact_probs[token, expert] if weighed else 1)
    close(found, expected, dtype)
    found.backward(tokens(dtype).npu())
    expected.backward(tokens(dtype).double())
    close(permuted.grad, exact.grad, dtype)
    if weighed:
        close(probs.grad, exact_probs.grad, dtype)


def test_a_token_may_have_fewer_experts_than_the_map_allows():
    routing = routes()
    routing[1] = False
    routing[1, 3] = True
    rows, _, pairs = by_map(tokens(), weights((N, EXPERTS)), routing)
    found, _, sorted_indices = torch_npu.npu_moe_token_permute_with_routing_map(tokens().npu(), routing.npu(), num_out_tokens=N * K)
    close(found[: len(pairs)], rows)
    assert sorted_indices.tolist()[2:4] == [pairs.index((1, 3)), -1]
    back = torch_npu.npu_moe_token_unpermute_with_routing_map(found, sorted_indices, [N, H])
    close(back, tokens() * routing.sum(1, keepdim=True))
