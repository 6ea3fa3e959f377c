"""Word: paragraphs, tables, text boxes and notes in document order.

Reads the parts it needs straight from the checked archive. A general Word library would unpack and parse every part,
pictures included, and passes over content controls, text boxes, notes, and files in the strict variant of the format.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from lxml import etree

from qa_app.converters.archives import Archive, word_document
from qa_app.converters.composing import Flow
from qa_app.converters.extraction import Extraction, Meta, bounded
from qa_app.converters.registry import DOCX
from qa_app.converters.word_styles import HeadingLevels, attribute
from qa_app.errors import FileRejectedError

# Formatting, deleted and moved text, field codes, readings above ideographs, and the copy of a drawing for old readers.
_SKIPPED = frozenset(
    {"pPr", "rPr", "sectPr", "tblPr", "tblGrid", "trPr", "tcPr", "sdtPr", "rt", "Fallback"}
    | {"del", "moveFrom", "delText", "delInstrText", "instrText"}
)
_DECLARATIONS = re.compile(b"<!(?:DOCTYPE|ENTITY)")
_XML_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)")


def extract(data: bytes) -> Extraction:
    """Gives the text of ``data``; pages are where Word last put them, if it said so.

    Raises :class:`FileRejectedError`: ``corrupt``, ``encrypted``, ``archive_limit``, ``forbidden_content``,
    ``too_deep``, ``too_large``.
    """
    archive = Archive(data)
    main = word_document(archive.names)
    if main is None:
        raise FileRejectedError("corrupt", "the Word file has no document in it")
    folder = posixpath.dirname(main)
    walk = _Walk(HeadingLevels(_part(archive, f"{folder}/styles.xml")))
    document = _part(archive, main)
    assert document is not None
    walk.write_document(document)
    for kind in ("footnote", "endnote"):
        notes = _part(archive, f"{folder}/{kind}s.xml")
        if notes is not None:
            walk.write_notes(notes, kind)
    text, page_starts, headings = walk.flow.finish()
    return Extraction(
        text=text,
        media_type=DOCX.media_type,
        page_starts=page_starts,
        headings=headings,
        meta=_meta(_part(archive, "docProps/core.xml")),
    )


def _part(archive: Archive, name: str) -> Any | None:
    """Parses one part, or gives None where the archive has none of that name."""
    try:
        data = archive.read(name)
    except KeyError:
        return None
    _refuse_declarations(data, name)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        message = str(error)
        if parser.error_log and parser.error_log[0].type == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        if "depth" in message:
            raise FileRejectedError("too_deep", f"{name} inside the file is nested more than 255 deep") from error
        if "XML_PARSE_HUGE" in message:
            raise FileRejectedError("too_large", f"one piece of {name} inside the file is over 10 MB") from error
        raise FileRejectedError("corrupt", f"{name} inside the file is not well-formed ({message[:200]})") from error


def _refuse_declarations(data: bytes, name: str) -> None:
    # In any other encoding the search below would see nothing, and Office knows no other.
    declared = _XML_ENCODING.search(data[:400])
    if declared and declared.group(1).lower() not in {b"utf-8", b"utf-16", b"us-ascii"}:
        raise FileRejectedError("forbidden_content", f"{name} inside the file is in an encoding Office does not use")
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
        data = data.replace(b"\0", b"")
    if not data.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<"):
        raise FileRejectedError("corrupt", f"{name} inside the file is not XML")
    if _DECLARATIONS.search(data):
        raise FileRejectedError(
            "forbidden_content", f"{name} inside the file declares entities; they are never expanded"
        )


def _meta(core: Any | None) -> Meta:
    found: dict[object, object] = {}
    if core is not None:
        for element in core:
            name, text = _local(element), (element.text or "").strip()
            if name == "title":
                found["title"] = text
            elif name == "creator":
                found["author"] = text
            elif name == "created" and re.match(r"\d{4}-\d\d-\d\d", text):
                found["created"] = text[:10]
    return bounded(found)


def _local(element: Any) -> str:
    """Gives a tag without its namespace, which differs between the two variants of the format."""
    return str(element.tag).rpartition("}")[2]


def _child(element: Any, name: str) -> Any | None:
    return next((child for child in element if _local(child) == name), None)


def _is_on(properties: Any | None, name: str) -> bool:
    """Whether a switch such as hidden text is on: present, and not said to be off."""
    switch = None if properties is None else _child(properties, name)
    return switch is not None and attribute(switch) not in {"0", "false", "off"}


class _Walk:
    """Writes the text below an element to a flow; without recursion, since tables and boxes nest."""

    def __init__(self, levels: HeadingLevels) -> None:
        self.flow = Flow()
        self._levels = levels
        self._rows: list[int] = []
        self._cells: list[int] = []
        self._heading: Any | None = None
        self._next_section: dict[Any, Any] = {}
        self._begin: dict[str, Callable[[Any], None]] = {
            "p": self._begin_paragraph,
            "tbl": self._block,
            "tr": self._begin_row,
            "tc": self._begin_cell,
            "t": lambda element: self.flow.text(element.text or ""),
            "tab": lambda _: self.flow.text("\t"),
            "noBreakHyphen": lambda _: self.flow.text("-"),
            "sym": self._symbol,
            "cr": lambda _: self.flow.text("\n"),
            "br": self._break,
            "lastRenderedPageBreak": lambda _: self._page_seen(),
        }
        self._end: dict[str, Callable[[Any], None]] = {
            "p": self._end_paragraph,
            "tbl": self._block,
            "tr": self._end_row,
        }

    def write_document(self, document: Any) -> None:
        """Writes the body, with pages beginning at sections that ask for it."""
        sections = [section for section in document.iter("{*}sectPr") if _local(section.getparent()) != "sectPrChange"]
        # A section's properties stand at its end and say how it began, so a break depends on the section that follows.
        self._next_section = dict(pairwise(sections))
        self.write(document)

    def write(self, top: Any) -> None:
        """Writes everything below ``top``."""
        events = etree.iterwalk(top, events=("start", "end"))
        for event, element in events:
            name = _local(element)
            skipped = name in _SKIPPED or (name == "r" and _is_on(_child(element, "rPr"), "vanish"))
            if event == "end":
                if name in self._end and not skipped:
                    self._end[name](element)
            elif skipped:
                events.skip_subtree()
            elif name in self._begin:
                self._begin[name](element)

    def write_notes(self, notes: Any, kind: str) -> None:
        """Writes foot- or endnotes, without the rulers Word keeps among them."""
        for note in notes:
            if _local(note) == kind and attribute(note, "type") in {None, "normal"}:
                self.flow.block()
                self.write(note)

    def _block(self, _: Any) -> None:
        self.flow.block()

    def _begin_paragraph(self, element: Any) -> None:
        properties = _child(element, "pPr")
        in_list = properties is not None and _child(properties, "numPr") is not None
        self.flow.block(1 if in_list or self._rows else 2)
        if _is_on(properties, "pageBreakBefore"):
            self._page_seen()
        level = self._levels.of(properties)
        if level is not None and self._heading is None:
            self._heading = element
            self.flow.open_heading(level)

    def _end_paragraph(self, element: Any) -> None:
        if self._heading is element:
            self.flow.close_heading()
            self._heading = None
            self.flow.block()
        properties = _child(element, "pPr")
        section = self._next_section.get(None if properties is None else _child(properties, "sectPr"))
        if section is not None:
            kind = _child(section, "type")
            if kind is None or attribute(kind) not in {"continuous", "nextColumn"}:
                self.flow.page_break()
        in_list = properties is not None and _child(properties, "numPr") is not None
        self.flow.block(1 if in_list or self._rows else 2)

    def _begin_row(self, _: Any) -> None:
        self.flow.begin_row()
        self._rows.append(self.flow.length)
        self._cells.append(0)

    def _end_row(self, _: Any) -> None:
        self.flow.end_row()
        self._rows.pop()
        self._cells.pop()

    def _begin_cell(self, _: Any) -> None:
        if self._rows:
            if self._cells[-1]:
                self.flow.next_cell(self._rows[-1])
            self._cells[-1] += 1

    def _symbol(self, element: Any) -> None:
        try:
            code = int(attribute(element, "char") or "0", 16)
        except ValueError:
            return
        # Symbol fonts live in the private area, where a code point means nothing without its font.
        if 0x20 <= code < 0xD800:
            self.flow.text(chr(code))

    def _break(self, element: Any) -> None:
        if attribute(element, "type") == "page":
            self.flow.page_break()
            self.flow.line_break()
        else:
            self.flow.text("\n")

    def _page_seen(self) -> None:
        # Word notes the same break twice: where it was asked for, and where the new page began when last laid out.
        if self.flow.page_has_text:
            self.flow.page_break()
