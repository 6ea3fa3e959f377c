"""What people have said of the answers, and all of it to train from."""

from __future__ import annotations

import streamlit as st

from ui.calls import calls, client, later
from ui.parts import note, notices, ready, trouble
from ui.records import Label
from ui.wording import plain, shown

_SHOWN = 50


def main() -> None:
    """Draws the counts, the last judgements and the export."""
    st.title("Feedback")
    st.text(
        "What people said of the answers, kept as Haystack labels: how good they are, and what to train a reader with."
    )
    if not notices(ready()):
        return
    counts = calls().get(("accuracy",), client().accuracy, wait=0.5, fresh=10.0)
    if counts.problem:
        trouble(counts.problem, "accuracy")
        return
    if counts.value is None:
        st.status("Counting…")
        return
    first, second, third = st.columns(3)
    first.metric("Judgements", f"{counts.value.judgements:,}")
    second.metric("Right answers", _share(counts.value.answers))
    third.metric("Right passages", _share(counts.value.passages))
    if not counts.value.judgements:
        st.info("Nobody has judged an answer yet. The buttons stand under each answer.", icon=":material/school:")
        return
    st.download_button(
        "Export as SQuAD",
        lambda: later(client().squad()),
        file_name="feedback.squad.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
    )
    _labels()


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _labels() -> None:
    call = calls().get(("labels",), client().labels, wait=0.5, fresh=10.0)
    if call.problem:
        trouble(call.problem, "labels")
    elif call.value is None:
        st.status("Looking…")
    else:
        newest = list(reversed(call.value))
        st.header("The last ones")
        for label in newest[:_SHOWN]:
            _label(label)
        if len(newest) > _SHOWN:
            note(f"and {len(newest) - _SHOWN:,} older ones, which the export has too")


def _label(label: Label) -> None:
    with st.container(border=True):
        st.text(shown(label.question))
        icon = "check" if label.right_answer else "close"
        words = f"“{shown(label.answer)}”" if label.answer else "no answer in these documents"
        st.markdown(f":material/{icon}: {plain(words)}")
        verdict = "right" if label.right_answer else "wrong words" if label.right_passage else "wrong"
        note(" · ".join(part for part in (verdict, shown(label.name), label.created_at[:10]) if part))


main()
