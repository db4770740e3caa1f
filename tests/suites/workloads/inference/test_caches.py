"""Caches in whatever layout a family has: read, copied, joined and parted."""

import pytest
import torch

from suites.assets.families import FAMILIES, PREFIX, tiny_module
from suites.workloads.inference.caches import DYNAMIC, STATIC, WITHOUT_STATIC, bytes_of, contents, copied, joined, new_cache, parted

TOKENS = torch.arange(2 * 20).reshape(2, 20)


def after(module, tokens, cache):
    with torch.no_grad():
        return module(input_ids=tokens, past_key_values=cache, use_cache=True).logits


@pytest.mark.parametrize("family", ["llama", "deepseek_v32", "deepseek_v4-flash"])
def test_rows_joined_go_on_as_each_alone(family):
    module = tiny_module(PREFIX + family)
    caches = [new_cache(module, DYNAMIC, 32) for _ in range(2)]
    for row, cache in enumerate(caches):
        after(module, TOKENS[row : row + 1, :18], cache)
    together = joined(caches)
    alone = torch.cat([after(module, TOKENS[row : row + 1, 18:19], cache) for row, cache in enumerate(caches)])
    torch.testing.assert_close(after(module, TOKENS[:, 18:19], together), alone, rtol=1e-5, atol=1e-6)
    apart = parted(together, 2)
    right = [after(module, TOKENS[row : row + 1, 19:], cache) for row, cache in enumerate(caches)]
    found = [after(module, TOKENS[row : row + 1, 19:], cache) for row, cache in enumerate(apart)]
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["qwen3", "deepseek_v4-flash"])
def test_a_copy_is_left_alone_by_what_is_read_later(family):
    module = tiny_module(PREFIX + family)
    cache = new_cache(module, DYNAMIC, 32)
    after(module, TOKENS[:, :17], cache)
    kept, before = copied(cache), contents(cache)
    after(module, TOKENS[:, 17:], cache)
    assert contents(kept).keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in contents(kept).items())
    after(module, TOKENS[:, 17:], kept)
    assert all(torch.equal(value, contents(kept)[name]) for name, value in contents(cache).items())


def test_a_static_cache_is_read_as_far_as_it_is_filled():
    module = tiny_module(f"{PREFIX}llama")
    found = {}
    for kind in (DYNAMIC, STATIC):
        cache = new_cache(module, kind, 32)
        after(module, TOKENS, cache)
        found[kind] = contents(cache)
    assert found[DYNAMIC].keys() == found[STATIC].keys()
    for name, value in found[DYNAMIC].items():
        torch.testing.assert_close(found[STATIC][name], value)


def test_bytes_count_a_storage_once():
    module = tiny_module(f"{PREFIX}llama")
    cache = new_cache(module, DYNAMIC, 32)
    after(module, TOKENS, cache)
    assert bytes_of(cache) == 2 * 3 * 2 * 2 * 16 * 20 * 4  # keys and values, layers, rows, heads, width, tokens, bytes
    cache.layers[0].values = cache.layers[0].keys
    assert bytes_of(cache) == (2 * 3 - 1) * 2 * 2 * 16 * 20 * 4


def test_a_family_without_static_cache_says_so():
    module = tiny_module(f"{PREFIX}deepseek_v4-flash")
    with pytest.raises(NotImplementedError, match="deepseek_v4: transformers has no static cache"):
        new_cache(module, STATIC, 8)


def test_those_without_static_cache_are_kinds_of_families():
    assert set(WITHOUT_STATIC) <= {family.kind for family in FAMILIES.values()}
