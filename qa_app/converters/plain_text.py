"""Plain text: the bytes decoded, form feeds as pages, underlined or lone short lines as headings."""

from __future__ import annotations

import re
from itertools import chain

from qa_app.converters.decoding import decode
from qa_app.converters.extraction import Extraction, Heading, heading_title
from qa_app.converters.registry import TEXT

# A line of its own after an empty line, and under it a line of = or -.
_UNDERLINED = re.compile(r"(?:\A|\n[ \t]*\n|\f)([^\n\f]{1,120})\n(={3,}|-{3,})[ \t]*(?=\n|\Z)")

# A line of its own that ends like no sentence, over a line of running text. Without an empty line between, it must be
# so short that it is not the first line of a wrapped paragraph. The text's first line is looked at apart, because what
# can stand anywhere is tried everywhere, and what begins with one of two characters only there.
_LINE = (
    r"[ \t]*([^\W_a-z](?:[^\n\f]{0,79}(?<![.,;:!?])(?=\n[ \t]*\n)|[^\n\f]{0,44}(?<![.,;:!?])(?=\n)))"
    r"\n\s*(?=[^\n\f]{60})"
)
_FIRST_LONE = re.compile(_LINE)
_LONE = re.compile(rf"[\n\f](?:(?<=\f)|(?<=\n)[ \t]*\n){_LINE}")


def extract(data: bytes) -> Extraction:
    """Gives the text of ``data``; raises :class:`FileRejectedError` ``encoding``."""
    text, encoding = decode(data)
    return Extraction(
        text=text,
        media_type=TEXT.media_type,
        page_starts=_page_starts(text),
        headings=tuple(_headings(text)),
        encoding=encoding,
    )


def _page_starts(text: str) -> tuple[int, ...]:
    starts = [0, *(feed.end() for feed in re.finditer("\f", text))]
    # Printers' habit is to end the last page with a form feed too.
    if len(starts) > 1 and not text[starts[-1] :].strip():
        starts.pop()
    return tuple(starts) if len(starts) > 1 else ()


def _headings(text: str) -> list[Heading]:
    found = []
    for match in _UNDERLINED.finditer(text) if "===" in text or "---" in text else ():
        line, rule = match.group(1), match.group(2)
        title = line.strip()
        # A rule much longer or shorter than the line above separates; it does not underline.
        if title and any(char.isalnum() for char in title) and abs(len(title) - len(rule)) <= 2:
            start = match.start(1) + len(line) - len(line.lstrip())
            found.append(Heading(start, 1 if rule[0] == "=" else 2, heading_title(title)))
    known = {heading.start for heading in found}
    first = _FIRST_LONE.match(text)
    for match in chain([first] if first else [], _LONE.finditer(text, first.end() if first else 0)):
        if match.start(1) not in known and len(match.group(1).split()) <= 12:
            found.append(Heading(match.start(1), 1 if match.start(1) == 0 else 2, heading_title(match.group(1))))
    return sorted(found, key=lambda heading: heading.start)
