"""Markdown: what CommonMark would show, as plain text, with front matter as metadata."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from qa_app.converters.composing import Flow
from qa_app.converters.decoding import decode
from qa_app.converters.extraction import Extraction, Meta, bounded
from qa_app.converters.registry import MARKDOWN
from qa_app.errors import FileRejectedError

# The parser recurses once per level of quotes and lists, and leaves out what is nested deeper.
_MAX_NESTING = 100
# PyYAML takes time in the square of the brackets that are open.
_MAX_FRONT_MATTER = 16384
_MAX_BRACKETS = 200


def extract(data: bytes) -> Extraction:
    """Gives the text of ``data`` without markup; raises :class:`FileRejectedError`: ``encoding``, ``too_deep``."""
    source, encoding = decode(data)
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    parser.use(front_matter_plugin)
    try:
        tokens = parser.parse(source)
    except RecursionError as error:
        raise _too_deep() from error
    if any(token.nesting == 1 and token.level + 1 >= _MAX_NESTING for token in tokens):
        raise _too_deep()
    flow = Flow()
    meta: Meta = {}
    if tokens and tokens[0].type == "front_matter":
        meta = _front_matter(tokens[0].content)
    _compose(tokens, flow)
    text, _, headings = flow.finish()
    return Extraction(text=text, media_type=MARKDOWN.media_type, headings=headings, encoding=encoding, meta=meta)


def _too_deep() -> FileRejectedError:
    return FileRejectedError("too_deep", "quotes or lists are nested more than about 50 deep")


def _compose(tokens: Sequence[Token], flow: Flow) -> None:
    numbers: list[int | None] = []
    row_start = cells = 0
    for token in tokens:
        kind = token.type
        if kind == "heading_open":
            flow.block()
            flow.open_heading(int(token.tag[1:]))
        elif kind == "heading_close":
            flow.close_heading()
            flow.block()
        elif kind in {"paragraph_open", "paragraph_close"}:
            flow.block(1 if token.hidden else 2)
        elif kind in {"bullet_list_open", "ordered_list_open"}:
            flow.block(1 if numbers else 2)
            numbers.append(int(token.attrs.get("start", 1)) if kind == "ordered_list_open" else None)
        elif kind in {"bullet_list_close", "ordered_list_close"}:
            numbers.pop()
            flow.start_line("")
            flow.block(1 if numbers else 2)
        elif kind == "list_item_open":
            flow.block(1)
            if numbers[-1] is not None:
                # Steps are referred to by their number; bullets carry nothing.
                flow.start_line(f"{numbers[-1]}. ")
                numbers[-1] += 1
        elif kind == "tr_open":
            flow.begin_row()
            row_start, cells = flow.length, 0
        elif kind == "tr_close":
            flow.end_row()
        elif kind in {"th_open", "td_open"}:
            if cells:
                flow.next_cell(row_start)
            cells += 1
        elif kind in {"table_open", "table_close", "blockquote_open", "blockquote_close", "hr"}:
            flow.block()
        elif kind in {"fence", "code_block"}:
            flow.block()
            flow.text(token.content.rstrip("\n"))
            flow.block()
        elif kind == "html_block":
            flow.block()
            flow.text(_visible(token.content))
            flow.block()
        elif kind == "inline":
            _compose_inline(token.children or (), flow)


def _compose_inline(tokens: Sequence[Token], flow: Flow) -> None:
    for token in tokens:
        if token.type in {"softbreak", "hardbreak"}:
            flow.text("\n")
        elif token.type == "html_inline":
            if token.content.lower().startswith("<br"):
                flow.text("\n")
        else:
            # An image's content is its alternative text; a link's text comes between tokens that have none.
            flow.text(token.content)


def _visible(fragment: str) -> str:
    # Late, because most Markdown holds no HTML blocks.
    from qa_app.converters.html import visible_text

    return visible_text(fragment)


def _front_matter(source: str) -> Meta:
    """Reads YAML front matter; whatever is wrong with it costs only the metadata."""
    if len(source) > _MAX_FRONT_MATTER or source.count("[") + source.count("{") > _MAX_BRACKETS:
        return {}
    try:
        # An alias can make a few lines expand to gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(source, yaml.SafeLoader)):
            return {}
        found = yaml.safe_load(source)
    except (yaml.YAMLError, ValueError, LookupError, RecursionError, OverflowError, TypeError, AttributeError):
        return {}
    if not isinstance(found, dict):
        return {}
    return bounded({key: _plain(value) for key, value in found.items()})


def _plain(value: object) -> object:
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(item) if isinstance(item, datetime.date) else item for item in value]
    return value
