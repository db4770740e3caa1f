"""The indexer's loss against KL(p || softmax(I)) in float64, and its gradients against autograd's."""

import pytest
import torch
import torch_npu

from tests.emulator.ops.test_lightning_indexer import real

SCALE, COUNT = 0.3, 4
LENGTHS = {"BSND": [6, 6], "TND": [5, 8]}  # of two sequences; BSND of this operator knows no lengths
SHAPES = {
    "query": (4, 16), "key": (1, 16), "query_index": (3, 12), "key_index": (1, 12), "weights": (3,),
    "query_rope": (4, 8), "key_rope": (1, 8),
}  # fmt: skip
TRAINED = ("query_index", "key_index", "weights")


def sequences(layout: str) -> list[dict[str, torch.Tensor]]:
    made = []
    for place, length in enumerate(LENGTHS[layout]):
        made.append({name: real(length, *shape, seed=10 * place + index) for index, (name, shape) in enumerate(SHAPES.items())})
        made[-1]["weights"] = made[-1]["weights"].abs()
    return made


def chosen(length: int) -> torch.Tensor:
    """Some of the keys that each query sees, without order, filled up with -1."""
    generator = torch.Generator().manual_seed(length)
    rows = [torch.randperm(i + 1, generator=generator)[:COUNT].tolist() for i in range(length)]
    return torch.tensor([row + [-1] * (COUNT - len(row)) for row in rows], dtype=torch.int32)


def mask_of(length: int, sparse: bool) -> torch.Tensor:
    if not sparse:
        return torch.ones(length, length, dtype=torch.bool).tril()
    mask = torch.zeros(length, length, dtype=torch.bool)
    for row, keys in enumerate(chosen(length).tolist()):
        mask[row, [key for key in keys if key >= 0]] = True
    return mask


def attention(data: dict[str, torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """The scaled scores of the main attention [heads, queries, keys], -inf where a query does not look."""
    query, key = (torch.cat([data[name], data[f"{name}_rope"]], -1).double() for name in ("query", "key"))
    return torch.where(mask, torch.einsum("qhd,kd->hqk", query, key[:, 0]) * SCALE, float("-inf"))


def loss(data: dict[str, torch.Tensor], mask: torch.Tensor, sinks: torch.Tensor | None) -> torch.Tensor:
    scores = attention(data, mask)
    taken = scores if sinks is None else torch.cat([scores, sinks.double().view(-1, 1, 1).expand(-1, len(mask), 1)], -1)
    target = torch.softmax(taken, -1)[..., : len(mask)].sum(0).detach()
    target = target / target.sum(-1, keepdim=True)
    scores = torch.relu(torch.einsum("qhd,kd->qhk", data["query_index"], data["key_index"][:, 0]))
    found = torch.log_softmax(torch.where(mask, (scores * data["weights"].unsqueeze(-1)).sum(1), float("-inf")), -1)
    return torch.where(mask, target * (target.clamp_min(1e-8).log() - found), 0.0).sum()


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize(("sparse", "sinks"), [(False, None), (True, None), (True, torch.tensor([0.5, -1.0, 2.0, 0.0]))])
def test_loss_and_gradients(layout, sparse, sinks):
    data = sequences(layout)
    join = torch.stack if layout == "BSND" else torch.cat
    masks = [mask_of(length, sparse) for length in LENGTHS[layout]]
    given = {name: join([sequence[name] for sequence in data]).npu() for name in SHAPES}
    scores = [attention(sequence, mask) for sequence, mask in zip(data, masks, strict=True)]
    tops = [score.amax(-1) if sinks is None else torch.maximum(score.amax(-1), sinks.double().unsqueeze(-1)) for score in scores]
    sums = [torch.exp(score - top.unsqueeze(-1)).sum(-1) for score, top in zip(scores, tops, strict=True)]
    if sinks is not None:
        sums = [total + torch.exp(sinks.double().unsqueeze(-1) - top) for total, top in zip(sums, tops, strict=True)]
    statistics = [join([one.t() for one in values]).unsqueeze(1 if layout == "BSND" else 0).float().npu() for values in (tops, sums)]
    ends = torch.tensor(LENGTHS[layout]).cumsum(0).tolist()
    options = {"layout": layout, **({"actual_seq_qlen": ends, "actual_seq_klen": ends} if layout == "TND" else {})}
    ropes = {name: given[name] for name in ("query_rope", "key_rope")}
    first = [given[name] for name in ("query", "key", *TRAINED)]
    if sparse:
        indices = join([chosen(length) for length in LENGTHS[layout]]).unsqueeze(-2)
        options |= {} if sinks is None else {"sinks": sinks.npu()}
        found = torch_npu.npu_sparse_lightning_indexer_grad_kl_loss(*first, indices.npu(), *statistics, SCALE, **ropes, **options)
    else:
        index = torch_npu.npu_dense_lightning_indexer_softmax_lse(*[given[name] for name in TRAINED], **options)
        found = torch_npu.npu_dense_lightning_indexer_grad_kl_loss(*first, *statistics, *index, SCALE, **ropes, **options)
    exact = [{name: tensor.double().requires_grad_(name in TRAINED) for name, tensor in sequence.items()} for sequence in data]
    total = sum(loss(sequence, mask, sinks) for sequence, mask in zip(exact, masks, strict=True))
    total.backward()
    torch.testing.assert_close(found[3].cpu().double(), total.detach().reshape(1), rtol=1e-3, atol=1e-4)
    for one, name in zip(found[:3], TRAINED, strict=True):
        torch.testing.assert_close(one.cpu().double(), join([sequence[name].grad for sequence in exact]), rtol=2e-2, atol=1e-2)
