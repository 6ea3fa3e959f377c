"""What is asked: the question with its settings and filters, kept in the address so that it can be sent to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from ui.calls import calls, client
from ui.records import Facet, Facets
from ui.wording import plain, shown

MAX_QUESTION = 1000
ANSWERS, PASSAGES = 3, 10
_HISTORY = 20
#: Filters stand in the address under their field's name behind this.
_FILTER = "f."
_FORMATS = {
    "application/pdf": "PDF",
    "text/plain": "Text",
    "text/markdown": "Markdown",
    "text/html": "HTML",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word",
}


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
        st.header("Settings")
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
        listed = facets.facets if facets else ()
        # What an address asks for holds, also where no document has it any more.
        fields = dict.fromkeys(key.removeprefix(_FILTER) for key in st.query_params if key.startswith(_FILTER))
        unknown = [Facet(name, (), 0) for name in fields if name not in {one.field for one in listed}]
        if listed or unknown:
            st.header("Only documents with")
        values = {one.field: chosen for one in (*listed, *unknown) if (chosen := _filter(one))}
        return Asked(question, answers, passages, values)


def _filter(facet: Facet) -> tuple[Any, ...]:
    """The values that a field must have one of, as they are chosen; they stand in the address without their counts."""
    key = f"{_FILTER}{facet.field}"
    # 1 and "1" are two values to a filter, and one to a reader.
    alike: dict[str, list[Any]] = {}
    counts: Counter[str] = Counter()
    for value, count in facet.values:
        alike.setdefault(str(value), []).append(value)
        counts[str(value)] += count
    given = st.query_params.get_all(key)
    if key not in st.session_state:
        st.session_state[key] = given
    # Written back: what was chosen before another page was looked at would be forgotten else.
    kept = st.session_state[key] = list(st.session_state[key])
    chosen = st.multiselect(
        plain(facet.field.replace("_", " ").capitalize()),
        list(dict.fromkeys([*alike, *kept])),
        key=key,
        persist_state="session",
        format_func=lambda name: f"{_shown(name)} ({counts[name]})",
        placeholder="any",
        help=f"{facet.others:,} rarer values are not listed." if facet.others else None,
    )
    if chosen != given:
        if chosen:
            st.query_params[key] = chosen
        else:
            del st.query_params[key]
    return tuple(value for name in chosen for value in alike.get(name, [name]))


def _shown(value: str) -> str:
    """A value as people know it."""
    return _FORMATS.get(value, shown(value))


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
        st.session_state[f"{_FILTER}{name}"] = list(dict.fromkeys(map(str, values)))


def remember(asked: Asked) -> None:
    """Puts a question at the head of the session's history."""
    history: list[Asked] = st.session_state.setdefault("history", [])
    history[:] = [asked, *(one for one in history if one.key != asked.key)][:_HISTORY]


def history() -> None:
    """The questions of this session, to be asked again."""
    asked: list[Asked] = st.session_state.get("history", [])
    if len(asked) < 2:
        return
    with st.sidebar:
        st.header("Asked before")
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
