"""The embedded model behind a socket: what the server says of real text is what the model says in this process."""

from contextlib import nullcontext

from harness.serving.http import Server
from harness.serving.remote import connected
from suites.assets.language_model import DEFAULT, load
from suites.serving.in_process import InProcess
from tests.suites.serving.server import Behaviour, serving

TURNS = [{"role": "user", "content": "What is the capital of France?"}]


def test_the_embedded_model_is_scored_continued_and_read_over_a_socket() -> None:
    loaded = load(DEFAULT)
    engine = InProcess(loaded.module, loaded.tokenizer, nullcontext)
    text = loaded.tokenizer.encode("The capital of France is Paris, and the capital of Italy is")
    with serving(Behaviour(engine, loaded.tokenizer)) as url:
        remote = connected(Server(url, 60)).spoken(lambda ids: loaded.tokenizer.decode(list(ids)))
        assert remote.score([text]) == engine.score([text])
        found = remote.generate([text], 3)[0]
        assert found.tokens == engine.generate([text], 3)[0].tokens
        assert "Rome" in loaded.tokenizer.decode(list(found.tokens))
        ours, theirs = remote.read(["A text."], [TURNS]), engine.read(["A text."], [TURNS])
    assert ours == theirs
    assert ours[1].ids
