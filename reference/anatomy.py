"""What the layers of a model family are made of: matrices that tokens pass, and pairs of queries and keys. Knows no weights, and not torch.

A configuration is any object with the attributes of the family's transformers configuration. Read from the reports of the families and held
against the parameters and the products of transformers' own models in tests. Sources: Llama (arXiv 2407.21783), Qwen3 (arXiv 2505.09388),
DeepSeek-V3 (arXiv 2412.19437, sections 2.1 and 2.2), DeepSeek-V3.2 (arXiv 2512.02556, section 2.1), DeepSeek-V4 (arXiv 2606.19348,
sections 2.1 to 2.3; hyper-connections: equations of section 2.2).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import AssayError

_SWA, _CSA, _HCA = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"


@dataclass(frozen=True)
class Matrix:
    """`stored` matrices [rows, columns], of which a token is multiplied with `used`; none is stored where the model computes it.

    `trained` is false where next-token loss sends no gradient to it. `since` is the length of the shortest sequence in which it matters.
    """

    part: str
    rows: int
    columns: int
    stored: int = 1
    used: int = 1
    trained: bool = True
    since: int = 1

    @property
    def parameters(self) -> int:
        """Weights that are kept in memory."""
        return self.stored * self.rows * self.columns

    @property
    def active(self) -> int:
        """Weights that a token meets."""
        return min(self.stored, self.used) * self.rows * self.columns

    @property
    def multiply_adds(self) -> int:
        """Multiplications with addition for one token, forward."""
        return self.used * self.rows * self.columns


@dataclass(frozen=True)
class Vector:
    """Parameters that are no factor of a matrix product: scales, biases, sinks, and the embedding, whose rows are only looked up."""

    part: str
    parameters: int
    trained: bool = True
    since: int = 1
    embedding: bool = False


@dataclass(frozen=True)
class Reach:
    """The keys of a causal query: the query at position t (from 0) has min(most, floor((t + 1) / stride)) of them.

    `stride` tokens make a key; `most` is a window's width or a selection's size.
    """

    stride: int = 1
    most: int | None = None

    def needed(self, length: int) -> int:
        """Return the pairs of queries and keys in a sequence of that length that the definition asks for."""
        if self.most is None or length < self.most * self.stride:
            return self._unlimited(length)
        last = self.most * self.stride - 1
        return self._unlimited(last) + self.most * (length - last)

    def _unlimited(self, length: int) -> int:
        """Return the sum of floor(n / stride) over n = 1 ... length."""
        keys, rest = divmod(length, self.stride)
        return self.stride * keys * (keys - 1) // 2 + keys * (rest + 1)

    def dense(self, length: int) -> int:
        """Return the pairs of every query with every key, which eager code multiplies before it masks."""
        return length * (length // self.stride)


@dataclass(frozen=True)
class Pairs:
    """Products of activations with activations: `width` multiplications with addition for a pair that `reach` has."""

    part: str
    width: int
    reach: Reach
    trained: bool = True


Piece = Matrix | Vector | Pairs


@dataclass(frozen=True)
class Anatomy:
    """A model: `layers`, what is `outside` of them, and the module that predicts one more token (`mtp`; transformers builds none)."""

    layers: tuple[tuple[Piece, ...], ...]
    outside: tuple[Piece, ...]
    mtp: tuple[Piece, ...] = ()

    def pieces(self) -> Iterable[Piece]:
        """Yield every piece of the model without the module for one more token."""
        yield from self.outside
        for layer in self.layers:
            yield from layer


def anatomy(config: Any) -> Anatomy:
    """Return what the model of a configuration is made of. Raises AssayError for a family that is not described here."""
    kind = str(getattr(config, "model_type", None))
    if kind not in _FAMILIES:
        raise AssayError(f"{kind}: what such a model costs is not described; described are {', '.join(_FAMILIES)}")
    if getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False) or getattr(config, "use_sliding_window", False):
        raise AssayError(f"{kind}: what it costs with biases or with a sliding window in dense attention is not described")
    return _FAMILIES[kind](config)


def _ends(config: Any, *more: Piece) -> tuple[Piece, ...]:
    d, words = config.hidden_size, config.vocab_size
    tied = bool(config.tie_word_embeddings)
    return Vector("embedding", words * d, embedding=True), Vector("norms", d), *more, Matrix("head", words, d, stored=0 if tied else 1)


def _mlp(part: str, d: int, width: int, stored: int = 1, used: int = 1) -> list[Piece]:
    """Return a gated feed-forward layer (Shazeer, arXiv 2002.05202, equation 6): gate and up, then down."""
    return [Matrix(part, 2 * width, d, stored, used), Matrix(part, d, width, stored, used)]


def _moe(d: int, width: int, experts: int, chosen: int, shared: int) -> list[Piece]:
    mixture: list[Piece] = [Matrix("router", experts, d), *_mlp("routed experts", d, width, experts, chosen)]
    return [*mixture, *_mlp("shared expert", d, shared)] if shared else mixture


def _dense(config: Any) -> Anatomy:
    """Grouped-query attention (Ainslie et al., arXiv 2305.13245) with a dense or, in Qwen3-MoE, a mixture feed-forward layer."""
    d, heads, keys = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or d // heads
    norms = 2 * d + (2 * size if config.model_type.startswith("qwen3") else 0)
    attention = (
        Vector("norms", norms), Matrix("attention projections", (heads + 2 * keys) * size, d),
        Matrix("attention projections", d, heads * size), Pairs("attention scores", 2 * heads * size, Reach()),
    )  # fmt: skip

    def layer(index: int) -> tuple[Piece, ...]:
        sparse = config.model_type == "qwen3_moe" and index not in config.mlp_only_layers and (index + 1) % config.decoder_sparse_step == 0
        if sparse:
            return *attention, *_moe(d, config.moe_intermediate_size, config.num_experts, config.num_experts_per_tok, 0)
        return *attention, *_mlp("feed-forward", d, config.intermediate_size)

    return Anatomy(tuple(layer(i) for i in range(config.num_hidden_layers)), _ends(config))


def _v3(config: Any) -> Anatomy:
    """Multi-head latent attention; V3.2 adds a lightning indexer that chooses the keys (its weights have no gradient from the loss).

    Scores are counted between expanded keys and values, as in training of V3; kernels that stay in the latent space (multi-query form)
    execute (2 kv_lora_rank + rope) / (nope + rope + value) times as much a pair.
    """
    d, heads = config.hidden_size, config.num_attention_heads
    key = config.qk_nope_head_dim + config.qk_rope_head_dim
    low, latent, value = config.q_lora_rank, config.kv_lora_rank, config.v_head_dim
    query: list[Piece] = [Vector("norms", low), Matrix("attention projections", low, d), Matrix("attention projections", heads * key, low)]
    if low is None:
        query = [Matrix("attention projections", heads * key, d)]
    most = getattr(config, "index_topk", None)
    attention: tuple[Piece, ...] = (
        Vector("norms", 2 * d + latent), *query, Matrix("attention projections", latent + config.qk_rope_head_dim, d),
        Matrix("attention projections", heads * (config.qk_nope_head_dim + value), latent),
        Matrix("attention projections", d, heads * value), Pairs("attention scores", heads * (key + value), Reach(most=most)),
    )  # fmt: skip
    if most is not None:
        count, size = config.index_n_heads, config.index_head_dim
        attention += (
            Matrix("indexer", count * size, low, trained=False), Matrix("indexer", size + count, d, trained=False),
            Vector("norms", 2 * size, trained=False), Pairs("indexer", count * (size + 1), Reach(), trained=False),
        )  # fmt: skip
    sparse = _moe(
        d, config.moe_intermediate_size, config.n_routed_experts, config.num_experts_per_tok,
        config.moe_intermediate_size * config.n_shared_experts,
    )  # fmt: skip
    dense = _mlp("feed-forward", d, config.intermediate_size)
    layers = tuple((*attention, *(dense if i < config.first_k_dense_replace else sparse)) for i in range(config.num_hidden_layers))
    mtp = (Matrix("projection to the next", d, 2 * d), Vector("norms", 3 * d), *attention, *sparse, Matrix("head", config.vocab_size, d, 0))
    return Anatomy(layers, _ends(config), mtp)


def _v4(config: Any) -> Anatomy:
    """Shared-key attention over a window and compressed keys, grouped output projection, hyper-connections, experts in every layer.

    The module for one more token is the one of `reference/oracles/deepseek_v4/model.py`: a window only, and every stream is projected.
    """
    d, streams = config.hidden_size, config.hc_mult
    weights = 2 * streams + streams**2
    experts = _moe(d, config.moe_intermediate_size, config.n_routed_experts, config.num_experts_per_tok, config.moe_intermediate_size)
    connection = (  # once around attention and once around the experts
        Matrix("hyper-connections", weights, streams * d), Vector("hyper-connections", weights + 3),
        Matrix("hyper-connections", streams**2, d, stored=0),
    )  # fmt: skip
    joined = (Matrix("hyper-connections", streams, streams * d), Vector("hyper-connections", streams + 1))

    def layer(kind: str) -> tuple[Piece, ...]:
        return *connection, *connection, Vector("norms", 2 * d), *_v4_attention(config, kind), *experts

    projections = (Matrix("projection to the next", d, d), Matrix("projection to the next", d, d, used=streams), Vector("norms", 3 * d))
    mtp = (*projections, *layer(_SWA), *joined, Matrix("head", config.vocab_size, d, 0))
    return Anatomy(tuple(layer(kind) for kind in config.layer_types), _ends(config, *joined), mtp)


def _v4_attention(config: Any, kind: str) -> tuple[Piece, ...]:
    d, heads, size, low = config.hidden_size, config.num_attention_heads, config.head_dim, config.q_lora_rank
    between, width = config.o_groups * config.o_lora_rank, 2 * heads * size
    window: tuple[Piece, ...] = (
        Vector("norms", low + size), Vector("sinks", heads), Matrix("attention projections", low + size, d),
        Matrix("attention projections", heads * size, low), Matrix("attention projections", between, heads * size // config.o_groups),
        Matrix("attention projections", d, between), Pairs("attention scores", width, Reach(most=config.sliding_window)),
    )  # fmt: skip
    if kind == _SWA:
        return window
    stride, series = config.compress_rates[kind], 2 if kind == _CSA else 1
    compressor = (
        Matrix("compressor", 2 * series * size, d, since=stride), Vector("compressor", stride * series * size + size, since=stride),
    )  # fmt: skip
    if kind == _HCA:
        return *window, *compressor, Pairs("attention scores", width, Reach(stride))
    count, small = config.index_n_heads, config.index_head_dim
    indexer = (
        Matrix("indexer", 4 * small + count, d, trained=False), Matrix("indexer", count * small, low, trained=False),
        Vector("indexer", stride * 2 * small + small, trained=False), Pairs("indexer", count * small, Reach(stride), trained=False),
    )  # fmt: skip
    return *window, *compressor, *indexer, Pairs("attention scores", width, Reach(stride, config.index_topk))


_FAMILIES: Mapping[str, Callable[[Any], Anatomy]] = {
    "llama": _dense, "qwen3": _dense, "qwen3_moe": _dense, "deepseek_v3": _v3, "deepseek_v32": _v3, "deepseek_v4": _v4,
}  # fmt: skip
