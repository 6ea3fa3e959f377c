"""Answers as cards, and the passages that they were read in."""

from __future__ import annotations

import json
from html import escape
from urllib.parse import urlencode

import streamlit as st

from ui import asking, teaching
from ui.asking import Asked
from ui.parts import note, prose, trouble
from ui.records import Answer, Answers, Passage
from ui.wording import Gathered, gather, in_sentence, plain, quotation, shown, source, sure


def show(asked: Asked) -> None:
    """The answers to a question; the passages first, while the reader is at work."""
    found, read = asking.search(asked), asking.query(asked)
    if read.problem:
        trouble(read.problem, "query")
        if found.value:
            passages(asked, found.value, "Passages that fit best")
    elif read.pending:
        count = min(asked.passages, len(found.value)) if found.value is not None else asked.passages
        st.status(f"Reading {count} {'passage' if count == 1 else 'passages'}…")
        if found.value:
            passages(asked, found.value, "Passages that fit best")
    else:
        _answers(asked, read.value)


def _answers(asked: Asked, found: Answers) -> None:
    # Who does not see the page is told that the answers have come.
    st.html(f'<p class="qa-unseen" role="status">Answered: {escape(asked.question)}</p>')
    if not found.passages:
        st.header("No answer in these documents")
        st.text(
            "No document with the chosen properties has any word of this question."
            if asked.values
            else "No document has any word of this question."
        )
        return
    none = next((answer for answer in found.answers if not answer.text), None)
    cards = gather(found.answers)
    if not found.answers or not found.answers[0].text:
        _no_answer(asked, found, none)
        if cards:
            with st.expander("What the reader would say otherwise", key="otherwise"):
                for number, card in enumerate(cards):
                    _card(asked, card, number)
        passages(asked, found.passages, "Passages that fit best")
        return
    st.header("1 answer" if len(cards) == 1 else f"{len(cards)} answers")
    for number, card in enumerate(cards):
        _card(asked, card, number)
    if none is not None:
        note(f"That there is no answer in these documents: {none.score:.0%}")
    read = len(found.passages)
    title = "The passage that was read" if read == 1 else f"The {read} passages that were read"
    with st.expander(title, key="read"):
        passages(asked, found.passages)


def _no_answer(asked: Asked, found: Answers, none: Answer | None) -> None:
    with st.container(border=True, key="no-answer"):
        st.html('<h2 class="qa-answer">No answer in these documents</h2>')
        if none is not None:
            note(sure(none.score))
        teaching.no_answer(asked.question, found.passages[0], asked.filters, "none")


def _card(asked: Asked, card: Gathered, number: int) -> None:
    best = card.best
    assert best.passage is not None
    with st.container(border=True, key=f"card-{number}"):
        st.html(f'<h3 class="qa-answer" dir="auto">{escape(shown(best.text))}</h3>')
        note(sure(best.score))
        prose(in_sentence(best), "qa-sentence")
        _place(best, f"{number}-0")
        if others := card.places[1:]:
            st.text(f"Also in {len(others)} {'place' if len(others) == 1 else 'places'}:")
            for place, answer in enumerate(others, 1):
                prose(in_sentence(answer), "qa-sentence")
                _place(answer, f"{number}-{place}")
        teaching.verdicts(asked.question, best, asked.filters, f"judge-{number}")
        with st.container(horizontal=True):
            with st.popover("Select the right words", icon=":material/edit:", key=f"select-{number}"):
                teaching.correct(asked.question, best.passage, asked.filters, f"words-{number}")
            with st.popover("Quote", icon=":material/format_quote:", key=f"quote-{number}"):
                st.code("\n\n".join(quotation(answer) for answer in card.places), language=None, wrap_lines=True)
            with st.popover("JSON", icon=":material/data_object:", key=f"json-{number}"):
                raw = [answer.raw for answer in card.places]
                st.code(json.dumps(raw, ensure_ascii=False, indent=1), language="json", height=300)


def _place(answer: Answer, key: str) -> None:
    """Where an answer stands, with a way there."""
    passage = answer.passage
    assert passage is not None
    note(source(passage, answer.page))
    if passage.file_id and passage.start is not None:
        _link(passage, passage.start + answer.start, passage.start + answer.end, answer.page, key)


def _link(passage: Passage, start: int, end: int, page: int | None, key: str) -> None:
    # In a tab of its own: the answers stay as they are, and several documents can be looked at side by side.
    address = {"file": passage.file_id, "start": start, "end": end} | ({"page": page} if page else {})
    st.link_button(
        f"Show in {plain(passage.name)}",
        f"document?{urlencode(address)}",
        key=f"link-{key}",
        type="tertiary",
        icon=":material/find_in_page:",
        help="Opens a new tab.",
    )


def passages(asked: Asked, found: tuple[Passage, ...], title: str = "") -> None:
    """Passages with their places, best first; under a title of their own the ten best."""
    if title:
        st.header(title)
    for number, passage in enumerate(found[:10] if title else found):
        with st.container(border=True, key=f"passage-{number}"):
            note(source(passage))
            prose(escape(passage.content))
            if passage.file_id and passage.start is not None:
                end = passage.start + len(passage.content)
                _link(passage, passage.start, end, passage.page, f"passage-{number}")
            with st.popover("The answer is here", icon=":material/edit:", key=f"here-{number}"):
                teaching.correct(asked.question, passage, asked.filters, f"here-{number}-words")
