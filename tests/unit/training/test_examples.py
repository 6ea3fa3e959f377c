"""SQuAD files become examples; what cannot be used is named."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa_app.errors import InvalidRequestError, MalformedRequestError, NotFoundError, SettingsError
from qa_app.training.examples import Example, Source, hold_out, parse_source, read_examples, without
from tests.unit.training.squad import article, freight, write_squad

CONTEXT = "Ærø ferries carry 40 cars. 🚢 They leave at noon."


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def squad(asked: dict[str, Any], context: Any = CONTEXT) -> dict[str, Any]:
    return {"data": [{"title": "Ferries", "paragraphs": [{"context": context, "qas": [asked]}]}]}


def test_questions_are_read_with_places_in_code_points(tmp_path: Path) -> None:
    """Answers, impossible questions and SQuAD 1.1's missing is_impossible are read, gzipped as well as plain."""
    content = squad({"id": "1", "question": "When?", "answers": [{"text": "noon", "answer_start": 43}]})
    content["data"][0]["paragraphs"][0]["qas"].append({"id": "2", "question": "Why?", "answers": []})
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_text(json.dumps(content), encoding="utf-8")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        (first, second), report = read_examples(Source(path), chance())
        assert first.answers == (("noon", 43),)
        assert CONTEXT[43:47] == "noon"
        assert first.document == "Ferries"
        assert second.answers == ()
        assert second.span is None
        assert (report.questions, report.unanswerable, report.taken, report.bad) == (2, 1, 2, 0)


def test_feedback_without_titles_is_told_apart_by_context(tmp_path: Path) -> None:
    """What the application exports has no titles; each context counts as a document."""
    data = [
        {"paragraphs": [{"context": f"Text {n}.", "id": str(n), "qas": [{"id": "q", "question": "?!", "answers": []}]}]}
        for n in range(2)
    ]
    path = tmp_path / "feedback.json"
    path.write_text(json.dumps({"data": data}))
    examples, _ = read_examples(Source(path), chance())
    assert [example.document for example in examples] == ["Text 0.", "Text 1."]


def test_what_most_people_said_is_learnt() -> None:
    """Of several answers the most frequent is the span; white space around an answer is not part of it."""
    example = Example("?", CONTEXT, (("40 cars", 18), ("40", 18), ("40", 18)), "x")
    assert example.span == (18, 19)


def test_white_space_around_an_answer_is_cut(tmp_path: Path) -> None:
    """An answer marked with the space before it is learnt without."""
    content = squad({"id": "1", "question": "When?", "answers": [{"text": " noon", "answer_start": 42}]})
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_examples(Source(path), chance())[0][0].answers == (("noon", 43),)


@pytest.mark.parametrize(
    ("asked", "context", "message"),
    [
        ({"question": "When?", "answers": [{"text": "noon", "answer_start": 42}]}, CONTEXT, "answer_start = 42"),
        ({"question": "When?", "answers": [{"text": "noon", "answer_start": -5}]}, CONTEXT, "answer_start = -5"),
        ({"question": "When?", "answers": [{"text": "", "answer_start": 4}]}, CONTEXT, "does not hold ''"),
        ({"question": "When?", "answers": ["noon"]}, CONTEXT, "is not an object"),
        ({"question": "When?", "answers": None}, CONTEXT, "answers is not a list"),
        ({"question": "  ", "answers": []}, CONTEXT, "question is empty"),
        ({"question": "a\ud800", "answers": []}, CONTEXT, "half of a surrogate pair"),
        ({"question": "When?", "answers": []}, None, "context"),
        (
            {"question": "When?", "is_impossible": True, "answers": [{"text": "noon", "answer_start": 43}]},
            CONTEXT,
            "cannot be both",
        ),
    ],
)
def test_a_bad_entry_is_named_or_passed_over(tmp_path: Path, asked: dict[str, Any], context: Any, message: str) -> None:
    """An entry that cannot be used is an error with file and place, and is counted where that is asked for."""
    content = squad(asked, context)
    content["data"].append(article("Good", ("Tea is hot.", [("What is hot?", "Tea")])))
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidRequestError, match=r"bad.json: data\[0\]") as caught:
        read_examples(Source(path), chance())
    assert message in str(caught.value)
    examples, report = read_examples(Source(path), chance(), skip_bad=True)
    assert [example.question for example in examples] == ["What is hot?"]
    assert report.bad == 1
    assert message in str(report.first_bad)


def test_what_is_not_squad_is_refused(tmp_path: Path) -> None:
    """Missing, damaged and other files are errors of ours, even where bad entries are passed over."""
    with pytest.raises(NotFoundError):
        read_examples(Source(tmp_path / "none.json"), chance())
    for content, error in (
        (b"{", MalformedRequestError),
        (b"\x1f\x8b\x08broken", MalformedRequestError),
        (b"[" * 100_000, MalformedRequestError),
        (b"[]", InvalidRequestError),
        (b'{"data": [{}]}', InvalidRequestError),
        (b'{"data": [7]}', InvalidRequestError),
        (b'{"data": []}', InvalidRequestError),
    ):
        path = tmp_path / "odd.json"
        path.write_bytes(content)
        with pytest.raises(error):
            read_examples(Source(path), chance(), skip_bad=True)


def test_weights_and_limits(tmp_path: Path) -> None:
    """FILE:2.5 takes every example twice and half of them once more; a context gives no more than its limit."""
    path = write_squad(tmp_path / "f.json", freight(40, 3))
    assert parse_source(f"{path}:2.5") == Source(path, 2.5)
    assert parse_source(str(path)) == Source(path, 1.0)
    assert parse_source("c:elsewhere.json") == Source(Path("c:elsewhere.json"))
    for wrong in ("0", "-1", "nan", "1e9"):
        with pytest.raises(SettingsError):
            parse_source(f"{path}:{wrong}")
    examples, report = read_examples(Source(path, 2.5), chance())
    counts = Counter((one.document, one.context, one.question) for one in examples)
    assert report.taken == len(examples) == 100
    assert set(counts.values()) <= {2, 3, 4, 5, 6}
    few, _ = read_examples(Source(path), chance(), max_per_context=1)
    assert len(few) == len({one.context for one in few})
    assert few == read_examples(Source(path), chance(), max_per_context=1)[0]


def test_no_document_is_on_both_sides() -> None:
    """What is held out shares no document with the rest, is about a twentieth, and is never everything."""
    examples = [Example(f"q{n}", f"c{n // 5}", (), f"d{n // 10}") for n in range(1000)]
    rest, held = hold_out(examples, chance())
    assert {one.document for one in rest}.isdisjoint(one.document for one in held)
    assert len(rest) + len(held) == 1000
    assert 50 <= len(held) <= 100
    two = [Example("q", "c", (), "big")] * 50 + [Example("r", "e", (), "small")]
    assert [one.document for one in hold_out(two, chance())[1]] == ["small"]
    with pytest.raises(InvalidRequestError, match="--validation"):
        hold_out(examples[:10], chance())


def test_validation_documents_are_not_trained_on() -> None:
    """Examples of a document or a context that validation has are taken out of training."""
    examples = [Example("q", "c1", (), "d1"), Example("q", "c2", (), "d2"), Example("q", "c3", (), "d3")]
    assert without(examples, [Example("x", "other", (), "d1"), Example("x", "c2", (), "other")]) == examples[2:]
