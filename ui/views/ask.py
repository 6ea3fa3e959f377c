"""The first page: a question, and answers in the documents' own words."""

from __future__ import annotations

import streamlit as st

from ui import asking, results
from ui.calls import calls, client
from ui.parts import notices, ready, when_there
from ui.wording import plain

# A visitor who is typing elsewhere is left alone.
_FOCUS = "if (document.activeElement === document.body) element.focus();"


def main() -> None:
    """Draws the page as far as it is known; what is still to come draws it again."""
    st.title("Ask your documents")
    told = ready()
    question = asking.question_box()
    # The address may name filters, which are known by the facets alone.
    facets = calls().get(("facets",), client().facets, wait=1.0, fresh=60.0)
    asked = asking.sidebar(facets.value, question)
    answers = notices(told)
    if not question:
        when_there('input[aria-label="Question"]', _FOCUS)
        if answers and facets.value is not None:
            _invitation(facets.value.files)
    elif answers and told.value and told.value.ready and not facets.pending:
        asking.begin(asked)
        asking.remember(asked)
        results.show(asked)
    asking.history()


def _invitation(files: int) -> None:
    """What can be asked here."""
    if not files:
        st.info("There are no documents yet.", icon=":material/folder_open:")
        st.page_link("views/documents.py", label="Add documents", icon=":material/upload:")
        return
    st.text(f"Answers come word for word from {files:,} {'document' if files == 1 else 'documents'}.")
    questions = calls().get(("examples",), client().examples, wait=0.3, fresh=300.0).value
    if questions:
        st.text("For example:")
        for number, question in enumerate(questions):
            st.button(
                plain(question),
                key=f"example-{number}",
                icon=":material/lightbulb:",
                on_click=asking.set_question,
                args=(question,),
            )


main()
