"""The GGUF converter: names, order of rows, widened weights, single digits."""

import gguf
import numpy as np
import pytest
import torch
from gguf import quants
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import AssayError
from suites.assets.gguf import convert, hugging_face_name, interleaved_to_halves, tokenizer_of, tokenizer_sha256

HEADS, KV_HEADS, WIDTH, HIDDEN, INNER = 2, 1, 32, 64, 96
# "12" is a token of its own, which only the splitting of digits keeps from being used
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(chr(c) for c in range(33, 127)), "Ġ", "12"]
MERGES = ["1 2"]


def fields(**changes):
    return {
        "tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.merges": MERGES, "tokenizer.ggml.token_type": [3, 3, 3] + [1] * (len(TOKENS) - 3),
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2, "llama.context_length": 64, **changes,
    }  # fmt: skip


def tensors(rng):
    """Return the tensors of a one-layer llama, quantized where llama.cpp does so."""
    attention = {"attn_q": HEADS * WIDTH, "attn_k": KV_HEADS * WIDTH, "attn_v": KV_HEADS * WIDTH}
    shapes = {f"blk.0.{name}.weight": (rows, HIDDEN) for name, rows in attention.items()}
    shapes |= {"blk.0.attn_output.weight": (HIDDEN, HEADS * WIDTH), "token_embd.weight": (len(TOKENS), HIDDEN)}
    shapes |= {"blk.0.ffn_down.weight": (HIDDEN, INNER), "blk.0.ffn_gate.weight": (INNER, HIDDEN), "blk.0.ffn_up.weight": (INNER, HIDDEN)}
    shapes |= dict.fromkeys(("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"), (HIDDEN,))
    kind = {"token_embd.weight": gguf.GGMLQuantizationType.Q8_0}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape).astype(np.float32)
        yield name, values, gguf.GGMLQuantizationType.F32 if len(shape) == 1 else kind.get(name, gguf.GGMLQuantizationType.Q4_1)


def write(path, architecture="llama"):
    """Write a small GGUF file; return its tensors, widened."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(MERGES)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    widened = {}
    for name, values, kind in tensors(np.random.default_rng(0)):
        data = quants.quantize(values, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        widened[name] = quants.dequantize(data, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return widened


def test_a_converted_file_loads_with_exactly_its_weights(tmp_path):
    widened = write(tmp_path / "model.gguf")
    (tmp_path / "out").mkdir()
    convert(tmp_path / "model.gguf", tmp_path / "out")
    state = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32, use_safetensors=True).state_dict()
    for name, values in widened.items():
        heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(name.split(".")[-2])
        expected = interleaved_to_halves(values, heads) if heads else values
        assert np.array_equal(state[hugging_face_name(name)].numpy(), expected), name
    assert torch.equal(state["lm_head.weight"], state["model.embed_tokens.weight"])
    saved = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer_sha256(saved) == tokenizer_sha256(tokenizer_of(fields()))


def test_another_architecture_is_refused(tmp_path):
    write(tmp_path / "model.gguf", "gemma")
    with pytest.raises(AssayError, match=r"kind \('gemma', 'gpt2', 'smollm'\)"):
        convert(tmp_path / "model.gguf", tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a GGUF file at all, only text"])
def test_a_file_that_is_no_gguf_is_refused(tmp_path, content):
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(AssayError, match="not a readable GGUF file"):
        convert(tmp_path / "model.gguf", tmp_path)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_rows_are_reordered_as_llama_cpp_ordered_them(heads, pairs, columns):
    weight = np.arange(heads * 2 * pairs * columns).reshape(heads * 2 * pairs, columns)
    stored = weight.reshape(heads, 2, pairs, columns).swapaxes(1, 2).reshape(weight.shape)
    assert np.array_equal(interleaved_to_halves(stored, heads), weight)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output.weight", "lm_head.weight"),
        ("blk.11.attn_q.weight", "model.layers.11.self_attn.q_proj.weight"),
        ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
    ],
)
def test_names(name, expected):
    assert hugging_face_name(name) == expected


@pytest.mark.parametrize("name", ["blk.0.ssm.weight", "vision.weight", "blk.x.attn_q.weight", "blk.0.attn_q"])
def test_an_unknown_tensor_is_refused(name):
    with pytest.raises(AssayError, match="belongs to no llama model"):
        hugging_face_name(name)


@given(st.text("0123456789", min_size=1, max_size=12))
def test_digits_are_tokenised_one_by_one(digits):
    assert tokenizer_of(fields()).tokenize(digits) == list(digits)


def test_text_comes_back():
    text, tokenizer = "a  12 b, <|im_end|>c", tokenizer_of(fields())
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.eos_token_id == 2


def test_the_hash_depends_on_the_rules_and_not_on_truncation():
    one, other = tokenizer_of(fields()), tokenizer_of(fields(**{"tokenizer.ggml.merges": []}))
    before = tokenizer_sha256(one)
    one(["a"], truncation=True, max_length=4, padding="max_length")
    assert tokenizer_sha256(one) == before != tokenizer_sha256(other)
