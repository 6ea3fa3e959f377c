"""Parts that several pages are made of."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import streamlit as st

from ui import records
from ui.calls import Call, calls, client
from ui.problems import PASSING, ProblemError
from ui.wording import plain

_READY = ("ready",)
_STYLE = Path(__file__).with_name("style.css")


def style() -> None:
    """The page's own look, which holds in light and dark."""
    st.html(_STYLE)


def when_there(selector: str, action: str) -> None:
    """Runs a line of our own JavaScript with the first ``element`` that fits, as soon as the browser has drawn one.

    Nothing of a document may be in either.
    """
    script = f"""
    const until = Date.now() + 5000;
    const look = () => {{
      const element = document.querySelector({json.dumps(selector)});
      if (element) {{ {action} }} else if (Date.now() < until) setTimeout(look, 50);
    }};
    look();
    """
    st.html(f"<script>{{{script}}}</script>", unsafe_allow_javascript=True)


def prose(html: str, kind: str = "qa-text") -> None:
    """A paragraph of HTML that :mod:`ui.wording` made, in the direction of its script."""
    st.html(f'<p class="{kind}" dir="auto">{html}</p>')


def note(text: str) -> None:
    """Small print, as it is."""
    prose(escape(text), "qa-note")


def trouble(problem: ProblemError, what: str) -> None:
    """A problem in one plain sentence, with a way to try again; what may pass is tried again by itself."""
    if problem.kind in PASSING:
        st.info(plain(f"{problem} The page goes on by itself as soon as it can."), icon=":material/hourglass_top:")
    else:
        st.error(plain(str(problem)), icon=":material/error:")
    st.button("Try again", key=f"retry-{what}", on_click=calls().retry)


def ready() -> Call[records.Readiness]:
    """Whether the API can answer, looked up now and then."""
    known = calls().find(_READY)
    well = known is not None and known.value is not None and known.value.ready
    return calls().get(_READY, client().readiness, wait=0.5, fresh=10.0 if well else 1.0)


def notices(call: Call[records.Readiness]) -> bool:
    """Says what is missing, or stands in for something; whether the API answers at all."""
    if call.problem:
        trouble(call.problem, "ready")
        return False
    told = call.value
    if told is None:
        return True
    if not told.ready:
        calls().look_again(_READY)
        missing = " ".join(f"{what.capitalize()}: {why}." for what, why in told.missing.items())
        st.info(plain(f"The API is starting. {missing}"), icon=":material/hourglass_top:")
    if told.notice:
        st.warning(plain(told.notice), icon=":material/info:")
    return True
