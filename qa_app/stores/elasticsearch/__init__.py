"""Passages in Elasticsearch: :class:`ElasticsearchDocumentStore`; servers 7.17, 8.x and 9.x.

The only place that imports the Elasticsearch client. Opening a store waits for the server; a search costs three short
requests, of which two read the journal (see :mod:`qa_app.stores.elasticsearch.journal`).
"""

from qa_app.stores.elasticsearch.store import ElasticsearchDocumentStore

__all__ = ["ElasticsearchDocumentStore"]
