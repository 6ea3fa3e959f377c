from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_app.converters.extraction import Extraction, Heading
from qa_app.converters.wire import (
    PREFIX,
    Reply,
    WireError,
    frame_size,
    pack_reply,
    pack_request,
    unpack_reply,
    unpack_request,
)


@given(st.text(), st.sampled_from([None, "cp932"]), st.text())
def test_a_reply_arrives_as_it_was_sent(text: str, encoding: str | None, title: str) -> None:
    """Text, offsets, metadata and fingerprint survive the pipe, and the frame's size is known from its prefix."""
    extraction = Extraction(
        text, "text/plain", (0, len(text)), (Heading(len(text), 2, title),), encoding, {"a": [1, "b"]}
    )
    reply = Reply(extraction, "ab", 7, 2**62)
    frame = pack_reply(reply)
    assert frame_size(frame + b"more") == len(frame)
    assert frame_size(frame[:7]) is None
    assert unpack_reply(frame) == reply


def test_names_that_are_no_text_survive() -> None:
    """A file name in an unknown encoding, with a newline or a zero byte reaches the child unchanged."""
    paths = ["/a\udcff", "/a\nb", "/é😀", "/\0"]
    assert unpack_request(pack_request(paths, "pdf")) == (paths, "pdf")


def _frame(header: object, body: bytes = b"text") -> bytes:
    packed = json.dumps(header).encode()
    return PREFIX.pack(len(packed), len(body)) + packed + body


_GOOD = {
    "sha256": "ab",
    "size": 1,
    "mtime_ns": 1,
    "media_type": "text/plain",
    "encoding": None,
    "page_starts": [],
    "headings": [],
    "meta": {},
}


@pytest.mark.parametrize(
    "frame",
    [
        _frame([]),
        _frame({}),
        _frame({"reason": "nonesuch", "message": ""}),
        _frame({"reason": ["timeout"], "message": ""}),
        _frame(_GOOD, b"\xff"),
        _frame(_GOOD | {"page_starts": [5]}),
        _frame(_GOOD | {"page_starts": [-1]}),
        _frame(_GOOD | {"page_starts": "x"}),
        _frame(_GOOD | {"headings": [[9, 1, "x"]]}),
        _frame(_GOOD | {"headings": [[1]]}),
        _frame(_GOOD | {"meta": 1}),
        _frame(_GOOD | {"headings": [[0, 1, "\ud800"]]}),
        _frame(_GOOD | {"size": "many"}),
        _frame(_GOOD | {"size": float("inf")}),
        PREFIX.pack(9, 0) + b"[" * 9,
    ],
)
def test_a_child_is_not_believed(frame: bytes) -> None:
    """A reply that is not as promised is an error, whatever a captured child may send."""
    with pytest.raises(WireError):
        unpack_reply(frame)


def test_a_message_is_text_of_bounded_length() -> None:
    """What a file makes a parser say is cut, and can be printed."""
    reply = unpack_reply(_frame({"reason": "corrupt", "message": "\ud800" + "x" * 70_000}))
    assert reply.message == "?" + "x" * 999


def test_a_frame_has_a_limit() -> None:
    """A child cannot make its pool wait for, or hold, gigabytes."""
    with pytest.raises(WireError):
        frame_size(PREFIX.pack(2**31, 1))
    with pytest.raises(WireError):
        frame_size(PREFIX.pack(1, 2**31))
