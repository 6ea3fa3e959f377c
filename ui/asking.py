"""What is asked: the question with its settings and filters, kept in the address so that it can be sent to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from ui.calls import calls, client
from ui.records import Facets

MAX_QUESTION = 1000
ANSWERS, PASSAGES = 3, 10
_HISTORY = 20
#: Filters stand in the address under their field's name behind this.
_FILTER = "f."


@dataclass(frozen=True)
class Asked:
    """A question, with how many answers and passages are wanted, and the values that fields must have."""

    question: str
    answers: int = ANSWERS
    passages: int = PASSAGES
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def filters(self) -> dict[str, Any]:
        """In Haystack's filter language; a field must have one of its values."""
        return {name: {"$in": list(values)} for name, values in self.values.items()}

    @property
    def params(self) -> dict[str, Any]:
        """The ``params`` of ``/query``."""
        return {
            "filters": self.filters,
            "Retriever": {"top_k": self.passages},
            "Reader": {"top_k": self.answers},
        }

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for what is asked alike; 1 and True are not."""
        return (self.question, self.answers, self.passages, repr(sorted(self.values.items())))


def sidebar(facets: Facets | None, question: str) -> Asked:
    """The settings and filters as they are set, which the address may do."""
    with st.sidebar:
        st.subheader("Settings")
        answers = st.slider("Answers", 1, 10, ANSWERS, key="answers", bind="query-params")
        passages = st.slider(
            "Passages to read",
            1,
            50,
            PASSAGES,
            key="passages",
            bind="query-params",
            help="More passages find more, and take longer.",
        )
        values = {}
        if facets and facets.facets:
            st.subheader("Only documents with")
            for facet in facets.facets:
                counts = {str(value): (value, count) for value, count in facet.values}
                chosen = st.multiselect(
                    facet.field.replace("_", " "),
                    list(counts),
                    key=f"{_FILTER}{facet.field}",
                    bind="query-params",
                    format_func=str,
                    placeholder="any",
                    help=f"{facet.others} rarer values are not listed." if facet.others else None,
                )
                if chosen:
                    values[facet.field] = tuple(counts[name][0] for name in chosen)
        return Asked(question, answers, passages, values)


def question_box() -> str:
    """The box that asks with Enter; what it holds, without blanks around it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input(
            "Question",
            key="q",
            bind="query-params",
            max_chars=MAX_QUESTION,
            placeholder="What would you like to know?",
            icon=":material/search:",
        )
        # The box gives its text away when it loses the focus: the button needs to do no more than be pressed.
        st.button("Ask", type="primary")
    return (typed or "").strip()


def set_question(question: str) -> None:
    """Asks a question as if it were typed."""
    st.session_state["q"] = question


def _set(asked: Asked) -> None:
    for key in list(st.session_state):
        if str(key).startswith(_FILTER):
            st.session_state[key] = []
    st.session_state["q"] = asked.question
    st.session_state["answers"], st.session_state["passages"] = asked.answers, asked.passages
    for name, values in asked.values.items():
        st.session_state[f"{_FILTER}{name}"] = [str(value) for value in values]


def remember(asked: Asked) -> None:
    """Puts a question at the head of the session's history."""
    history: list[Asked] = st.session_state.setdefault("history", [])
    history[:] = [asked, *(one for one in history if one.key != asked.key)][:_HISTORY]


def history() -> None:
    """The questions of this session, to be asked again."""
    from ui.wording import plain

    asked: list[Asked] = st.session_state.get("history", [])
    if len(asked) < 2:
        return
    with st.sidebar:
        st.subheader("Asked before")
        for number, one in enumerate(asked[1:]):
            st.button(
                plain(one.question),
                key=f"history-{number}",
                type="tertiary",
                icon=":material/history:",
                on_click=_set,
                args=(one,),
            )


def begin(asked: Asked) -> None:
    """Gives up what was asked before and is not wanted any more."""
    calls().cancel_others("query", (("query", *asked.key),))
    calls().cancel_others("search", (("search", *asked.key),))


def search(asked: Asked) -> Any:
    """The call for the passages, which come long before the answers."""
    return calls().get(
        ("search", *asked.key), lambda: client().search(asked.question, asked.filters, asked.passages), wait=0.1
    )


def query(asked: Asked) -> Any:
    """The call for the answers."""
    return calls().get(("query", *asked.key), lambda: client().ask(asked.question, asked.params))
