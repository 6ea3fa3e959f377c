"""The cage as Haystack converter nodes, one for all formats and one for each."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from haystack.nodes.file_converter.base import BaseConverter
from haystack.schema import Document
from rich.progress import Progress

from qa_app.converters.cage import Converted, ConverterPool, Rejected
from qa_app.converters.identity import OWN_KEYS, file_id
from qa_app.errors import FileRejectedError, InvalidRequestError

#: Meta keys that say what was converted. ``name`` may be given by the user, the rest is always ours.
OUR_KEYS = ("sha256", "size", "mtime_ns", "media_type", "encoding", "page_starts", "headings")

# Not one per node, because Haystack copies nodes and locks cannot be copied.
_POOL_CREATION = threading.Lock()

UserMeta = Mapping[str, Any] | None


class FileConverter(BaseConverter):
    """Converts text, Markdown, HTML, PDF and Word files, each in a child process with limits.

    Unlike Haystack's converters it tells formats by content, gives every file its own copy of the metadata, replaces
    no ligatures (offsets would move), and reports each file it rejects. ``on_file`` is called as each file is done.
    """

    outgoing_edges = 1

    #: The one format a subclass takes; None takes them all.
    only: ClassVar[str | None] = None

    def __init__(
        self,
        workers: int = 2,
        timeout: float = 60.0,
        memory_mb: int = 1024,
        max_file_mb: int = 50,
        id_hash_keys: list[str] | None = None,
        progress_bar: bool = False,
    ) -> None:
        super().__init__(id_hash_keys=id_hash_keys, progress_bar=progress_bar)
        self.workers = workers
        self.timeout = timeout
        self.memory_mb = memory_mb
        self.max_file_mb = max_file_mb
        self.on_file: Callable[[Path], None] | None = None
        self._pool: ConverterPool | None = None
        # Haystack records the parameters of the class that defines the constructor only, not of subclasses without one.
        given = {
            "workers": workers,
            "timeout": timeout,
            "memory_mb": memory_mb,
            "max_file_mb": max_file_mb,
            "id_hash_keys": id_hash_keys,
            "progress_bar": progress_bar,
        }
        self._component_config["params"].update(given)

    @property
    def pool(self) -> ConverterPool:
        """The child processes, shared by all calls and threads, started when first needed."""
        with _POOL_CREATION:
            if self._pool is None:
                self._pool = ConverterPool(self.workers, self.timeout, self.memory_mb, self.max_file_mb * 2**20)
            return self._pool

    def close(self) -> None:
        """Ends the child processes; they start again when needed."""
        with _POOL_CREATION:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def convert(
        self,
        file_path: Path,
        meta: UserMeta = None,
        remove_numeric_tables: bool | None = None,
        valid_languages: list[str] | None = None,
        encoding: str | None = None,
        id_hash_keys: list[str] | None = None,
    ) -> list[Document]:
        """Gives the one document of one file; raises :class:`FileRejectedError`.

        Haystack's other parameters are taken for its callers' sake and do nothing: encodings are detected, and text is
        never removed.
        """
        output, _ = self.run([file_path], meta, id_hash_keys=id_hash_keys, raise_on_failure=True)
        documents: list[Document] = output["documents"]
        return documents

    def run(  # type: ignore[override, unused-ignore]
        self,
        file_paths: Path | str | Sequence[Path | str],
        meta: UserMeta | Sequence[UserMeta] = None,
        remove_numeric_tables: bool | None = None,
        known_ligatures: dict[str, str] | None = None,
        valid_languages: list[str] | None = None,
        encoding: str | None = None,
        id_hash_keys: list[str] | None = None,
        raise_on_failure: bool = False,
    ) -> tuple[dict[str, Any], str]:
        """Gives ``documents``, one per good file in order, and ``rejections`` with ``path``, ``reason``, ``message``.

        ``meta`` is one mapping for all files or a sequence with one (or None) per file. With ``raise_on_failure`` the
        first rejection is raised as :class:`FileRejectedError`. Raises :class:`InvalidRequestError` where paths and
        metadata differ in number.
        """
        paths = [Path(file_paths)] if isinstance(file_paths, str | Path) else [Path(path) for path in file_paths]
        metas = [meta] * len(paths) if meta is None or isinstance(meta, Mapping) else list(meta)
        if len(metas) != len(paths):
            raise InvalidRequestError(
                f"{len(paths)} files came with {len(metas)} metadata; give one for each, or one for all"
            )
        documents: list[Document] = []
        rejections: list[dict[str, str]] = []
        with Progress(disable=not self.progress_bar) as progress:
            task = progress.add_task("Converting files", total=len(paths))

            def done(path: Path) -> None:
                progress.advance(task)
                if self.on_file is not None:
                    self.on_file(path)

            results = self.pool.convert(paths, only=self.only, on_file=done)
        for result, user_meta in zip(results, metas, strict=True):
            if isinstance(result, Rejected):
                if raise_on_failure:
                    raise FileRejectedError(result.reason, f"{result.path.name}: {result.message}")
                rejections.append({"path": str(result.path), "reason": result.reason, "message": result.message})
            else:
                documents.append(_document(result, user_meta, id_hash_keys or self.id_hash_keys))
        return {"documents": documents, "rejections": rejections}, "output_1"

    def run_batch(  # type: ignore[override, unused-ignore]
        self,
        file_paths: Path | str | Sequence[Path | str],
        meta: UserMeta | Sequence[UserMeta] = None,
        remove_numeric_tables: bool | None = None,
        known_ligatures: dict[str, str] | None = None,
        valid_languages: list[str] | None = None,
        encoding: str | None = None,
        id_hash_keys: list[str] | None = None,
    ) -> tuple[dict[str, Any], str]:
        """Does what :meth:`run` does, which takes many files already."""
        return self.run(file_paths, meta, id_hash_keys=id_hash_keys)


class TxtFileConverter(FileConverter):
    """Converts plain text files, and Markdown as the text it is written in."""

    only = "text"


class MarkdownFileConverter(FileConverter):
    """Converts Markdown files, and plain text as if it were Markdown."""

    only = "markdown"


class HtmlFileConverter(FileConverter):
    """Converts HTML files."""

    only = "html"


class PdfFileConverter(FileConverter):
    """Converts PDF files."""

    only = "pdf"


class DocxFileConverter(FileConverter):
    """Converts Word files."""

    only = "docx"


def _document(converted: Converted, user_meta: UserMeta, id_hash_keys: list[str] | None) -> Document:
    extraction = converted.extraction
    meta: dict[str, Any] = {
        **{key: value for key, value in extraction.meta.items() if key not in OWN_KEYS},
        "name": converted.path.name,
        "file_id": file_id(converted.path),
        # Copied, because the same mapping may have been given for many files and for later use by the caller.
        **copy.deepcopy(dict(user_meta or {})),
        "sha256": converted.sha256,
        "size": converted.size,
        "mtime_ns": converted.mtime_ns,
        "media_type": extraction.media_type,
        "encoding": extraction.encoding,
        "page_starts": list(extraction.page_starts),
        "headings": [[heading.start, heading.level, heading.title] for heading in extraction.headings],
    }
    # An id of its own, because Haystack's hash of the content would make equal files one, and takes seconds on a book.
    id = meta["file_id"] if id_hash_keys is None else None
    return Document(content=extraction.text, content_type="text", id=id, meta=meta, id_hash_keys=id_hash_keys)
