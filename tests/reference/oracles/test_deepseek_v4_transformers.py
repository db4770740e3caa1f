"""transformers' DeepSeek V4 judged by our definition: where both mean the same they agree to float64's rounding; where not, it is listed.

What differs is pinned down, so that a version of transformers that mends it is noticed: docs/deepseek-v4.md has the same list.
"""

import copy
import functools

import pytest
import torch
from torch.nn import functional
from transformers import DeepseekV4ForCausalLM
from transformers.models.deepseek_v4 import modeling_deepseek_v4 as modeling

from reference.oracles.deepseek_v4.config import Config
from reference.oracles.deepseek_v4.losses import prediction_loss
from reference.oracles.deepseek_v4.model import forward, predict_further
from reference.oracles.deepseek_v4.rotary import frequencies
from reference.oracles.deepseek_v4.samples import Samples
from suites.assets import families
from suites.assets.families import FAMILIES
from suites.workloads.float64 import Float64
from tests.reference.oracles.tiny_v4 import KINDS, config_of, distance, our_logits, their_logits, theirs, tokens, weights_of, with_mtp

SAME, DIFFERENT = 1e-12, 0.01
each_kind = pytest.mark.parametrize("kind", KINDS)


def left_padded(ids, count):
    mask = functional.pad(torch.ones_like(ids), (count, 0))
    return {"ids": functional.pad(ids, (count, 0), value=256), "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def packed():
    ids, positions = tokens(1, 64), torch.cat([torch.arange(30), torch.arange(34)])[None]
    return ids, positions


# where both mean the same


@each_kind
@pytest.mark.parametrize("length", [3, 4, 5, 15, 16, 17, 64])
def test_logits_agree(kind, length):
    ids = tokens(2, length)
    assert distance(their_logits(kind, ids), our_logits(kind, ids)) < SAME


@each_kind
def test_gradients_agree(kind):
    ids, weights, model = tokens(2, 64), weights_of(kind, leaves=True), theirs(kind)
    prediction_loss(forward(weights, config_of(kind), ids).logits, ids, Samples.from_mask(torch.ones_like(ids)), 1).backward()
    model.zero_grad(set_to_none=True)
    with Float64():
        logits = model(input_ids=ids, use_cache=False).logits
        functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (weights[name].grad is None)
        assert parameter.grad is None or distance(parameter.grad, weights[name].grad) < 1e-9, name
    model.zero_grad(set_to_none=True)


@each_kind
def test_padding_on_the_right_agrees(kind):
    ids = functional.pad(tokens(2, 50), (0, 9), value=256)
    mask = functional.pad(torch.ones(2, 50, dtype=torch.long), (0, 9))
    assert distance(their_logits(kind, ids, attention_mask=mask)[:, :50], our_logits(kind, ids[:, :50])) < SAME


@each_kind
@pytest.mark.parametrize("pieces", [[43] + [1] * 7, [30, 7, 2, 11]])
def test_a_cache_agrees(kind, pieces):
    ids, found, cache = tokens(2, 50), [], None
    with torch.no_grad(), Float64():
        for piece in ids.split(pieces, 1):
            out = theirs(kind)(input_ids=piece, past_key_values=cache, use_cache=True)
            found, cache = [*found, out.logits], out.past_key_values
    assert distance(torch.cat(found, 1), our_logits(kind, ids)) < SAME


def test_mtp_is_what_its_equation_says_with_their_layer_inside():
    """V3's equations 21 to 23 as V4 has them: two projections that are added to each stream, a layer, a head of streams, a norm."""
    weights, model, ids = with_mtp("flash"), theirs("flash"), tokens(1, 40)
    own = {name.removeprefix("mtp.0."): weight for name, weight in weights.items() if name.startswith("mtp.0.")}
    norms = {
        name: functools.partial(functional.rms_norm, normalized_shape=(64,), weight=own[f"{name}.weight"], eps=1e-6)
        for name in ("enorm", "hnorm", "norm")
    }
    streams = forward(weights, config_of("flash"), ids).streams
    embedded = model.get_input_embeddings()(torch.cat([ids[:, 1:], ids[:, :1]], 1))
    joined = norms["hnorm"](streams) @ own["h_proj.weight"].T + (norms["enorm"](embedded) @ own["e_proj.weight"].T)[:, :, None]
    layer, collapsing = copy.deepcopy(model.model.layers[1]), copy.deepcopy(model.model.hc_head)  # sliding attention, routed by score
    layer.load_state_dict({name: weight for name, weight in own.items() if name in layer.state_dict()})
    collapsing.load_state_dict({name: own[f"hc_head_{name.removeprefix('hc_')}"] for name in ("hc_fn", "hc_base", "hc_scale")})
    positions, at = torch.arange(40)[None], torch.arange(40)
    hidden = torch.zeros(40, 40).double().masked_fill((at > at[:, None]) | (at <= at[:, None] - 16), -torch.inf)
    with torch.no_grad(), Float64():
        angles = {"main": model.model.rotary_emb(joined, position_ids=positions, layer_type="main")}
        out = layer(joined, position_embeddings=angles, position_ids=positions, attention_mask=hidden[None, None], input_ids=ids)
        expected = model.lm_head(norms["norm"](collapsing(out)))
    found = predict_further(weights, config_of("flash"), streams, ids)
    assert distance(found[:, :39], expected[:, :39]) < SAME


@pytest.mark.parametrize(("original", "factor"), [(65536, 16.0), (4096, 40.0)])
def test_yarn_agrees(original, factor):
    given = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original, "beta_fast": 32, "beta_slow": 1}
    limit = int(original * factor)
    config = FAMILIES["deepseek_v4-flash"].config(head_dim=512, max_position_embeddings=limit, rope_parameters=given)
    theirs_ = modeling.DeepseekV4RotaryEmbedding(config)
    ours = Config.of(config)
    torch.testing.assert_close(theirs_.compress_inv_freq.double(), frequencies(ours.compress, 64), rtol=3e-7, atol=0)
    torch.testing.assert_close(theirs_.main_inv_freq.double(), frequencies(ours.main, 64), rtol=3e-7, atol=0)
    assert theirs_.compress_attention_scaling == 1.0


