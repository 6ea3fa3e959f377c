"""The indexes of a store: their mappings, names, creation and removal.

An index of documents is three of Elasticsearch: ``NAME`` with the passages, ``NAME.files`` with what is known of the
files, ``NAME.journal`` with the one document that says which passages count. These names are aliases of
``NAME-000001`` and so on, so that an index rebuilt by other means can take a name over in one step. Writes go through
a second alias that bears the index's incarnation: a writer never writes into an index that was deleted and made anew
meanwhile, and Elasticsearch never makes one by itself with a mapping of its guess.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qa_app.errors import InvalidRequestError, SettingsError, StoreError, StoreUnavailableError
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.errors import IndexGoneError, of_answer

MADE_BY = "qa_app"
SCHEMA = 1

# What Elasticsearch takes for several indexes, or for none.
_PATTERN = re.compile(r"^[-_+.<]|[*?,\s#:\\/\"<>|]|^$")
_WORD = {"type": "keyword"}
_KEPT = {"type": "keyword", "index": False, "doc_values": False}
_VERBATIM = {"type": "object", "enabled": False}
_PROPERTIES: dict[str, dict[str, Any]] = {
    "documents": {
        "id": _WORD,
        # Positions would serve phrases, which are never asked for.
        "content": {"type": "text", "analyzer": "english", "index_options": "freqs"},
        "original": _KEPT,
        "meta": _VERBATIM,
        "id_hash_keys": _KEPT,
        "fields": _WORD,
        "file_id": _WORD,
        "version": _WORD,
    },
    "files": {
        "id": _WORD,
        "meta": _VERBATIM,
        "text": _KEPT,
        "version": _WORD,
        "passages": {"type": "long"},
        "replaced": _VERBATIM,
        "gone": {"type": "boolean"},
    },
    "journal": {"journal": _VERBATIM},
    "labels": {"id": _WORD, "body": _KEPT, "fields": _WORD, "sequence": {"type": "long"}},
}
_OF_DOCUMENTS = ("documents", "files", "journal")


@dataclass(frozen=True)
class Names:
    """What to read from and, with the incarnation, what to write to."""

    index: str
    incarnation: str

    @property
    def documents(self) -> str:
        return self.index

    @property
    def files(self) -> str:
        return f"{self.index}.files"

    @property
    def journal(self) -> str:
        return f"{self.index}.journal"

    def writing(self, name: str) -> str:
        """The alias for writes of one of the names above."""
        return f"{name}.{self.incarnation}"


class Indexes:
    """The indexes on one server, remembered once seen."""

    def __init__(self, connection: Connection, shards: int, replicas: int) -> None:
        self._connection = connection
        self._shards = shards
        self._replicas = replicas
        self._known: dict[tuple[str, str], Names] = {}

    def find(self, index: str, kind: str = "documents") -> Names | None:
        """The index, None where it was never made; raises SettingsError where another program made it."""
        known = self._known.get((kind, index))
        if known is None:
            found = self._look(index, kind)
            if len(found) < len(_parts(kind)):
                return None
            known = self._remember(index, kind, found)
        return known

    def look_again(self, names: Names) -> Names | None:
        """The index after it was found missing: None, or what was made in its place; raises IndexGoneError."""
        self._known.pop(("documents", names.index), None)
        try:
            return self.find(names.index)
        except SettingsError as error:
            raise IndexGoneError(f"index {names.index} is gone from {self._connection.url}, and {error}") from error
        finally:
            # Still known as one that was there, so that its loss is not taken for an empty index.
            self._known.setdefault(("documents", names.index), names)

    def ensure(self, index: str, kind: str = "documents") -> Names:
        """The index, made where it is not there."""
        known = self._known.get((kind, index))
        if known is not None:
            return known
        deadline = time.monotonic() + self._connection.timeout
        incarnation = secrets.token_hex(4)
        while True:
            found = self._look(index, kind)
            missing = [part for part in _parts(kind) if part not in found]
            if not missing:
                return self._remember(index, kind, found)
            if time.monotonic() > deadline:
                raise StoreUnavailableError(f"index {index} could not be made within {self._connection.timeout:g} s")
            # Whoever makes the first part gives the incarnation; killed in between, the next one completes it.
            mine = next(iter(found.values()))["incarnation"] if found else incarnation
            # Completed with empty parts, what is left of an index would tell of files whose passages are not there.
            left = [_public(index, part) for part in found]
            if mine != incarnation and self._hold_anything(left) and self._look(index, kind).keys() == found.keys():
                raise IndexGoneError(f"a part of index {index} is gone; empty the index and ingest the documents again")
            self._create(index, missing[0], mine)

    def forget(self, index: str, kind: str = "documents") -> None:
        """The next write looks again, and makes the index where it is gone."""
        self._known.pop((kind, index), None)

    def delete(self, index: str) -> bool:
        """Removes the index of documents and the index of labels of this name; whether there was anything of them."""
        doomed: list[str] = []
        for kind in ("documents", "labels"):
            self.forget(index, kind)
        mappings = self._mappings([_public(index, part) for part in _OF_DOCUMENTS])
        for concrete, meta in mappings.items():
            _check_ours(concrete, meta, index)
            doomed.append(concrete)
        if doomed:
            # All in one request, which Elasticsearch carries out as one step.
            self._connection.call(self._connection.client.indices.delete, index=doomed, ignore_unavailable=True)
        return bool(doomed)

    def names(self) -> list[str]:
        """The names of all indexes of documents that are ours."""
        answer = self._connection.call(
            self._connection.client.indices.get_mapping, index="*", filter_path="*.mappings._meta"
        )
        metas = [found["mappings"]["_meta"] for found in answer.body.values()]
        ours = [meta for meta in metas if meta.get("made_by") == MADE_BY and meta.get("kind") == "documents"]
        return sorted(meta["index"] for meta in ours)

    def _look(self, index: str, kind: str) -> dict[str, Mapping[str, Any]]:
        """The parts that are there, by kind; raises where one is not ours, of another kind or too new."""
        if _PATTERN.search(index):
            raise InvalidRequestError(f"{index[:80]!r} is no name of an index; use letters, digits, _ and -")
        found = {}
        for concrete, meta in self._mappings([_public(index, part) for part in _parts(kind)]).items():
            _check_ours(concrete, meta, index)
            if meta["kind"] not in _parts(kind):
                raise SettingsError(f"index {index} holds {meta['kind']}, not {kind}; choose another name")
            found[meta["kind"]] = meta
        return found

    def _hold_anything(self, names: list[str]) -> bool:
        answer = self._connection.call(self._connection.client.count, index=names, ignore_unavailable=True)
        return bool(answer.body["count"])

    def _mappings(self, names: list[str]) -> dict[str, Mapping[str, Any]]:
        answer = self._connection.call(
            self._connection.client.indices.get_mapping, index=names, ignore_unavailable=True, allow_no_indices=True
        )
        return {concrete: found["mappings"].get("_meta", {}) for concrete, found in answer.body.items()}

    def _create(self, index: str, kind: str, incarnation: str) -> None:
        name = _public(index, kind)
        settings: dict[str, Any] = {
            "number_of_shards": self._shards if kind in ("documents", "files") else 1,
            "number_of_replicas": self._replicas,
            # We refresh at the end of what belongs together; this is for what a killed writer left.
            "refresh_interval": "30s",
        }
        meta = {"made_by": MADE_BY, "schema": SCHEMA, "kind": kind, "index": index, "incarnation": incarnation}
        answer = self._connection.call(
            self._connection.client.options(ignore_status=400).indices.create,
            index=f"{name}-000001",
            aliases={name: {}, f"{name}.{incarnation}": {}},
            settings=settings,
            mappings={"_meta": meta, "dynamic": "strict", "properties": _PROPERTIES[kind]},
        )
        error = answer.body.get("error")
        if error and error["type"] == "resource_already_exists_exception":
            # Another process was first, or an index of this name has lost its alias.
            other = self._mappings([f"{name}-000001"]).get(f"{name}-000001")
            if other is not None:
                _check_ours(f"{name}-000001", other, index)
            time.sleep(0.05)
        elif error:
            raise of_answer(self._connection.url, 400, error["type"], str(error.get("reason", "")))

    def _remember(self, index: str, kind: str, found: Mapping[str, Mapping[str, Any]]) -> Names:
        names = Names(index, str(found[kind]["incarnation"]))
        self._known[kind, index] = names
        return names


def _parts(kind: str) -> tuple[str, ...]:
    return _OF_DOCUMENTS if kind == "documents" else (kind,)


def _public(index: str, kind: str) -> str:
    return index if kind in ("documents", "labels") else f"{index}.{kind}"


def _check_ours(concrete: str, meta: Mapping[str, Any], index: str) -> None:
    if meta.get("made_by") != MADE_BY:
        raise SettingsError(
            f"index {concrete} exists and was not made by this application; choose another name than {index}, "
            "or remove that index"
        )
    if meta.get("schema", 0) > SCHEMA:
        raise StoreError(
            f"index {concrete} was written by a newer qa_app (schema {meta['schema']}, this one knows {SCHEMA}); "
            "upgrade"
        )
