"""Every Haystack node of the application.

Haystack finds the classes that a pipeline file names among those that were imported. Before loading a saved pipeline::

    import qa_app.nodes
    from haystack import Pipeline

    pipeline = Pipeline.load_from_yaml(Path("answering.yaml"))
"""

from qa_app.converters.nodes import (
    DocxFileConverter,
    FileConverter,
    HtmlFileConverter,
    MarkdownFileConverter,
    PdfFileConverter,
    TxtFileConverter,
)
from qa_app.pipelines.indexing import FileWriter
from qa_app.reading.enrichment import PassageClassifier, PassageEntities
from qa_app.reading.reader import PassageReader
from qa_app.splitting.splitter import PassageSplitter
from qa_app.stores.elasticsearch import ElasticsearchDocumentStore
from qa_app.stores.sqlite import SQLiteDocumentStore

__all__ = [
    "DocxFileConverter",
    "ElasticsearchDocumentStore",
    "FileConverter",
    "FileWriter",
    "HtmlFileConverter",
    "MarkdownFileConverter",
    "PassageClassifier",
    "PassageEntities",
    "PassageReader",
    "PassageSplitter",
    "PdfFileConverter",
    "SQLiteDocumentStore",
    "TxtFileConverter",
]
