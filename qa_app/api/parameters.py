"""What a client may set of the pipeline: ``top_k`` and ``filters``, and with them ``index`` and ``debug``.

Haystack hands ``params`` to its nodes as they are, so that a client sets headers of the request to Elasticsearch.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from qa_app.stores import filters as filter_language

MAX_ANSWERS = 100
#: Passages read for one question; a reader takes some ten seconds for so many.
MAX_READ = 200

#: The filter language as a JSON schema, which the records refer to; what is deeper or longer is refused all the same.
FILTER_SCHEMAS: dict[str, Any] = {
    "Filter": {
        "type": "object",
        "minProperties": 1,
        "properties": {name: {"$ref": "#/components/schemas/FilterClauses"} for name in filter_language.LOGICAL},
        "patternProperties": {r'^[^$"\\\x00-\x1f][^"\\\x00-\x1f]*$': {"$ref": "#/components/schemas/FilterValue"}},
        "additionalProperties": False,
        "examples": [{"lang": "en", "year": {"$gte": 2020}}],
    },
    "FilterClauses": {
        "anyOf": [
            {"$ref": "#/components/schemas/Filter"},
            {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Filter"}},
        ]
    },
    "FilterScalar": {
        "anyOf": [
            {"type": "string", "pattern": r"^[^\x00]*$"},
            {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
            {"type": "number"},
            {"type": "boolean"},
        ]
    },
    "FilterScalars": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/FilterScalar"}},
    "FilterValue": {
        "anyOf": [
            {"$ref": "#/components/schemas/FilterScalar"},
            {"$ref": "#/components/schemas/FilterScalars"},
            {
                "type": "object",
                "minProperties": 1,
                "properties": {
                    **{
                        name: {
                            "anyOf": [
                                {"$ref": "#/components/schemas/FilterScalar"},
                                {"$ref": "#/components/schemas/FilterScalars"},
                            ]
                        }
                        for name in ("$eq", "$ne")
                    },
                    **{name: {"$ref": "#/components/schemas/FilterScalars"} for name in ("$in", "$nin")},
                    **{name: {"$ref": "#/components/schemas/FilterScalar"} for name in filter_language.RANGES},
                },
                "additionalProperties": False,
            },
        ]
    },
}

Filter = Annotated[
    dict[str, Any],
    Meta(
        min_length=1,
        description="Haystack's filter language: $and $or $not around fields, $eq $ne $in $nin $gt $gte $lt $lte under "
        "them. An unknown operator or an empty clause is refused.",
        extra_json_schema={"$ref": "#/components/schemas/Filter"},
    ),
]
#: Where nothing is removed, the empty filter is none: Haystack's page sends it with every question.
OptionalFilter = Annotated[
    dict[str, Any],
    Meta(
        description="Haystack's filter language, as in /documents/get_by_filters; {} is no filter.",
        extra_json_schema={"anyOf": [{"$ref": "#/components/schemas/Filter"}, {"maxProperties": 0}]},
    ),
]
Answers = Annotated[int, Meta(ge=1, le=MAX_ANSWERS, description="Answers wanted.")]
Passages = Annotated[int, Meta(ge=1, le=MAX_READ, description="Passages that are read.")]
IndexName = Annotated[str, Meta(description="Name of an index; the default one where absent.")]


class RetrieverParams(Struct, forbid_unknown_fields=True):
    """What the retriever may be told."""

    top_k: Passages | None = None
    filters: OptionalFilter | None = None
    index: IndexName | None = None
    debug: bool | None = None


class ReaderParams(Struct, forbid_unknown_fields=True):
    """What the reader may be told."""

    top_k: Answers | None = None
    debug: bool | None = None


class Params(Struct, forbid_unknown_fields=True):
    """Haystack's ``params``: by node, or for every node that takes it."""

    top_k: Answers | None = None
    filters: OptionalFilter | None = None
    index: IndexName | None = None
    debug: bool | None = None
    Retriever: RetrieverParams | None = None
    Reader: ReaderParams | None = None

    def by_node(self) -> tuple[dict[str, dict[str, Any]], bool]:
        """What goes to each node, and whether debug output is wanted; raises InvalidRequestError for a filter.

        What stands beside the nodes goes to every node that takes it, as Haystack has it; a node's own wins.
        """
        retriever, reader = self.Retriever or RetrieverParams(), self.Reader or ReaderParams()
        filters = retriever.filters if retriever.filters is not None else self.filters
        nodes: dict[str, dict[str, Any]] = {
            "Retriever": {
                "top_k": retriever.top_k or self.top_k,
                "filters": filters if filter_language.parse(filters) else None,
                "index": retriever.index or self.index,
            },
            "Reader": {"top_k": reader.top_k or self.top_k},
        }
        given = {node: {name: value for name, value in own.items() if value is not None} for node, own in nodes.items()}
        return given, bool(self.debug or retriever.debug or reader.debug)
