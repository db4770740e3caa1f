"""The gated delta rule against its recurrence, token by token and head by head in float64."""

import pytest
import torch
import torch_npu

KEY_HEADS, HEADS, KEY, VALUE, SCALE = 2, 4, 8, 6, 0.35
LENGTHS = [3, 1, 4]
TOKENS = sum(LENGTHS)


def tokens(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    unit = lambda *shape: torch.nn.functional.normalize(normal(*shape), dim=-1).bfloat16()  # noqa: E731
    return {
        "query": unit(TOKENS, KEY_HEADS, KEY), "key": unit(TOKENS, KEY_HEADS, KEY), "value": normal(TOKENS, HEADS, VALUE).bfloat16(),
        "beta": torch.rand(TOKENS, HEADS, generator=generator).bfloat16(), "g": -torch.rand(TOKENS, HEADS, generator=generator),
        "gk": -torch.rand(TOKENS, HEADS, KEY, generator=generator),
    }  # fmt: skip


def after(state, data, token, head):
    """The formula of the page: the state of a head after a token, and what the query reads."""
    key, query = (data[name][token, head // (HEADS // KEY_HEADS)].double() for name in ("key", "query"))
    decay = data["g"][token, head].double().exp() if "g" in data else 1.0
    if "gk" in data:
        decay = decay * data["gk"][token, head].double().exp()
    beta = data["beta"][token, head].double() if "beta" in data else 1.0
    state = state * decay
    state = state + beta * torch.outer(data["value"][token, head].double() - state @ key, key)
    return state, state @ query * SCALE


def lengths() -> torch.Tensor:
    return torch.tensor(LENGTHS, dtype=torch.int32).npu()


@pytest.mark.parametrize("left_out", [["gk"], [], ["g"], ["g", "gk", "beta"]])
def test_steps_of_decoding_store_the_state_after_each_token(left_out):
    data = {name: tensor for name, tensor in tokens().items() if name not in left_out}
    places = torch.randperm(TOKENS + 2, generator=torch.Generator().manual_seed(1))[:TOKENS]
    states = torch.randn(TOKENS + 2, HEADS, VALUE, KEY, generator=torch.Generator().manual_seed(2)).bfloat16()
    accepted = [2, 1, 4]
    expected, expected_states, start = torch.zeros(TOKENS, HEADS, VALUE).double(), states.double(), 0
    for length, count in zip(LENGTHS, accepted, strict=True):
        for head in range(HEADS):
            state = states[places[start + count - 1], head].double()
            for token in range(start, start + length):
                state, expected[token, head] = after(state, data, token, head)
                expected_states[places[token], head] = state
        start += length
    given, state = {name: tensor.npu() for name, tensor in data.items()}, states.npu()
    options = {"actual_seq_lengths": lengths(), "ssm_state_indices": places.int().npu(), "scale": SCALE}
    out = torch_npu.npu_recurrent_gated_delta_rule(
        **given, state=state, **options, num_accepted_tokens=torch.tensor(accepted, dtype=torch.int32).npu()
    )
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.cpu().double(), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(state.cpu().double(), expected_states, rtol=1e-2, atol=1e-2)


def test_without_accepted_tokens_a_sequence_begins_at_its_first():
    given = {name: tensor.npu() for name, tensor in tokens().items()}
    state = torch.randn(TOKENS, HEADS, VALUE, KEY).bfloat16().npu()
    options = {"actual_seq_lengths": lengths(), "ssm_state_indices": torch.arange(TOKENS).int().npu(), "scale": SCALE}
    ones = torch.ones(len(LENGTHS), dtype=torch.int32).npu()
    first, _ = torch_npu.npu_recurrent_gated_delta_rule_functional(**given, state=state, **options)
    same, _ = torch_npu.npu_recurrent_gated_delta_rule_functional(**given, state=state, **options, num_accepted_tokens=ones)
    assert torch.equal(first.cpu(), same.cpu())


def test_whole_sequences_end_with_their_last_state():
    data = {name: tensor for name, tensor in tokens(1).items() if name != "gk"}
    states = torch.randn(len(LENGTHS), HEADS, VALUE, KEY, generator=torch.Generator().manual_seed(3)).bfloat16()
    expected, last, start = torch.zeros(TOKENS, HEADS, VALUE).double(), states.double(), 0
    for sequence, length in enumerate(LENGTHS):
        for head in range(HEADS):
            for token in range(start, start + length):
                last[sequence, head], expected[token, head] = after(last[sequence, head], data, token, head)
        start += length
    given = {name: tensor.npu() for name, tensor in data.items()}
    out, final = torch_npu.npu_chunk_gated_delta_rule(**given, initial_state=states.npu(), actual_seq_lengths=lengths(), scale=SCALE)
    torch.testing.assert_close(out.cpu().double(), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(final.cpu().double(), last, rtol=1e-2, atol=1e-2)
