"""Operations and parameters, counted from configurations: as PyTorch counts them of the tiny models, as published of the real ones."""

from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from harness.errors import AssayError
from reference import flops
from reference.anatomy import Matrix, Pairs, Reach, Vector, anatomy
from suites.assets.families import FAMILIES, tiny_module

by_family = pytest.mark.parametrize("family", FAMILIES)


@cache
def made(family: str) -> PreTrainedModel:
    return tiny_module(f"tiny:{family}")


def counted(family: str, batch: int, length: int) -> tuple[int, int, int]:
    """Return PyTorch's own count of a step of the eager tiny model, forward and backward, and how many parameters have a gradient."""
    model = made(family).train()
    model.zero_grad(set_to_none=True)
    model.set_attn_implementation("eager")  # of a fused attention PyTorch counts a formula, of which some devices have none
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    tokens = torch.arange(batch * length).reshape(batch, length) % 256
    with FlopCounterMode(display=False) as forward:
        logits = model(input_ids=tokens, use_cache=False).logits
    loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    reached = sum(p.numel() for p in model.parameters() if p.grad is not None)
    return forward.get_total_flops(), backward.get_total_flops(), reached


@by_family
@pytest.mark.parametrize(("batch", "length"), [(2, 64), (1, 37), (1, 10)], ids=str)
def test_what_eager_code_executes_is_what_pytorch_counts(family: str, batch: int, length: int) -> None:
    config = FAMILIES[family].tiny_config()
    parts = flops.executed(config, batch, length).values()
    ours = (sum(part.forward for part in parts), sum(part.backward for part in parts), flops.trained(config, length))
    assert ours == counted(family, batch, length)


@by_family
def test_what_is_needed_is_less_than_what_eager_code_executes_and_only_in_attention(family: str) -> None:
    config = FAMILIES[family].tiny_config()
    needed, executed = flops.needed(config, 2, 64), flops.executed(config, 2, 64)
    assert needed.keys() == executed.keys()
    assert {part for part in needed if needed[part] != executed[part]} == {"attention scores"} | ({"indexer"} & needed.keys())
    assert flops.total(needed) < flops.total(executed)


@by_family
def test_parameters_of_the_tiny_models_are_counted_exactly(family: str) -> None:
    assert flops.parameters(FAMILIES[family].tiny_config()).total == sum(p.numel() for p in made(family).parameters())


def test_tied_embeddings_are_stored_once_and_multiplied_all_the_same() -> None:
    config = FAMILIES["llama"].tiny_config()
    apart = flops.parameters(config), flops.needed(config, 1, 8)
    config.tie_word_embeddings = True
    tied = flops.parameters(config), flops.needed(config, 1, 8)
    assert apart[0].total - tied[0].total == config.vocab_size * config.hidden_size
    assert apart[1] == tied[1]


@pytest.mark.parametrize(
    ("family", "name", "total", "active"),
    [
        ("deepseek_v4-flash", "DeepSeek-V4-Flash", 284, 13), ("deepseek_v4-pro", "DeepSeek-V4-Pro", 1600, 49),
        ("deepseek_v3", "DeepSeek-V3", 671, 37), ("deepseek_v32", "DeepSeek-V3.2", 671, 37),
        ("qwen3", "Qwen3-8B", 8.2, 7.6), ("qwen3_moe", "Qwen3-30B-A3B", 30.5, 3.0), ("llama", "Llama-3.1-8B", 8.0, 7.5),
    ],
)  # fmt: skip
def test_published_sizes_in_billions(family: str, name: str, total: float, active: float) -> None:
    """Totals to 2 % (1.6 T is rounded); active ones without the embedding, as the reports of V3 and V4 and of Qwen3 count, to 3 %."""
    counts = flops.parameters(FAMILIES[family].real_config(name))
    assert counts.total / 1e9 == pytest.approx(total, rel=0.02)
    assert (counts.active - counts.embedding) / 1e9 == pytest.approx(active, rel=0.03)


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in FAMILIES for name in FAMILIES[family].real])
def test_six_times_the_active_parameters_is_the_leading_term(family: str, name: str) -> None:
    """Of a single token: below it by what has no gradient (indexers), above by what has no parameters. Attention comes with length."""
    config = FAMILIES[family].real_config(name)
    counts = flops.parameters(config)
    kaplan = 6 * (counts.active - counts.embedding)
    alone, long = flops.total(flops.needed(config, 1, 1)), flops.total(flops.needed(config, 1, 8192)) / 8192
    assert alone == pytest.approx(kaplan, rel=0.03)
    assert 1.01 * alone < long


def test_a_dense_layer_written_out() -> None:
    """Qwen3-8B at 4,096 tokens, by hand: PaLM's formula (appendix B), of which causal attention is half."""
    layers, d, heads, size, inner, words, length = 36, 4096, 32, 128, 12288, 151936, 4096
    weights = layers * (d * (heads + 2 * 8) * size + heads * size * d + 3 * d * inner) + words * d
    causal = layers * 2 * 2 * heads * size * (length + 1) / 2  # scores and values, two operations each
    assert flops.total(flops.needed(FAMILIES["qwen3"].real_config("Qwen3-8B"), 1, length)) == 3 * (2 * weights + causal) * length


def test_a_module_for_one_more_token_costs_a_layer_a_head_and_its_projection() -> None:
    config = FAMILIES["deepseek_v3"].real_config("DeepSeek-V3")
    extra = {k: v for k, v in flops.needed(config, 1, 4096, mtp=1).items() if k.startswith("mtp: ")}
    matrices = sum(p.multiply_adds for p in (*anatomy(config).layers[-1], Matrix("head", 129280, 7168), Matrix("", 7168, 2 * 7168))
                   if isinstance(p, Matrix))  # fmt: skip
    scores = 2 * 128 * (192 + 128) * 4095 * 4096 // 2
    assert sum(part.forward for part in extra.values()) == 2 * matrices * 4095 + scores
    assert sum(part.backward for part in extra.values()) == 2 * sum(part.forward for part in extra.values())


@given(st.integers(1, 200), st.integers(1, 20), st.none() | st.integers(1, 50))
@settings(max_examples=200, deadline=None)
def test_pairs_are_those_of_a_loop_over_positions(length: int, stride: int, most: int | None) -> None:
    reach = Reach(stride, most)
    keys = [(t + 1) // stride for t in range(length)]
    assert reach.needed(length) == sum(keys if most is None else (min(k, most) for k in keys))
    assert reach.needed(length) <= reach.dense(length) + length * (length % stride > 0)


def test_every_part_that_has_pairs_or_parameters_is_of_a_known_kind() -> None:
    for family in FAMILIES.values():
        assert {type(piece) for piece in anatomy(family.tiny_config()).pieces()} <= {Matrix, Vector, Pairs}


def test_what_is_not_described_is_refused() -> None:
    with pytest.raises(AssayError, match="gpt2: what such a model costs is not described"):
        flops.parameters(SimpleNamespace(model_type="gpt2"))
    biased = FAMILIES["llama"].tiny_config()
    biased.attention_bias = True
    with pytest.raises(AssayError, match="with biases"):
        flops.needed(biased, 1, 8)
