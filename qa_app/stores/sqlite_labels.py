"""People's judgements of answers, in the embedded store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from haystack.schema import Label

from qa_app.stores import filters as filter_language
from qa_app.stores import sqlite_schema as schema
from qa_app.stores.filter_sql import compile_sql
from qa_app.stores.passage_store import label_fields
from qa_app.stores.sqlite_base import SQLiteBase, batches


class SQLiteLabels(SQLiteBase):
    """Haystack's methods on labels."""

    def write_labels(
        self,
        labels: Sequence[Label | dict[str, Any]],
        index: str | None = None,
        headers: dict[str, str] | None = None,
        batch_size: int = 10_000,
    ) -> None:
        name = index or self.label_index
        rows = [
            (name, label.id, label.to_json(), json.dumps(label_fields(label), ensure_ascii=False))
            for label in self._checked_labels(labels)
        ]
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO labels (index_name, id, body, meta, crc) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (index_name, id)"
                " DO UPDATE SET body = excluded.body, meta = excluded.meta, crc = excluded.crc",
                [(*row, schema.seal(*row)) for row in rows],
            )

    def get_all_labels(
        self, index: str | None = None, filters: Any = None, headers: dict[str, str] | None = None
    ) -> list[Label]:
        clause = filter_language.parse(filters)
        condition, parameters = compile_sql(clause, "meta") if clause else ("1", [])
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT body FROM labels WHERE index_name = ? AND {condition} ORDER BY sequence",
                (index or self.label_index, *parameters),
            ).fetchall()
        return [Label.from_json(body) for (body,) in rows]

    def get_label_count(self, index: str | None = None, headers: dict[str, str] | None = None) -> int:
        with self._reading() as connection:
            row = connection.execute("SELECT count(*) FROM labels WHERE index_name = ?", (index or self.label_index,))
            return int(row.fetchone()[0])

    def delete_labels(
        self,
        index: str | None = None,
        ids: list[str] | None = None,
        filters: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Removes labels by ids and filters; without either, all labels of the index, as Haystack has it."""
        clause = None if filters is None else filter_language.parse_required(filters)
        condition, parameters = compile_sql(clause, "meta") if clause else ("1", [])
        with self._writing() as connection:
            for some in [None] if ids is None else list(batches(ids)):
                chosen = "1" if some is None else f"id IN ({', '.join('?' * len(some))})"
                connection.execute(
                    f"DELETE FROM labels WHERE index_name = ? AND {chosen} AND {condition}",
                    (index or self.label_index, *(some or ()), *parameters),
                )
