"""From files to a store: ``File -> Converter -> Splitter -> Writer``, with models that enrich before the writer."""

# No postponed annotations here: Haystack resolves a constructor's among its own names when it loads a pipeline file.

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from haystack import BaseComponent, Pipeline
from haystack.schema import Document

from qa_app.stores.passage_store import PassageStore


class FileWriter(BaseComponent):
    """Puts files and their passages into a store, each file in one step.

    In: ``files`` and ``documents``, the passages whose ``meta["file_id"]`` names their file. Out: ``written``, for each
    file its id and number of passages, and ``conflicts``, the ids of files that another writer changed meanwhile.
    """

    outgoing_edges = 1

    def __init__(self, document_store: PassageStore) -> None:
        super().__init__()
        self.document_store = document_store

    def run(
        self, files: list[Document], documents: list[Document], index: str | None = None
    ) -> tuple[dict[str, Any], str]:
        passages: defaultdict[str, list[Document]] = defaultdict(list)
        for document in documents:
            passages[document.meta["file_id"]].append(document)
        pairs = [(_record(file), passages.get(file.meta["file_id"], [])) for file in files]
        conflicts = self.document_store.write_files(pairs, index=index) if pairs else []
        written = {file.id: len(found) for file, found in pairs if file.id not in conflicts}
        return {"written": written, "conflicts": conflicts, "documents": [], "files": []}, "output_1"

    def run_batch(
        self, files: list[Document], documents: list[Document], index: str | None = None
    ) -> tuple[dict[str, Any], str]:
        return self.run(files, documents, index)

    def _dispatch_run_general(self, run_method: Any, **inputs: Any) -> tuple[dict[str, Any], str]:
        # Haystack copies a node's whole input; a batch of passages is large, and nobody else holds it.
        params = inputs.get("params") or {}
        own = {**{k: v for k, v in params.items() if k == "index"}, **params.get(self.name, {})}
        own.pop("debug", None)
        output, edge = run_method(inputs.get("files", []), inputs.get("documents", []), **own)
        return {**output, "rejections": inputs.get("rejections", []), "params": params}, edge


def _record(file: Document) -> Document:
    """The file as the store keeps it; its ``version`` changes with its bytes and with how it was indexed."""
    meta = dict(file.meta)
    version = f"{meta['sha256']}:{meta.pop('fingerprint', '')}"
    return Document(id=meta["file_id"], content=file.content, meta={**meta, "version": version})


def indexing_pipeline(
    converter: BaseComponent,
    splitter: BaseComponent,
    store: PassageStore,
    enriching: Mapping[str, BaseComponent] | None = None,
) -> Pipeline:
    """A pipeline that converts, splits, enriches and writes files; saves to Haystack's YAML.

    ``enriching`` are nodes by name that take and give passages with their ``files``, in the order they are to run in.
    ``run(file_paths=[..], meta=[..])`` gives ``written``, ``conflicts`` and ``rejections``.
    """
    pipeline = Pipeline()
    pipeline.add_node(converter, name="Converter", inputs=["File"])
    pipeline.add_node(splitter, name="Splitter", inputs=["Converter"])
    last = "Splitter"
    for name, node in (enriching or {}).items():
        pipeline.add_node(node, name=name, inputs=[last])
        last = name
    pipeline.add_node(FileWriter(document_store=store), name="Writer", inputs=[last])
    return pipeline
