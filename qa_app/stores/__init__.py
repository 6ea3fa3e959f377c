"""Where do passages live?

Two stores with one behaviour: :class:`qa_app.stores.sqlite.SQLiteDocumentStore` in a file of its own, for one machine,
and :class:`qa_app.stores.elasticsearch.ElasticsearchDocumentStore` for anything bigger. Both are Haystack
``KeywordDocumentStore``s, so Haystack's BM25Retriever and pipelines take them; both also keep the files that passages
come from, and replace a file's passages in one step. Opening SQLite costs milliseconds; opening Elasticsearch waits for
the server. May import ``settings`` and ``errors``.
"""
