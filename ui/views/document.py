"""One document: the answer marked in its text, or boxed on its page."""

from __future__ import annotations

from html import escape

import streamlit as st

from ui.calls import calls, client, later
from ui.parts import note, notices, ready, trouble, when_there
from ui.records import File
from ui.wording import day, marked, plain, shown, size

#: Code points of text before and after the answer; a whole book would stop a browser.
_AROUND = 6000
_PDF = "application/pdf"
_SCROLL = """
const box = element.closest(".qa-document");
box.scrollTop += element.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
"""
_SCROLL_PAGE = """
const main = element.closest('[data-testid="stMain"]');
const go = () => {
  const place = element.getBoundingClientRect();
  main.scrollTop += place.top + share * place.height - main.clientHeight / 3;
};
if (element.complete) go(); else element.addEventListener("load", go);
"""


def main() -> None:
    """Draws the document that the address names."""
    query = st.query_params
    id, start, end = query.get("file", ""), _number(query.get("start")), _number(query.get("end"))
    if start is None or end is None or not start < end:
        start = end = None
    if not notices(ready()):
        st.title("Document")
        return
    call = calls().get(("file", id), lambda: client().file(id), wait=0.5)
    file = call.value
    if file is None:
        st.title("Document")
        if call.problem:
            trouble(call.problem, "file")
        else:
            st.status("Opening the document…")
        return
    st.title(plain(shown(file.name)))
    note(" · ".join(part for part in (_about(file), f"indexed {day(file.ingested_at)}") if part))
    pages = file.pages if file.media_type == _PDF else None
    view = "Text"
    if pages:
        view = st.segmented_control("View", ["Page", "Text"], default="Page", required=True, key="view") or "Page"
    if view == "Page" and pages:
        _page(file, pages, _number(query.get("page")) or 1, start, end)
    else:
        _text(file, start, end)
    _download(file)


def _about(file: File) -> str:
    parts = (
        shown(file.path) if file.path != file.name else "",
        f"{file.pages} {'page' if file.pages == 1 else 'pages'}" if file.pages else "",
        size(file.size),
    )
    return " · ".join(part for part in parts if part)


def _page(file: File, pages: int, wanted: int, start: int | None, end: int | None) -> None:
    # The page that the answer is on comes first, whatever was looked at in another document.
    number = st.number_input(
        f"Page, of {pages:,}", 1, pages, min(wanted, pages), key=f"page-{file.id}-{start}", width=200
    )
    call = calls().get(
        ("page", file.id, number, start, end), lambda: client().page(file.id, number, start, end), wait=0.5
    )
    if call.problem:
        trouble(call.problem, "page")
    elif call.value is None:
        st.status("Drawing the page…")
    else:
        picture, at = call.value
        told = ", with the answer boxed" if at is not None else ""
        with st.container(key="picture"):
            st.image(picture, alt=f"Page {number} of {shown(file.name)}{told}", width="stretch")
        if at is not None:
            when_there(".st-key-picture img", f"const share = {at:.4f}; {_SCROLL_PAGE}")
        elif start is not None and number == min(wanted, pages):
            note("Where exactly the words stand on this page cannot be told; the text shows them marked.")


def _text(file: File, start: int | None, end: int | None) -> None:
    key = f"from-{file.id}-{start}"
    first = st.session_state.setdefault(key, max(0, (start or 0) - _AROUND // 2))
    call = calls().get(("text", file.id, first), lambda: client().text(file.id, first, first + 2 * _AROUND), wait=0.5)
    if call.problem:
        trouble(call.problem, "text")
        return
    if call.value is None:
        st.status("Opening the text…")
        return
    text, length = call.value.text, call.value.length
    last = first + len(text)

    def go(to: int) -> None:
        st.session_state[key] = max(0, min(to, max(0, length - 1)))

    if first > 0:
        st.button("Earlier text", icon=":material/arrow_upward:", on_click=go, args=(first - _AROUND,))
    within = start is not None and end is not None and first <= start and end <= last
    if within and start is not None and end is not None:
        inner = marked(text, start - first, end - first, "qa-mark")
    else:
        inner = escape(text)
    st.html(f'<div class="qa-document" dir="auto" tabindex="0" role="region" aria-label="Text">{inner}</div>')
    if last < length:
        st.button("Later text", icon=":material/arrow_downward:", on_click=go, args=(first + _AROUND,))
    note(f"Characters {first:,} to {last:,} of {length:,}")
    if within:
        when_there("#qa-mark", _SCROLL)


def _download(file: File) -> None:
    st.download_button(
        "Download the original",
        lambda: later(client().original(file.id)),
        file_name=shown(file.name).replace("/", "_"),
        mime="application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


main()
