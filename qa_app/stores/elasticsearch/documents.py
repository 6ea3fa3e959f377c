"""How a document is stored, and how a question becomes a search."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from haystack.schema import Document

from qa_app.stores.elasticsearch.tokens import tokens_of
from qa_app.stores.passage_store import MAX_QUERY_WORDS

#: What a document is made of again.
SOURCE = ["id", "content", "original", "meta", "id_hash_keys"]
#: Elasticsearch takes ids of up to 512 bytes.
_LONGEST_ID = 480


def _folds() -> dict[int, str | None]:
    folds: dict[int, str | None] = dict.fromkeys(range(0x0300, 0x0370))
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        parts = unicodedata.normalize("NFD", chr(code))
        if len(parts) > 1 and parts[0].isascii():
            folds[code] = parts[0]
    return folds


_FOLDS = _folds()


def folded(text: str) -> str:
    """The text with Latin letters without their accents, as the embedded store compares words too."""
    return text if text.isascii() else text.translate(_FOLDS)


def key_of(id: str) -> str:
    """The key under which Elasticsearch keeps the document or file with this id."""
    key = f"d:{id}"
    return key if len(key.encode()) <= _LONGEST_ID else f"h:{hashlib.sha256(id.encode()).hexdigest()}"


def source_of(document: Document, version: Sequence[str], file_id: object = None) -> dict[str, Any]:
    """What Elasticsearch keeps of a document; ``version`` are its write and its version."""
    words = folded(document.content)
    source = {
        "id": document.id,
        "content": words,
        "meta": document.meta,
        "fields": tokens_of(document.meta),
        "version": list(version),
    }
    if words != document.content:
        source["original"] = document.content
    if document.id_hash_keys is not None:
        source["id_hash_keys"] = document.id_hash_keys
    if file_id is None:
        file_id = document.meta.get("file_id")
    if isinstance(file_id, str):
        source["file_id"] = file_id
    return source


def document_of(source: Mapping[str, Any]) -> Document:
    """The document as it was written."""
    return Document(
        id=source["id"],
        content=source.get("original", source["content"]),
        meta=source["meta"],
        id_hash_keys=source.get("id_hash_keys"),
    )


_WORD = re.compile(r"[^\W_]+")
#: Scripts of which every character may become a word of its own.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff"
    r"\U00020000-\U0003ffff]"
)
#: The analyzer cuts longer words to pieces.
_LONGEST_WORD = 255


def question_words(query: str) -> str:
    """The distinct words of a question, accents folded, cut to what makes at most about MAX_QUERY_WORDS clauses."""
    kept: dict[str, str] = {}
    room = MAX_QUERY_WORDS
    for word in folded(query).split():
        if word.lower() in kept:
            continue
        clauses = sum(1 + len(part) // _LONGEST_WORD for part in _WORD.findall(word)) + len(_UNSPACED.findall(word))
        if clauses > room:
            # A long run without spaces; so many characters cannot make more clauses.
            kept[word.lower()] = word[:room]
            break
        kept[word.lower()] = word
        room -= clauses
    return " ".join(kept.values())


def match(query: str, every_word: bool) -> dict[str, Any]:
    """The search for a question's words."""
    return {"match": {"content": {"query": question_words(query), "operator": "and" if every_word else "or"}}}
