"""Attention of a layer: one shared key-value head over the sliding window, compressed entries and a sink. Knows no other layer.

Source: DeepSeek-V4 technical report, section 2.3: shared key-value MQA, compressed sparse (CSA, 2.3.1) and heavily compressed attention
(HCA, 2.3.2), and 2.3.3: norm of queries and entries, partial rotary that is undone on the output, sliding window, attention sink.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reference.oracles.deepseek_v4.compression import entries
from reference.oracles.deepseek_v4.config import HEAVY, SLIDING, SPARSE, Config
from reference.oracles.deepseek_v4.hyper_connections import unweighted_rms_norm
from reference.oracles.deepseek_v4.indexer import index_scores, indexer_loss, select
from reference.oracles.deepseek_v4.quantisation import cached
from reference.oracles.deepseek_v4.rotary import frequencies, turn
from reference.oracles.deepseek_v4.samples import Samples
from reference.oracles.rms_norm import rms_norm
from reference.oracles.softmax import softmax


class Attended(NamedTuple):
    """The output [batch, length, d]; of a sparse layer the indexer's loss, and what was `chosen`, bool [batch, queries, windows]."""

    output: Tensor
    indexer_loss: Tensor | None = None
    chosen: Tensor | None = None


def under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def attend(weights: Mapping[str, Tensor], config: Config, kind: str, hidden: Tensor, samples: Samples) -> Attended:
    """Return the attention of `hidden` [batch, length, d] in a layer of `kind`; `weights` are those of its `self_attn`."""
    eps = config.rms_norm_eps
    by = frequencies(config.main if kind == SLIDING else config.compress, config.qk_rope_head_dim)
    latent = _normed(functional.linear(hidden, weights["q_a_proj.weight"]), weights["q_a_norm.weight"], eps)
    queries = functional.linear(latent, weights["q_b_proj.weight"])
    queries = torch.unflatten(queries, -1, (config.num_attention_heads, config.head_dim))
    queries = turn(unweighted_rms_norm(queries, eps), samples.position, by)
    keys = turn(_normed(functional.linear(hidden, weights["kv_proj.weight"]), weights["kv_norm.weight"], eps), samples.position, by)
    seen = samples.neighbours(config.sliding_window).to(hidden.device)
    near = keys.shape[1]

    scores = chosen = None
    if kind in (SPARSE, HEAVY):
        windows = samples.windows(config.compress_rates[kind])
        compressor = under(weights, "compressor.")
        keys = torch.cat([keys, entries(compressor, hidden, windows, by, eps, overlapping=kind == SPARSE)], 1)
        chosen = samples.ready(windows).to(hidden.device)
        if kind == SPARSE:
            scores = index_scores(under(compressor, "indexer."), config, hidden, latent, samples, windows, by)
            chosen = select(scores, chosen, config.index_topk)
        seen = torch.cat([seen, chosen], -1)

    if config.quantised:
        keys = cached(keys, config.qk_rope_head_dim)
    probability = with_sink(queries, keys, seen, weights["sinks"])
    output = turn(torch.einsum("bhqk,bkc->bqhc", probability, keys), samples.position, by, back=True)
    grouped = torch.unflatten(output.flatten(2), -1, (config.o_groups, -1))
    inner = torch.unflatten(weights["o_a_proj.weight"], 0, (config.o_groups, -1))
    projected = functional.linear(torch.einsum("bqgi,goi->bqgo", grouped, inner).flatten(2), weights["o_b_proj.weight"])
    if scores is None or chosen is None:
        return Attended(projected)
    return Attended(projected, indexer_loss(scores, chosen, probability[..., near:]), chosen)


def with_sink(queries: Tensor, keys: Tensor, seen: Tensor, sinks: Tensor) -> Tensor:
    """Return the probabilities [batch, heads, queries, keys] of a softmax that also runs over one logit of each head, its sink.

    `queries` [batch, length, heads, c], `keys` [batch, keys, c], `seen` bool [batch, queries, keys], `sinks` [heads]. A row sums to less
    than 1; that of a query that sees nothing is zero.
    """
    logits = torch.einsum("bqhc,bkc->bhqk", queries, keys) * queries.shape[-1] ** -0.5
    logits = logits.masked_fill(~seen[:, None], -torch.inf)
    sink = sinks[:, None, None].expand(*logits.shape[:3], 1)
    return softmax(torch.cat([logits, sink], -1), -1)[..., :-1]


def _normed(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return rms_norm(states, weight.shape, weight, eps)
