"""The engine behind an address answers as the one in this process does, and every fault of a server is one line that names it."""

import math
from contextlib import nullcontext

import pytest

from harness.errors import AssayError
from harness.serving.awaiting import awaited
from harness.serving.engine import NotServed, ServingError
from harness.serving.http import Server
from harness.serving.remote import connected
from suites.assets.families import byte_tokenizer, tiny_module
from suites.serving.in_process import InProcess
from tests.suites.serving.server import MINDIE, OPENAI, SGLANG, VLLM, Behaviour, serving

PROMPTS = [list(range(40, 64)), list(range(100, 130))]


@pytest.fixture(scope="module")
def engine() -> InProcess:
    return InProcess(tiny_module("tiny:llama"), byte_tokenizer(), nullcontext)


@pytest.fixture
def served(engine):
    """A function that serves the tiny model with changes, and returns the engine behind the address."""
    stack = []

    def open_(timeout: float = 20.0, key: str = "", faults_after: tuple[str, ...] = (), model: str = "", **changes):
        behaviour = Behaviour(engine, engine.tokenizer, **changes)
        server = serving(behaviour)
        url = server.__enter__()
        stack.append(server)
        remote = connected(Server(url, timeout, key), model).spoken(lambda ids: engine.tokenizer.decode(list(ids)))
        behaviour.faults |= set(faults_after)
        return remote, behaviour

    yield open_
    for server in stack:
        server.__exit__(None, None, None)


@pytest.mark.parametrize(("dialect", "way"), [(VLLM, "prompt_logprobs"), (SGLANG, "echo+1")])
def test_scores_and_tokens_are_those_of_the_engine_itself(served, engine, dialect: str, way: str) -> None:
    remote, _ = served(dialect=dialect)
    assert remote.endpoint.dialect.scores == way
    assert remote.score(PROMPTS) == engine.score(PROMPTS)
    for together in (False, True):
        found = remote.generate(PROMPTS, 6, together=together)
        assert [(one.tokens, one.logprobs) for one in found] == [(one.tokens, one.logprobs) for one in engine.generate(PROMPTS, 6)]
        assert all(list(one.seconds) == sorted(one.seconds) and len(one.seconds) == 6 for one in found)


def test_every_request_states_how_to_sample(served) -> None:
    remote, behaviour = served()
    remote.generate(PROMPTS[:1], 2)
    stated = {"temperature": 0.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0, "seed": 0}
    assert stated.items() <= behaviour.asked[-1].items()
    assert behaviour.asked[-1]["prompt"] == PROMPTS[0]


def test_several_tokens_in_a_chunk_are_counted_by_their_ids(served) -> None:
    remote, _ = served(a_chunk=4)
    found = remote.generate(PROMPTS[:1], 6)[0]
    assert found.count == 6
    assert len(set(found.seconds)) <= 2


@pytest.mark.parametrize("dialect", [MINDIE, OPENAI])
def test_what_a_server_cannot_is_asked_once_and_said(served, dialect: str) -> None:
    remote, _ = served(dialect=dialect)
    assert remote.endpoint.dialect.ids is (dialect == OPENAI)
    assert not remote.endpoint.dialect.own
    assert "log-probabilities of a given text" in remote.endpoint.dialect.lacks()
    with pytest.raises(NotServed, match="scores no given text"):
        remote.score(PROMPTS)
    with pytest.raises(NotServed, match="ids of its tokens"):
        remote.generate(PROMPTS, 2)


def test_without_ids_the_usage_counts(served) -> None:
    remote, _ = served(dialect=MINDIE, a_chunk=3)
    found = asked(remote, 8)
    assert (found.count, found.tokens) == (8, ())
    assert [math.isnan(at) for at in found.seconds] == [False, *[True] * 6, False]


def asked(remote, new_tokens: int):
    async def one():
        async with remote.endpoint.server.session() as session:
            return await remote.continued(session, PROMPTS[0], new_tokens)

    return awaited(one())


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("busy", "refused", "too busy"),
        ("drops", "dropped", "dropped"),
        ("malformed", "malformed", "no JSON"),
        ("short", "miscounted", "5 new tokens .*, 6 were asked for"),
        ("wrong usage", "miscounted", "usage states 7 new tokens, 6 came"),
        ("cuts the prompt", "miscounted", "read 20 tokens of a prompt of 24: it has cut the prompt"),
        ("adds a start token", "miscounted", "read 25 tokens of a prompt of 24: it has added"),
    ],
)
def test_a_fault_is_one_line_of_its_kind(served, fault: str, kind: str, says: str) -> None:
    remote, _ = served(faults_after=(fault,))
    with pytest.raises(ServingError, match=says) as caught:
        remote.generate(PROMPTS[:1], 6)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("fault", ["cuts the prompt", "adds a start token"])
def test_a_prompt_that_was_changed_has_no_score(served, fault: str) -> None:
    remote, _ = served(faults_after=(fault,))
    with pytest.raises(ServingError, match="the server read"):
        remote.score(PROMPTS[:1])


def test_a_server_that_stalls_is_left_after_the_time_out(served) -> None:
    remote, _ = served(timeout=0.8, faults_after=("stalls",))
    with pytest.raises(ServingError, match=r"no whole answer within 0.8 s") as caught:
        remote.generate(PROMPTS[:1], 2)
    assert caught.value.kind == "time-out"


def test_a_failed_request_is_sent_once(served) -> None:
    remote, behaviour = served(faults_after=("busy",))
    behaviour.asked.clear()
    with pytest.raises(ServingError):
        remote.generate(PROMPTS, 2)
    assert len(behaviour.asked) == 1


def test_the_key_is_sent_and_never_told(served) -> None:
    remote, _ = served(key="secret-7", faults_after=("echoes the key",))
    with pytest.raises(ServingError, match=r"quota of \*\*\* used up"):
        remote.generate(PROMPTS[:1], 2)
    assert "secret-7" not in repr(remote)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": ("a", "b")}, "serves a, b; name one with --endpoint-model"),
        ({"model": "gpt"}, "does not serve 'gpt' but tiny"),
        ({"models": ()}, "lists no model"),
    ],
)
def test_another_model_than_named_is_refused_at_once(served, changes, says: str) -> None:
    with pytest.raises(AssayError, match=says):
        served(**changes)


def test_a_wrong_key_and_an_address_where_nobody_is(engine) -> None:
    with serving(Behaviour(engine, key="right")) as url, pytest.raises(AssayError, match="set ASSAY_ENDPOINT_KEY"):
        connected(Server(url, 5, "wrong"))
    with pytest.raises(AssayError, match="cannot be reached"):
        connected(Server(url, 5))


def test_texts_and_conversations_are_read_as_the_template_has_it(served, engine) -> None:
    engine.tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    turns = [[{"role": "user", "content": "Hi"}]]
    for dialect, told in ((VLLM, True), (SGLANG, False)):
        remote, _ = served(dialect=dialect)
        found, own = remote.read(["A text."], turns), engine.read(["A text."], turns)
        assert [one.count for one in found] == [one.count for one in own]
        assert bool(found[1].ids) is told
    assert own[1].ids == tuple(b"<user>Hi") or own[1].count == 8
