"""Builds running text out of blocks, inline pieces and table cells, and knows where each heading and page begins."""

from __future__ import annotations

import re

from qa_app.converters.extraction import Heading, heading_title, normalise

# What HTML collapses; a no-break space is a character like any other.
_SPACES = re.compile(r"[ \t\n\r\f]+")


class Flow:
    """Text under construction.

    Breaks are remembered and written only when text follows, so nothing begins or ends with an empty line and offsets
    are final as soon as they are counted.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._gap = 0
        self._cells = 0
        self._space = False
        self._mark = ""
        self._breaks = 0
        self._page_has_text = False
        self._page_starts: list[int] = []
        self._headings: list[Heading] = []
        self._heading: tuple[int, int] | None = None
        self._heading_start = 0

    @property
    def length(self) -> int:
        """Code points written so far."""
        return self._length

    @property
    def page_has_text(self) -> bool:
        """Whether anything was written since the last page break."""
        return self._page_has_text

    def text(self, piece: str) -> None:
        """Writes ``piece`` as it is."""
        piece = normalise(piece)
        if piece:
            if self._space and self._mid_line():
                piece = " " + piece
            self._space = False
            self._write(piece)

    def words(self, piece: str) -> None:
        """Writes ``piece`` the way a browser does: runs of white space are one space, none at the ends of a line."""
        if not piece:
            return
        piece = _SPACES.sub(" ", normalise(piece))
        core = piece.strip(" ")
        if not core:
            self._space = True
            return
        if (self._space or piece[0] == " ") and self._mid_line():
            core = " " + core
        self._space = piece[-1] == " "
        self._write(core)

    def block(self, lines: int = 2) -> None:
        """Starts a new line, with ``lines`` - 1 empty ones before it, unless a cell has just begun."""
        self._space = False
        if self._length and not self._cells:
            self._gap = max(self._gap, lines)

    def line_break(self) -> None:
        """Ends the line; several in a row make one empty line."""
        self._space = False
        if self._length and not self._cells:
            self._gap = min(self._gap + 1, 2)

    def start_line(self, mark: str) -> None:
        """Puts a list mark before whatever is written next; an empty one takes it back."""
        self._mark = mark

    def begin_row(self) -> None:
        """Begins a table row."""
        self._cells = 0
        self.block(1)

    def end_row(self) -> None:
        """Ends a table row; the next one follows without an empty line, whatever was in the last cell."""
        self._cells = 0
        self._space = False
        self._gap = 1 if self._length else 0

    def next_cell(self, row_start: int) -> None:
        """Begins another cell of the row that began at ``row_start``."""
        self._space = False
        if self._length > row_start:
            self._gap = 0
        self._cells += 1

    def page_break(self) -> None:
        """Begins a page with whatever is written next."""
        self._breaks += 1
        self._page_has_text = False

    def open_heading(self, level: int) -> None:
        """Makes what is written until :meth:`close_heading` a heading."""
        self._heading = (level, 0)
        self._heading_start = -1

    def close_heading(self) -> None:
        """Ends the heading; one without words is none."""
        if self._heading is None:
            return
        level, first = self._heading
        self._heading = None
        if self._heading_start >= 0:
            written = "".join(self._parts[first:])
            title = heading_title(written)
            if title:
                self._headings.append(Heading(self._heading_start, level, title))

    def finish(self) -> tuple[str, tuple[int, ...], tuple[Heading, ...]]:
        """Gives text, page starts (empty when no page ever broke) and headings."""
        pages = (0, *self._page_starts) if self._page_starts else ()
        return "".join(self._parts), pages, tuple(self._headings)

    def _mid_line(self) -> bool:
        return self._length > 0 and not self._gap and not self._cells and not self._parts[-1].endswith(("\n", " "))

    def _write(self, piece: str) -> None:
        lead = "\n" * self._gap
        if self._cells:
            joined = " |" * self._cells + " "
            lead += joined.lstrip() if self._gap or not self._length else joined
        self._gap = self._cells = 0
        if lead:
            self._append(lead)
        if self._breaks:
            self._page_starts.extend([self._length] * self._breaks)
            self._breaks = 0
        if self._mark:
            self._append(self._mark)
            self._mark = ""
        if self._heading is not None and self._heading_start < 0 and piece.strip():
            self._heading = (self._heading[0], len(self._parts))
            self._heading_start = self._length + len(piece) - len(piece.lstrip())
        self._append(piece)
        self._page_has_text = True

    def _append(self, piece: str) -> None:
        self._parts.append(piece)
        self._length += len(piece)
