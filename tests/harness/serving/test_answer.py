"""What a server's answer says, in the shapes of each engine, and where it contradicts what was asked."""

import pytest

from harness.serving.answer import choice, logprobs, prompt_ids, read_whole, scored_by_echo, scored_by_prompt, sound, token_ids, usage
from harness.serving.engine import Scored, ServingError

PROMPT = [5, 6, 7]


def prompt_logprobs(rows):
    return {"choices": [{"prompt_logprobs": rows}]}


def test_vllm_scores_a_prompt_by_its_tokens() -> None:
    rows = [None, {"6": {"logprob": -1.0, "rank": 2}, "9": {"logprob": -0.5}}, {"7": {"logprob": -0.25}}]
    assert scored_by_prompt(prompt_logprobs(rows), PROMPT) == Scored((-1.0, -0.25), (False, True))


@pytest.mark.parametrize(
    ("rows", "kind"),
    [([None, {"6": -1.0}], "miscounted"), ([None, {"8": -1.0}, {"7": -1.0}], "malformed"), ([None, {}, None], "malformed")],
)
def test_a_prompt_that_was_cut_or_changed_is_no_score(rows, kind: str) -> None:
    with pytest.raises(ServingError) as caught:
        scored_by_prompt(prompt_logprobs(rows), PROMPT)
    assert caught.value.kind == kind


def echo(values, tokens=(), top=None):
    return {"choices": [{"logprobs": {"token_logprobs": values, "tokens": list(tokens), "top_logprobs": top}}]}


def test_echo_scores_a_prompt_and_leaves_the_new_token_out() -> None:
    assert scored_by_echo(echo([None, -1.0, -2.0, -3.0]), PROMPT, 1) == Scored((-1.0, -2.0), ())
    top = [None, {"given": -1.0, "other": -0.1}, {"given": -2.0}]
    assert scored_by_echo(echo([None, -1.0, -2.0], [f"token_id:{i}" for i in PROMPT], top), PROMPT, 0) == Scored(
        (-1.0, -2.0), (False, True)
    )


def test_a_server_without_echo_scores_nothing() -> None:
    assert scored_by_echo(echo([-3.0]), PROMPT, 1) is None
    assert scored_by_prompt({"choices": [{}]}, PROMPT) is None


@pytest.mark.parametrize("answer", [echo([None, -1.0]), echo([None, None, -1.0]), echo([None, -1.0, -2.0], ["token_id:5", "token_id:8"])])
def test_an_echo_of_another_prompt_is_refused(answer) -> None:
    with pytest.raises(ServingError):
        scored_by_echo(answer, PROMPT, 0)


def test_tokens_are_told_in_three_ways() -> None:
    assert token_ids({"token_ids": [1, 2]}) == token_ids({"response_token_ids": [1, 2]}) == [1, 2]
    assert token_ids({"logprobs": {"tokens": ["token_id:1", "token_id:2"]}}) == [1, 2]
    assert token_ids({"logprobs": {"tokens": ["Hello"]}}) is None
    assert logprobs({"logprobs": {"token_logprobs": [None, -1]}}) == [-1.0]
    assert prompt_ids({"choices": [{"prompt_token_ids": [3]}]}) == prompt_ids({"choices": [], "prompt_token_ids": [3]}) == [3]


@pytest.mark.parametrize(("read", "why"), [(2, "cut the prompt"), (4, "added tokens")])
def test_a_prompt_of_another_length_is_named(read: int, why: str) -> None:
    answer = {"choices": [], "usage": {"prompt_tokens": read}}
    assert usage(answer, "completion_tokens") is None
    with pytest.raises(ServingError, match=why):
        read_whole(answer, PROMPT)


@pytest.mark.parametrize("answer", [{}, {"choices": [{}, {}]}, {"choices": ["x"]}])
def test_other_than_one_choice_is_malformed(answer) -> None:
    with pytest.raises(ServingError):
        choice(answer)


def test_a_part_of_another_kind_is_malformed() -> None:
    with pytest.raises(ServingError, match="not of its kind"), sound():
        token_ids({"token_ids": ["x"]})
