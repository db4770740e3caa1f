"""The numbers of a DeepSeek V4 model that its weights do not tell. Knows no weight and no library of models."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

SLIDING, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
HASHED, SCORED = "hash_moe", "moe"


@dataclass(frozen=True)
class Rope:
    """A rotary embedding: its base, and how YaRN stretches it (`factor` 1: not at all).

    `original` is the context length in tokens that the model was first trained at; `fast` and `slow` are YaRN's beta, in turns.
    """

    theta: float
    factor: float = 1.0
    original: int = 65536
    fast: float = 32.0
    slow: float = 1.0


@dataclass(frozen=True)
class Config:
    """A model's numbers under the names that transformers' configuration has for them; `main` and `compress` are its two rotaries.

    `quantised`, which transformers has not: the indexer computes with queries and keys of four bits, and entries are stored in eight
    (`quantisation.py`). `qk_rope_head_dim` of the last dimensions of a head are turned. `compress_rates` is m of sparse (CSA) and m' of
    heavy (HCA) layers.
    """

    layer_types: tuple[str, ...]
    mlp_layer_types: tuple[str, ...]
    compress_rates: Mapping[str, int]
    num_attention_heads: int
    head_dim: int
    qk_rope_head_dim: int
    sliding_window: int
    o_groups: int
    index_n_heads: int
    index_head_dim: int
    index_topk: int
    hc_mult: int
    hc_sinkhorn_iters: int
    hc_eps: float
    rms_norm_eps: float
    num_experts_per_tok: int
    routed_scaling_factor: float
    swiglu_limit: float
    main: Rope
    compress: Rope
    quantised: bool = False

    @classmethod
    def of(cls, config: Any) -> "Config":
        """Read a transformers configuration by attribute. Raises AttributeError for what it lacks, ValueError for another score."""
        if config.scoring_func != "sqrtsoftplus":
            raise ValueError(f"scoring_func {config.scoring_func}: V4 scores experts by sqrtsoftplus")
        plain = {f.name: getattr(config, f.name) for f in fields(cls) if f.name not in ("main", "compress", "quantised")}
        plain |= {name: tuple(plain[name]) for name in ("layer_types", "mlp_layer_types")}
        return cls(**plain, main=_rope(config.rope_parameters["main"]), compress=_rope(config.rope_parameters["compress"]))


def _rope(given: Mapping[str, Any]) -> Rope:
    """Read one rotary; whatever attention factor it names is left out, because V4 has none (it is 1)."""
    if given["rope_type"] == "default":
        return Rope(given["rope_theta"])
    if given["rope_type"] != "yarn":
        raise ValueError(f"rope_type {given['rope_type']}: V4 has default and yarn")
    optional = {"fast": given.get("beta_fast"), "slow": given.get("beta_slow")}
    return Rope(
        given["rope_theta"], given["factor"], given["original_max_position_embeddings"],
        **{name: value for name, value in optional.items() if value is not None},
    )  # fmt: skip
