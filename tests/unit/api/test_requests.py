"""Bodies are taken as they are, or refused with the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from qa_app.api.haystack import Query
from qa_app.api.requests import InvalidBodyError, decode
from qa_app.errors import MalformedRequestError


def test_a_good_body() -> None:
    """A valid body becomes the operation's record."""
    assert decode(b'{"query": "Who?", "debug": true}', Query) == Query(query="Who?", debug=True)


@pytest.mark.case("B2")
@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'{"query": 5}', ["body", "query"]),
        (b'{"query": "a", "debug": "true"}', ["body", "debug"]),
        (b'{"query": "a", "params": []}', ["body", "params"]),
        (b'{"query": "a", "query": "b"}', ["body", "query"]),
        (b'{"query": "a", "params": {"filters": {"y": 1, "y": 2}}}', ["body", "y"]),
        (b'{"query": "a", "other": 1}', ["body"]),
        (b"[]", ["body"]),
        (b"{}", ["body"]),
        (b'{"query": "' + b"a" * 20_000 + b'"}', ["body", "query"]),
    ],
)
def test_an_invalid_field_is_named(body: bytes, loc: list[Any]) -> None:
    """Wrong types, unknown fields and fields given twice are 422 with the place of the field."""
    with pytest.raises(InvalidBodyError) as caught:
        decode(body, Query)
    assert caught.value.loc == loc
    assert caught.value.http_status == 422


@pytest.mark.case("B2", "B3", "B6")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"query": "a"} x',
        b'{"query": "a\xff"}',
        b'{"query": "\\ud800"}',
        b'{"query": "a", "params": {"filters": {"x": NaN}}}',
        b'{"query": "a", "params": {"filters": {"x": Infinity}}}',
        b'{"query": "a", "params": {"filters": ' + b'{"x":' * 5000 + b"1" + b"}" * 5002,
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    """Broken JSON, NaN, endless numbers, half surrogates and endless nesting are 400."""
    with pytest.raises(MalformedRequestError) as caught:
        decode(body, Query)
    assert caught.value.http_status == 400


@pytest.mark.case("B3")
@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" + b"0" * 5000])
def test_an_endless_number_is_refused(number: bytes) -> None:
    """A number that no double holds is 422."""
    with pytest.raises(InvalidBodyError):
        decode(b'{"query": "a", "params": {"filters": {"x": %s}}}' % number, Query)
