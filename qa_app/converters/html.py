"""HTML: the visible text, the way a browser would lay it out in lines."""

from __future__ import annotations

import codecs
import re
from typing import Any

from lxml import etree

from qa_app.converters.composing import Flow
from qa_app.converters.decoding import decode, marked_encoding, zero_byte_encoding
from qa_app.converters.extraction import Extraction, Meta, bounded, normalise
from qa_app.converters.registry import HTML
from qa_app.errors import FileRejectedError

_SILENT = frozenset({"script", "style", "template", "noscript", "iframe", "svg", "head"})
_AROUND = frozenset({"nav", "footer", "aside"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_PARAGRAPHS = frozenset({"p", "blockquote", "pre", "table", "figure", "hr", "section", "article", "dl", *_HEADINGS})
_LINES = frozenset(
    {"address", "body", "caption", "center", "dd", "details", "dialog", "div", "dt", "fieldset", "figcaption", "footer"}
    | {"form", "header", "hgroup", "legend", "li", "main", "menu", "nav", "aside", "ol", "option", "search", "summary"}
    | {"tbody", "tfoot", "thead", "ul"}
)

_CHARSET = re.compile(rb"<meta\s[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.+-]{2,40})", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
# Where a page must declare its encoding, and some room for those that are late.
_CHARSET_WITHIN = 4096
# Python also registers codecs that unpack or execute; only those that are encodings of the web may be named by a file.
_WEB_CODECS = frozenset(
    {"big5", "big5hkscs", "cp866", "cp874", "cp932", "cp949", "euc_jp", "euc_kr", "gb18030", "iso2022_jp", "shift_jis"}
    | {"koi8-r", "koi8-u", "mac-roman", "utf-8"}
    | {f"cp{page}" for page in range(1250, 1259)}
    | {f"iso8859-{part}" for part in range(2, 17)}
)
# What pages call by the first name is in practice the second, which holds it.
_REALLY = {"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030"}


def extract(data: bytes) -> Extraction:
    """Gives the visible text of ``data``.

    Where there is one ``main`` or one ``article``, that is the text; where there are several, navigation, footers and
    asides are left out. Raises :class:`FileRejectedError`: ``encoding``, ``too_deep``, ``too_large``.
    """
    source, encoding = _decode(data)
    root = _parse(source)
    flow = Flow()
    meta: Meta = {}
    if root is not None:
        meta = _meta(root)
        top, silent = _content(root)
        _walk(top, silent, flow)
        if flow.length == 0 and top is not root:
            _walk(root, _SILENT, flow)
    text, _, headings = flow.finish()
    return Extraction(text=text, media_type=HTML.media_type, headings=headings, encoding=encoding, meta=meta)


def visible_text(source: str) -> str:
    """Gives the visible text of a fragment of HTML; raises as :func:`extract`."""
    root = _parse(source)
    flow = Flow()
    if root is not None:
        _walk(root, _SILENT, flow)
    return flow.finish()[0]


def _decode(data: bytes) -> tuple[str, str]:
    declared = _CHARSET.search(data[:_CHARSET_WITHIN])
    if declared and marked_encoding(data) is None and zero_byte_encoding(data) is None and not _is_utf8(data):
        try:
            codec = codecs.lookup(declared.group(1).decode("ascii")).name
            codec = _REALLY.get(codec, codec)
            if codec in _WEB_CODECS:
                return normalise(data.decode(codec)), codec
        except (LookupError, UnicodeDecodeError):
            pass  # a page may be wrong about itself
    return decode(data)


def _is_utf8(data: bytes) -> bool:
    # Text in another encoding is never valid UTF-8 by chance, so pages that declare otherwise are mistaken. Pure ASCII
    # says nothing: some encodings consist of it.
    if data.isascii():
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _parse(source: str) -> Any:
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(source.encode("utf-8"), parser)
    except etree.XMLSyntaxError:
        root = None
    except UnicodeEncodeError as error:
        raise FileRejectedError(
            "encoding", "the page holds halves of surrogate pairs; they are no characters"
        ) from error
    for entry in parser.error_log:
        # Everything else libxml2 mends; at its limits it drops the rest, which must not go unnoticed.
        if entry.type == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError
        if entry.level == etree.ErrorLevels.FATAL:
            if "depth" in entry.message:
                raise FileRejectedError("too_deep", "the page's elements are nested more than 255 deep")
            raise FileRejectedError("too_large", "one piece of the page is over 10 MB; split it")
    return root


def _meta(root: Any) -> Meta:
    found: dict[object, object] = {}
    for element in root.iterfind("head/*"):
        if element.tag == "title":
            found.setdefault("title", " ".join((element.text or "").split()))
        elif element.tag == "meta":
            name = (element.get("name") or element.get("property") or "").lower()
            content = element.get("content") or ""
            if name in {"author", "description"}:
                found.setdefault(name, content)
            elif name in {"date", "article:published_time", "dcterms.created"} and re.match(
                r"\d{4}-\d\d-\d\d", content
            ):
                found.setdefault("created", content[:10])
    return bounded(found)


def _content(root: Any) -> tuple[Any, frozenset[str]]:
    """Gives the element that holds the page's own text, and the tags to leave out of it."""
    mains = [element for element in root.iter("main") if element.get("hidden") is None]
    articles = [element for element in root.iter("article") if next(element.iterancestors("article"), None) is None]
    for candidates in (mains, articles):
        if len(candidates) == 1:
            return candidates[0], _SILENT | _AROUND
    return root, _SILENT | _AROUND if mains or articles else _SILENT


def _walk(top: Any, silent: frozenset[str], flow: Flow) -> None:
    """Writes the text below ``top`` to ``flow``; without recursion, since pages may be nested hundreds deep."""
    rows: list[int] = []
    cells: list[int] = []
    preformatted = 0
    events = etree.iterwalk(top, events=("start", "end"))
    for event, element in events:
        tag = element.tag
        dropped = tag in silent or element.get("hidden") is not None
        if event == "start":
            if dropped:
                events.skip_subtree()
                continue
            _begin(tag, flow, rows, cells)
            preformatted += tag == "pre"
            _write(element.text, preformatted, flow)
            continue
        if not dropped:
            preformatted -= tag == "pre"
            _end(tag, flow, rows, cells)
        if element is not top:
            _write(element.tail, preformatted, flow)


def _write(piece: str | None, preformatted: int, flow: Flow) -> None:
    if piece:
        flow.text(piece) if preformatted else flow.words(piece)


def _begin(tag: str, flow: Flow, rows: list[int], cells: list[int]) -> None:
    if tag == "br":
        flow.line_break()
    elif tag == "tr":
        flow.begin_row()
        rows.append(flow.length)
        cells.append(0)
    elif tag in {"td", "th"}:
        if rows and cells[-1]:
            flow.next_cell(rows[-1])
        if rows:
            cells[-1] += 1
    else:
        # The first block of a row begins where the row does.
        if not rows or flow.length > rows[-1]:
            _break_around(tag, flow)
        if tag in _HEADINGS:
            flow.open_heading(_HEADINGS[tag])


def _end(tag: str, flow: Flow, rows: list[int], cells: list[int]) -> None:
    if tag == "tr":
        flow.end_row()
        rows.pop()
        cells.pop()
    else:
        if tag in _HEADINGS:
            flow.close_heading()
        _break_around(tag, flow)


def _break_around(tag: str, flow: Flow) -> None:
    if tag in _PARAGRAPHS:
        flow.block()
    elif tag in _LINES:
        flow.block(1)
