"""The names of uploaded files, as people see them; on the disk, files have names of ours."""

from __future__ import annotations

import re
import unicodedata

_NAME_BYTES = 255
# Controls, halves of surrogate pairs and line ends; and what reorders the text around it.
_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def cleaned(name: str) -> str:
    """A file's name for people: its last part, on one line, of at most 255 bytes; never empty."""
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(c for c in last if c not in _BIDI and unicodedata.category(c) not in _UNSHOWN).strip()
    if len(shown.encode()) > _NAME_BYTES:
        # The end of a name says more of a file's kind than its middle.
        stem, dot, suffix = shown.rpartition(".")
        end = f"{dot}{suffix}" if len(suffix) <= 8 else ""
        kept = (stem if end else shown).encode()[: _NAME_BYTES - len(end.encode())]
        shown = (kept.decode("utf-8", "ignore") + end).strip()
    # A name of dots, or of what only changes other characters, would look like none.
    return shown if any(c != "." and unicodedata.category(c)[0] in "LNSP" for c in shown) else "document"
