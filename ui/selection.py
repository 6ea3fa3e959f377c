"""Choosing words of a passage with the mouse, the keyboard or a finger."""

from __future__ import annotations

from typing import Any

import streamlit as st

_HTML = """
<label class="label" for="words">Select the right words, then press the button.</label>
<textarea id="words" aria-readonly="true" inputmode="none" spellcheck="false" rows="7"></textarea>
<button type="button">Use the selected words</button>
<span role="status"></span>
"""
_CSS = """
.label { display: block; margin-bottom: 0.4rem; font-family: var(--st-font); color: var(--st-text-color); }
textarea { width: 100%; box-sizing: border-box; padding: 0.6rem; font: inherit; font-family: var(--st-font);
  line-height: 1.5; color: var(--st-text-color); background: var(--st-secondary-background-color);
  border: 1px solid var(--st-text-color); border-radius: 0.5rem; }
button { margin-top: 0.4rem; padding: 0.5rem 0.9rem; font: inherit; font-family: var(--st-font); cursor: pointer;
  color: var(--st-text-color); background: var(--st-background-color); border: 1px solid var(--st-text-color);
  border-radius: 0.5rem; }
span { margin-left: 0.6rem; font-family: var(--st-font); color: var(--st-text-color); }
button:focus-visible, textarea:focus-visible { outline: 3px solid var(--st-primary-color); }
"""
# Python counts code points, a browser UTF-16 units. In a box that is read-only no key moves the selection; this one
# takes keys and no change.
_JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const area = parentElement.querySelector("textarea");
  if (area.value !== data.text) area.value = data.text;
  area.onbeforeinput = (event) => event.preventDefault();
  const told = parentElement.querySelector("span");
  parentElement.querySelector("button").onclick = () => {
    told.textContent = area.selectionStart === area.selectionEnd ? "Select some words first." : "";
    if (told.textContent) return;
    const points = (end) => Array.from(area.value.slice(0, end)).length;
    setTriggerValue("words", { start: points(area.selectionStart), end: points(area.selectionEnd) });
  };
}
"""


def selection(text: str, key: str) -> tuple[int, int] | None:
    """The span of a text that the visitor has just chosen, in code points without blanks at its ends, or None."""
    # Registered at every run, since Streamlit forgets components with its runtime; the name is ours alone.
    chosen: Any = st.components.v2.component("qa_app_selection", html=_HTML, css=_CSS, js=_JS)(
        key=key,
        # A text box has one kind of line end, so that the two texts are of one length.
        data={"text": text.replace("\r\n", " \n").replace("\r", "\n")},
        on_words_change=lambda: None,
    ).words
    if not isinstance(chosen, dict):
        return None
    start, end = int(chosen["start"]), int(chosen["end"])
    words = text[start:end]
    start += len(words) - len(words.lstrip())
    end = start + len(words.strip())
    return (start, end) if 0 <= start < end <= len(text) else None
