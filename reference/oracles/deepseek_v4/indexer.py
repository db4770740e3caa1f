"""The lightning indexer: which compressed entries a query looks at, and the loss it is trained by. Knows no attention.

Sources: DeepSeek-V4 technical report, section 2.3.1, eq. 13 to 17; DeepSeek-V3.2 technical report (arXiv 2512.02556), eq. 3 and 4. A choice
has no gradient. The indexer learns by following the attention instead, and its inputs are detached, so that nothing else learns by that.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from reference.oracles.deepseek_v4.compression import entries
from reference.oracles.deepseek_v4.config import Config
from reference.oracles.deepseek_v4.quantisation import four_bits
from reference.oracles.deepseek_v4.rotary import turn
from reference.oracles.deepseek_v4.samples import Samples, Windows
from reference.oracles.softmax import log_sum_exp


def index_scores(
    weights: Mapping[str, Tensor], config: Config, hidden: Tensor, latent: Tensor, samples: Samples, windows: Windows, by: Tensor
) -> Tensor:
    """Return `sum_h w_h relu(q_h . k) / sqrt(heads width)`, [batch, queries, windows], differentiable in the indexer's weights alone.

    `latent` [batch, length, r] is the attention's low-rank query, from which the indexer's own is made; `by` are the rotary's frequencies.
    """
    hidden, latent = hidden.detach(), latent.detach()
    heads, width = config.index_n_heads, config.index_head_dim
    keys = entries(weights, hidden, windows, by, config.rms_norm_eps, overlapping=True)
    queries = torch.unflatten(functional.linear(latent, weights["q_b_proj.weight"]), -1, (heads, width))
    queries = turn(queries, samples.position, by)
    if config.quantised:
        queries, keys = four_bits(queries), four_bits(keys)
    similar = torch.relu(torch.einsum("bqhc,bkc->bqhk", queries, keys)) * width**-0.5
    importance = functional.linear(hidden, weights["scorer.weights_proj.weight"]) * heads**-0.5
    return torch.einsum("bqh,bqhk->bqk", importance, similar)


def select(scores: Tensor, ready: Tensor, k: int) -> Tensor:
    """Return which entries each query looks at: the k best of those that are `ready`, all of them where there are fewer.

    bool [batch, queries, windows] as `ready`. Of equal scores the earlier entry is taken.
    """
    ranked = scores.detach().masked_fill(~ready, -torch.inf)
    best = ranked.argsort(dim=-1, descending=True, stable=True)[..., :k]
    return torch.zeros_like(ready).scatter(-1, best, True) & ready


def indexer_loss(scores: Tensor, chosen: Tensor, attention: Tensor) -> Tensor:
    """Return `KL(p || softmax(scores))` over the chosen entries in nats, a scalar: the mean over queries that have any.

    p is what the attention [batch, heads, queries, windows] gave these entries, summed over heads and divided by its sum. Its softmax ran
    over the sliding window and the sink as well, so a head that looks mostly there counts for less. p is no function of any weight here.
    """
    given = (attention.detach().sum(1) * chosen).clamp(min=torch.finfo(attention.dtype).tiny) * chosen
    some = chosen.any(-1)
    target = given / torch.where(some, given.sum(-1), 1.0)[..., None]
    open_row = (~some)[..., None] | chosen  # a query with nothing chosen must not make a NaN: it is weighted by zero
    log_prob = scores - log_sum_exp(scores.masked_fill(~open_row, -torch.inf), -1)[..., None]
    terms = torch.where(chosen, target * (torch.log(torch.where(chosen, target, 1.0)) - log_prob), 0.0)
    return terms.sum() / some.sum().clamp(min=1)
