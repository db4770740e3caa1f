"""Server-sent events are read to the letter, however they are cut on their way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.serving.engine import ServingError
from harness.serving.stream import Events

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def read(data: bytes, cuts=()):
    events, found, at = Events(), [], 0
    for cut in (*sorted(cuts), len(data)):
        found += events.feed(data[at:cut])
        at = max(at, cut)
    events.end()
    return found


@given(st.lists(texts, max_size=5), st.lists(st.integers(0, 400), max_size=6), st.sampled_from(("\n", "\r\n")))
def test_events_are_the_same_however_the_bytes_are_cut(said, cuts, end) -> None:
    lines = [f"data: {json.dumps({'text': text}, ensure_ascii=False)}{end}{end}" for text in said]
    data = ("".join(lines) + f": a comment{end}data: [DONE]{end}{end}").encode()
    assert read(data, [min(cut, len(data)) for cut in cuts]) == [{"text": text} for text in said]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'data: {"a": 1}\n\n', "dropped"),
        (b"data: {not json\n\ndata: [DONE]\n\n", "malformed"),
        (b"data: [1]\n\ndata: [DONE]\n\n", "malformed"),
        (b"data: [DONE]\n\ndata: {}\n\n", "malformed"),
        (b"data: \xff\n\n", "malformed"),
        (b'data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]\n\n', "server error"),
    ],
)
def test_a_stream_that_is_not_whole_is_an_error_of_its_kind(data: bytes, kind: str) -> None:
    with pytest.raises(ServingError) as caught:
        read(data)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)
