"""What Streamlit runs: the pages, and what to say where one of them fails."""

from __future__ import annotations

import logging
from pathlib import Path

import streamlit as st

from ui.calls import calls
from ui.parts import style

logger = logging.getLogger("ui")
#: Of our own: Streamlit would fetch its symbols for this place from the network.
_ICON = Path(__file__).with_name("icon.svg")


def main() -> None:
    """One run of the page, as Streamlit makes it at every change."""
    st.set_page_config(page_title="Ask your documents", page_icon=str(_ICON), layout="centered")
    style()
    page = st.navigation(
        [
            st.Page("views/ask.py", title="Ask", icon=":material/search:", default=True),
            st.Page("views/documents.py", title="Documents", icon=":material/folder:", url_path="documents"),
            st.Page("views/feedback.py", title="Feedback", icon=":material/school:", url_path="feedback"),
            st.Page("views/document.py", title="Document", url_path="document", visibility="hidden"),
        ]
    )
    calls().begin_drawing()
    try:
        page.run()
    except Exception:
        logger.exception("the page %s failed", page.url_path or "ask")
        st.error("Something is wrong in this page itself; its log says what. Reload it to go on.")
    calls().watch()


main()
