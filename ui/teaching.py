"""Judgements of answers, sent once for each answer however often its buttons are pressed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

from ui.calls import calls, client
from ui.records import Answer, Passage
from ui.selection import selection
from ui.wording import plain

_RIGHT, _WRONG_WORDS, _WRONG = "Right", "Right passage, wrong words", "Wrong"
_VERDICTS = {_RIGHT: (True, True), _WRONG_WORDS: (False, True), _WRONG: (False, False)}


def verdicts(question: str, answer: Answer, filters: Mapping[str, Any], key: str) -> None:
    """Buttons that judge an answer; a change of mind replaces the judgement."""
    assert answer.passage is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        for verdict, (right_answer, right_passage) in _VERDICTS.items():
            label = _label(question, answer.passage, answer.start, answer.end, filters)
            label |= {"is_correct_answer": right_answer, "is_correct_document": right_passage}
            _button(verdict, label, f"{key}-{verdict}")
        _kept(_id(question, answer.passage.id, answer.start, answer.end))


def correct(question: str, passage: Passage, filters: Mapping[str, Any], key: str) -> None:
    """Lets the visitor say which words of a passage are the answer."""
    chosen = selection(passage.content, key)
    if chosen is not None:
        st.session_state[f"{key}-chosen"] = chosen
        label = _label(question, passage, *chosen, filters) | {"is_correct_answer": True, "is_correct_document": True}
        _send(label, _RIGHT)
    if span := st.session_state.get(f"{key}-chosen"):
        st.text(f"Chosen: “{passage.content[span[0] : span[1]]}”")
        _kept(_id(question, passage.id, *span))


def no_answer(question: str, passage: Passage, filters: Mapping[str, Any], key: str) -> None:
    """Buttons that judge that there is no answer; the label hangs on the best passage, since it needs one."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for verdict, right in (("Right, it is not there", True), ("Wrong, it is there", False)):
            label = _label(question, passage, 0, 0, filters)
            # Not its passage is judged: an export would take a wrong "no answer" from a wrong one for a right one.
            _button(verdict, label | {"is_correct_answer": right, "is_correct_document": True}, f"{key}-{verdict}")
        _kept(_id(question, passage.id, 0, 0))


def _button(verdict: str, label: Mapping[str, Any], key: str) -> None:
    icon = ":material/check:" if label["is_correct_answer"] else ":material/close:"
    kind: Literal["primary", "secondary"] = "primary" if _said().get(label["id"]) == verdict else "secondary"
    st.button(verdict, key=key, icon=icon, type=kind, on_click=_send, args=(label, verdict))


def _send(label: Mapping[str, Any], verdict: str) -> None:
    # A second click, or the page drawn again, says nothing new.
    if _said().get(label["id"]) == verdict:
        return
    _said()[label["id"]] = verdict
    calls().drop("judge", "labels", "accuracy")
    calls().get(("judge", label["id"]), lambda: client().judge(label))


def _kept(id: str) -> None:
    """Tells whether the judgement has arrived."""
    call = calls().find(("judge", id))
    if call is not None and call.problem:
        _said().pop(id, None)
        st.error(plain(f"This was not saved. {call.problem}"), icon=":material/error:")
    elif call is not None and call.pending:
        st.text("Saving…")
    elif id in _said():
        st.text("Saved. Thank you.")


def _said() -> dict[str, str]:
    """What this visitor has said, by the label's id."""
    said: dict[str, str] = st.session_state.setdefault("said", {})
    return said


def _id(question: str, passage: str, start: int, end: int) -> str:
    session = st.session_state.setdefault("session", uuid.uuid4())
    return str(uuid.uuid5(session, f"{passage} {start} {end} {question}"))


def _label(question: str, passage: Passage, start: int, end: int, filters: Mapping[str, Any]) -> dict[str, Any]:
    """What ``/feedback`` takes; the empty span is the answer that there is none."""
    answer: dict[str, Any] = {"answer": passage.content[start:end], "document_ids": [passage.id]}
    if start < end:
        answer["offsets_in_document"] = [{"start": start, "end": end}]
    return {
        "id": _id(question, passage.id, start, end),
        "query": question,
        "document": {"id": passage.id},
        "answer": answer,
        "origin": "user-feedback",
        "filters": dict(filters) or None,
    }
