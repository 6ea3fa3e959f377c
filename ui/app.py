"""The page: a question, and answers marked in their documents' words."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import streamlit as st

from ui import client, settings


def main() -> None:
    """One run of the page, as Streamlit makes it at every change."""
    st.set_page_config(page_title="Ask your documents")
    st.title("Ask your documents")
    told = settings.load()
    question = st.text_input("Question", max_chars=1000).strip()
    try:
        if notice := client.notice(told):
            st.warning(plain(notice))
        if question:
            with st.spinner("Reading"):
                answers = client.ask(told, question)
            for answer in answers or [{"answer": ""}]:
                show(answer)
    except client.ProblemError as problem:
        st.error(plain(str(problem)))


def show(answer: dict[str, Any]) -> None:
    """One answer in its context with its source, or that there is none."""
    sure = f"{answer['score']:.0%}" if "score" in answer else ""
    if not answer["answer"]:
        st.info(f"No answer in these documents. {plain(sure)}")
        return
    context, span, meta = answer["context"], answer["offsets_in_context"][0], answer["meta"]
    start, end = span["start"], span["end"]  # code points, as Python's texts have them
    page = f", page {meta['answer_page']}" if "answer_page" in meta else ""
    source = f"{meta.get('path') or meta.get('name')}{page}, characters {meta['answer_start']}–{meta['answer_end']}"
    st.html(
        '<p dir="auto" style="white-space: pre-wrap">'
        f"… {escape(context[:start])}<mark>{escape(context[start:end])}</mark>{escape(context[end:])} …</p>"
        f"<small>{escape(source)} · {sure}</small>"
    )


def plain(text: str) -> str:
    """Text that Streamlit shows as it is, whatever Markdown it holds."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


main()
