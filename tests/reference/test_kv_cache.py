"""What a configuration says is kept, against transformers' own caches."""

from types import SimpleNamespace

import pytest
import torch

from harness.errors import AssayError
from reference.kv_cache import kept, numbers, numbers_a_token
from suites.assets.families import FAMILIES, PREFIX, tiny_module
from suites.workloads.inference.caches import DYNAMIC, bytes_of, new_cache


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_what_transformers_keeps_to_the_byte(family):
    module = tiny_module(PREFIX + family)
    tokens = torch.arange(2 * 39).reshape(2, 39)
    for length in (2, 4, 16, 17, 39):
        cache = new_cache(module, DYNAMIC, 64)
        for part in torch.split(tokens[:, :length], [length - 1, 1], 1):
            with torch.no_grad():
                module(input_ids=part, past_key_values=cache, use_cache=True)
        assert bytes_of(cache) == 2 * 4 * numbers(module.config, length), length


def test_published_figures():
    v3 = FAMILIES["deepseek_v3"].real_config("DeepSeek-V3")
    assert numbers_a_token(v3, 1000) == 61 * 576  # arXiv 2412.19437: 512 + 64 numbers a layer
    llama = FAMILIES["llama"].real_config("Llama-3.1-8B")
    assert numbers_a_token(llama, 1000) == 2 * 32 * 8 * 128


def test_compression_keeps_less_than_a_number_each():
    v4 = FAMILIES["deepseek_v4-flash"].real_config("DeepSeek-V4-Flash")
    sparse, heavy = v4.layer_types.count("compressed_sparse_attention"), v4.layer_types.count("heavily_compressed_attention")
    expected = sparse * (512 + v4.index_head_dim) / 4 + heavy * 512 / 128
    assert numbers_a_token(v4, 5000) == pytest.approx(expected)


def test_what_is_kept_twice_is_needed_once():
    layer = kept(FAMILIES["deepseek_v4-flash"].tiny_config(), 40)[0]
    assert [(one.what, one.numbers, one.needed) for one in layer] == [("window", 2 * 15 * 32, 15 * 32)]


def test_an_unknown_family_is_named():
    with pytest.raises(AssayError, match="gpt2: what such a model keeps is not described"):
        kept(SimpleNamespace(model_type="gpt2"), 8)