# where they differ


@each_kind
@pytest.mark.parametrize("count", [1, 4, 16])
def test_transformers_compresses_padding_on_the_left(kind, count):
    """transformers#45938."""
    ids = tokens(2, 50)
    given = left_padded(ids, count)
    expected = our_logits(kind, ids)
    wide = given.pop("ids")
    assert distance(their_logits(kind, wide, **given)[:, count:], expected) > DIFFERENT
    assert distance(our_logits(kind, wide, Samples.from_mask(given["attention_mask"]))[:, count:], expected) < SAME


@each_kind
def test_transformers_compresses_padding_on_the_right_once_decoding_goes_on_behind_it(kind):
    """transformers#45938: the padding of the prompt is in the windows of the cache."""
    ids = tokens(2, 50)
    wide = torch.cat([ids[:, :35], torch.full((2, 5), 256), ids[:, 35:]], 1)
    mask = torch.ones_like(wide)
    mask[:, 35:40] = 0
    positions, found, cache = (mask.cumsum(1) - 1).clamp(min=0), [], None
    with torch.no_grad(), Float64():
        for begin, end in [(0, 40), *((i, i + 1) for i in range(40, 47))]:
            out = theirs(kind)(
                input_ids=wide[:, begin:end],
                attention_mask=mask[:, :end],
                position_ids=positions[:, begin:end],
                past_key_values=cache,
                use_cache=True,
            )
            found, cache = [*found, out.logits], out.past_key_values
    assert distance(torch.cat(found[1:], 1), our_logits(kind, ids)[:, 35:42]) > DIFFERENT


@each_kind
def test_transformers_reads_the_first_sample_in_the_second_when_packed(kind):
    ids, positions = packed()
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 256
    leak = distance(their_logits(kind, changed, position_ids=positions)[:, 30:], their_logits(kind, ids, position_ids=positions)[:, 30:])
    assert leak > DIFFERENT
    samples = Samples.from_positions(positions)
    assert torch.equal(our_logits(kind, changed, samples)[:, 30:], our_logits(kind, ids, samples)[:, 30:])


