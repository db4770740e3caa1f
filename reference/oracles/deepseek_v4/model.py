"""The whole model: embedding, layers, head, and the module that predicts one token further (MTP). Knows no loss and no library.

Source: DeepSeek-V4 technical report, section 2; DeepSeek-V3 technical report (arXiv 2412.19437), section 2.2 (MTP). In V4 the MTP module
takes the streams as they are before the head, adds its two projections instead of joining them, and has a head of streams of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from reference.oracles.deepseek_v4.attention import attend, under
from reference.oracles.deepseek_v4.config import SCORED, SLIDING, Config
from reference.oracles.deepseek_v4.experts import Routed, mixture
from reference.oracles.deepseek_v4.hyper_connections import collapse, expand, head, mixing
from reference.oracles.deepseek_v4.samples import Samples
from reference.oracles.rms_norm import rms_norm

MTP = "mtp.0."


@dataclass(frozen=True)
class Passed:
    """What went through a layer: `streams` [batch, length, n, d], where tokens were `routed`, and of a sparse layer its loss and choice."""

    streams: Tensor
    routed: Routed
    indexer_loss: Tensor | None
    chosen: Tensor | None


@dataclass(frozen=True)
class Result:
    """`logits` [batch, length, vocabulary], the `streams` before the head, and what each layer did."""

    logits: Tensor
    streams: Tensor
    layers: tuple[Passed, ...]

    def indexer_losses(self) -> list[Tensor]:
        """Return the indexer's loss of each sparse layer, in nats a query."""
        return [layer.indexer_loss for layer in self.layers if layer.indexer_loss is not None]


def forward(weights: Mapping[str, Tensor], config: Config, tokens: Tensor, samples: Samples | None = None) -> Result:
    """Run `tokens` int64 [batch, length] through the model; without `samples` each row is one. Logits of padding mean nothing."""
    samples = samples or Samples.from_mask(tokens.new_ones(tokens.shape))
    streams = functional.embedding(tokens, weights["model.embed_tokens.weight"])[:, :, None].expand(-1, -1, config.hc_mult, -1)
    passed = []
    for number, kinds in enumerate(zip(config.layer_types, config.mlp_layer_types, strict=True)):
        passed.append(layer(under(weights, f"model.layers.{number}."), config, kinds, streams, tokens, samples))
        streams = passed[-1].streams
    hyper = under(weights, "model.hc_head.hc_")
    last = _normed(head(hyper["fn"], hyper["base"], hyper["scale"], config, streams), weights["model.norm.weight"], config)
    return Result(functional.linear(last, weights["lm_head.weight"]), streams, tuple(passed))


def layer(
    weights: Mapping[str, Tensor], config: Config, kinds: tuple[str, str], streams: Tensor, tokens: Tensor, samples: Samples
) -> Passed:
    """Run the streams through attention and experts of the two `kinds`, each between two hyper-connections; `weights` are one layer's."""
    mixed = mixing(under(weights, "attn_hc."), config, streams)
    inner = _normed(collapse(streams, mixed.pre), weights["input_layernorm.weight"], config)
    attended = attend(under(weights, "self_attn."), config, kinds[0], inner, samples)
    streams = expand(streams, attended.output, mixed)
    mixed = mixing(under(weights, "ffn_hc."), config, streams)
    inner = _normed(collapse(streams, mixed.pre), weights["post_attention_layernorm.weight"], config)
    output, routed = mixture(under(weights, "mlp."), config, kinds[1], inner, tokens)
    return Passed(expand(streams, output, mixed), routed, attended.indexer_loss, attended.chosen)


def predict_further(
    weights: Mapping[str, Tensor], config: Config, streams: Tensor, tokens: Tensor, samples: Samples | None = None
) -> Tensor:
    """Return the MTP module's logits [batch, length, vocabulary]: at token i, of token i + 2, from i's streams and the embedding of i + 1.

    `weights` are those of the model with `mtp.0.` before the module's own: those of a layer (sliding attention, routed by score), `enorm`,
    `hnorm`, `norm` (`.weight`, [d]), `e_proj`, `h_proj` (`.weight`, [d, d]) and `hc_head_fn`, `_base`, `_scale`. Embedding and output head
    are the model's. What stands at a sample's last token means nothing.
    """
    samples = samples or Samples.from_mask(tokens.new_ones(tokens.shape))
    own = under(weights, MTP)
    following = functional.embedding(tokens.roll(-1, 1), weights["model.embed_tokens.weight"])
    following = functional.linear(_normed(following, own["enorm.weight"], config), own["e_proj.weight"])
    joined = functional.linear(_normed(streams, own["hnorm.weight"], config), own["h_proj.weight"]) + following[:, :, None]
    passed = layer(own, config, (SLIDING, SCORED), joined, tokens, samples.without_last())
    last = head(own["hc_head_fn"], own["hc_head_base"], own["hc_head_scale"], config, passed.streams)
    return functional.linear(_normed(last, own["norm.weight"], config), weights["lm_head.weight"])


def _normed(states: Tensor, weight: Tensor, config: Config) -> Tensor:
    return rms_norm(states, weight.shape, weight, config.rms_norm_eps)