@each_kind
def test_transformers_reads_the_future_where_positions_do_not_begin_at_zero(kind):
    ids, positions = tokens(1, 64), torch.arange(64)[None] + 16
    changed = ids.clone()
    changed[0, 62] = (ids[0, 62] + 1) % 256
    moved = (their_logits(kind, changed, position_ids=positions) - their_logits(kind, ids, position_ids=positions)).abs().amax(-1)[0, :62]
    assert int((moved > 1e-9).sum()) >= 10


@each_kind
def test_transformers_gives_the_indexer_no_gradient(kind):
    """torchtitan#4802 says the same of torchtitan; six tensors of each sparse layer stay as they were drawn."""
    model, ids = theirs(kind), tokens(1, 64)
    model.zero_grad(set_to_none=True)
    with Float64():
        out = model(input_ids=ids, use_cache=False, labels=ids, output_router_logits=True)
    out.loss.backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    model.zero_grad(set_to_none=True)
    assert without == {name for name, _ in model.named_parameters() if ".indexer." in name}
    assert len(without) == 6


def test_transformers_has_no_mtp_and_drops_its_weights():
    """transformers#46127 would add it."""
    assert theirs("flash").config.num_nextn_predict_layers == 1
    assert not [name for name in theirs("flash").state_dict() if "mtp" in name]
    assert any("mtp" in pattern for pattern in DeepseekV4ForCausalLM._keys_to_ignore_on_load_unexpected)


def test_transformers_scales_the_rotary_where_yarn_is_given_nested_without_a_factor():
    nested = {
        "main": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.125},
        "compress": {
            "rope_type": "yarn", "rope_theta": 1.6e5, "factor": 16.0, "original_max_position_embeddings": 65536,
            "partial_rotary_factor": 0.125,
        },
    }  # fmt: skip
    config = FAMILIES["deepseek_v4-flash"].config(rope_parameters=nested)
    assert modeling.DeepseekV4RotaryEmbedding(config).compress_attention_scaling == pytest.approx(1.2772589)


def test_transformers_balances_by_softmax_and_counts_other_experts_than_it_uses():
    """Its loss (inherited from Mixtral) takes the k largest of softmax(logits), so not those that the bias chose, over the whole batch."""
    ids = tokens(1, 64)
    with torch.no_grad(), Float64():
        found = float(theirs("flash")(input_ids=ids, use_cache=False, output_router_logits=True).aux_loss)
    routed = [layer.routed for layer in forward(weights_of("flash"), config_of("flash"), ids).layers[1:]]
    scores, used = (
        torch.cat([part.flatten(0, 1) for part in parts]) for parts in zip(*((r.scores, r.experts) for r in routed), strict=True)
    )
    logits = torch.log(torch.expm1(scores.square()))
    counted = logits.topk(2, -1).indices
    share = torch.softmax(logits, -1).mean(0)
    assert found == pytest.approx(float(8 * (torch.zeros_like(scores).scatter(-1, counted, 1.0).mean(0) * share).sum()), rel=1e-9)
    others = 1 - float((counted[:, :, None] == used[:, None]).any(-1).double().mean())
    assert others > 0.05


def test_transformers_rounds_the_angles_to_bfloat16():
    """Turning forth and back loses more than twice what it loses with float32 cosines, and changes lengths by up to 0.4 per cent."""
    rotary = modeling.DeepseekV4RotaryEmbedding(families.FAMILIES["deepseek_v4-flash"].config())
    x, positions = torch.from_numpy(families.draw_normal(0, "x", 512 * 64)).reshape(1, 1, 512, 64).bfloat16(), torch.arange(512)[None]

    def lost(cos, sin):
        back = modeling.apply_rotary_pos_emb(modeling.apply_rotary_pos_emb(x, cos, sin), cos, -sin)
        return distance(back.double(), x.double())

    assert lost(*rotary(x, positions, "main")) > 2 * lost(*rotary(x.float(), positions, "main"))


def test_transformers_needs_token_ids_to_route():
    with pytest.raises(AttributeError), torch.no_grad(), Float64():
        theirs("flash")(inputs_embeds=theirs("flash").get_input_embeddings()(tokens(1, 8)), use_cache=False)
