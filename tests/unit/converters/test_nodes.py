from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from haystack.pipelines import Pipeline
from haystack.schema import Document

from qa_app.converters.identity import file_id
from qa_app.converters.nodes import (
    DocxFileConverter,
    FileConverter,
    HtmlFileConverter,
    MarkdownFileConverter,
    PdfFileConverter,
    TxtFileConverter,
)
from qa_app.errors import FileRejectedError, InvalidRequestError
from tests import make_bad

_FILES: dict[str, bytes] = {
    "a.txt": b"Plain words.",
    "b.md": b"---\ntopic: tea\nname: other\n---\n# Title\n\nwords",
    "c.html": b"<html><title>T</title><p>words",
    "d.pdf": make_bad.pdf(["page one", "page two"], bookmarks=[("page two", 1)]),
    "e.docx": make_bad.word(make_bad.paragraph("words")),
}


@pytest.fixture(scope="module")
def converter() -> Iterator[FileConverter]:
    node = FileConverter(workers=1)
    yield node
    node.close()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for name, data in _FILES.items():
        (tmp_path / name).write_bytes(data)
    return sorted(tmp_path.iterdir())


def test_each_file_becomes_one_document(converter: FileConverter, paths: list[Path]) -> None:
    """Documents come in the order of the files, with whole text, fingerprint, pages and headings in their meta."""
    output, edge = converter.run(paths)
    documents: list[Document] = output["documents"]
    assert (edge, output["rejections"]) == ("output_1", [])
    assert [document.meta["name"] for document in documents] == ["a.txt", "b.md", "c.html", "d.pdf", "e.docx"]
    pdf = documents[3]
    assert (pdf.content, pdf.content_type) == ("page one\n\npage two", "text")
    assert pdf.id == pdf.meta["file_id"]
    assert pdf.meta == {
        "name": "d.pdf",
        "file_id": file_id(paths[3]),
        "sha256": hashlib.sha256(_FILES["d.pdf"]).hexdigest(),
        "size": len(_FILES["d.pdf"]),
        "mtime_ns": paths[3].stat().st_mtime_ns,
        "media_type": "application/pdf",
        "encoding": None,
        "page_starts": [0, 10],
        "headings": [[10, 1, "page two"]],
    }


def test_metadata_is_copied_for_each_file(converter: FileConverter, paths: list[Path]) -> None:
    """One mapping for many files is never shared: changing one document's meta changes nothing else."""
    given = {"tags": ["a"]}
    documents = converter.run(paths[:2], given)[0]["documents"]
    documents[0].meta["tags"].append("b")
    documents[0].meta["more"] = 1
    assert documents[1].meta["tags"] == given["tags"] == ["a"]
    assert "more" not in documents[1].meta


def test_users_metadata_wins_but_not_over_facts(converter: FileConverter, paths: list[Path]) -> None:
    """Given values replace the file's own and its name, never its hash or pages; no file renames itself."""
    [own] = converter.run([paths[1]])[0]["documents"]
    assert (own.meta["topic"], own.meta["name"]) == ("tea", "b.md")
    meta = {"topic": "mine", "name": "shown.md", "sha256": "forged", "page_starts": [9]}
    [document] = converter.run([paths[1]], meta)[0]["documents"]
    assert (document.meta["topic"], document.meta["name"], document.meta["page_starts"]) == ("mine", "shown.md", [])
    assert document.meta["sha256"] == hashlib.sha256(_FILES["b.md"]).hexdigest()


def test_each_file_gets_its_own_of_a_list_of_metadata(converter: FileConverter, paths: list[Path]) -> None:
    """A list of metadata is matched by position, None being none; a list of another length is refused."""
    documents = converter.run(paths[2:4], [{"number": 1}, None])[0]["documents"]
    assert documents[0].meta["number"] == 1
    assert "number" not in documents[1].meta
    with pytest.raises(InvalidRequestError):
        converter.run(paths, [{}])


def test_rejections_are_reported_or_raised(converter: FileConverter, tmp_path: Path, paths: list[Path]) -> None:
    """A bad file appears with path, reason and message beside the good ones, or is raised where asked for."""
    empty = tmp_path / "empty.txt"
    empty.touch()
    output, _ = converter.run([paths[0], empty, paths[2]])
    assert len(output["documents"]) == 2
    assert output["rejections"] == [{"path": str(empty), "reason": "empty_file", "message": "the file is empty"}]
    with pytest.raises(FileRejectedError) as caught:
        converter.run([paths[0], empty], raise_on_failure=True)
    assert caught.value.reason == "empty_file"
    assert "empty.txt" in caught.value.message
    with pytest.raises(FileRejectedError):
        converter.convert(empty, None)
    assert converter.convert(paths[0], {"a": 1})[0].meta["a"] == 1
    assert converter.run_batch(paths[:2])[0]["documents"] == converter.run(paths[:2])[0]["documents"]


def test_ids_follow_the_keys_asked_for(converter: FileConverter, tmp_path: Path) -> None:
    """Two files with equal text have different documents when the meta counts, as Haystack's parameter says."""
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("same")
    output, _ = converter.run([tmp_path / "one.txt", tmp_path / "two.txt"], id_hash_keys=["content", "meta"])
    first, second = output["documents"]
    assert first.id != second.id


def test_ligatures_and_offsets_stay(converter: FileConverter, tmp_path: Path) -> None:
    """Nothing rewrites the text after its offsets were counted."""
    path = tmp_path / "a.md"
    path.write_text("ﬁrst ﬂow\n\n# Ĳssel\n")
    [document] = converter.run([path])[0]["documents"]
    [[start, _, title]] = document.meta["headings"]
    assert document.content[start:] == title == "Ĳssel"


def test_one_format_converters_take_only_theirs(paths: list[Path]) -> None:
    """Each takes files of its format by content; text and Markdown may be read as each other."""
    accepted = {
        TxtFileConverter: ["a.txt", "b.md"],
        MarkdownFileConverter: ["a.txt", "b.md"],
        HtmlFileConverter: ["c.html"],
        PdfFileConverter: ["d.pdf"],
        DocxFileConverter: ["e.docx"],
    }
    for kind, names in accepted.items():
        node = kind(workers=1)
        output, _ = node.run(paths)
        assert [document.meta["name"] for document in output["documents"]] == names
        assert {rejection["reason"] for rejection in output["rejections"]} == {"unsupported_type"}
        node.close()


def test_progress_is_told_file_by_file(paths: list[Path]) -> None:
    """The callback sees every path once, whether the file was good or not."""
    seen: list[Path] = []
    node = FileConverter(workers=2)
    node.on_file = seen.append
    node.run([*paths, Path("/nonexistent")])
    node.close()
    assert sorted(seen) == sorted([*paths, Path("/nonexistent")])


@pytest.mark.parametrize("kind", [FileConverter, PdfFileConverter])
def test_pipelines_with_it_are_saved_and_loaded(kind: type[FileConverter], tmp_path: Path, paths: list[Path]) -> None:
    """A pipeline written to YAML comes back with the node's parameters, and converts."""
    pipeline = Pipeline()
    pipeline.add_node(kind(timeout=7.5, max_file_mb=3), name="Converter", inputs=["File"])
    pipeline.save_to_yaml(tmp_path / "pipeline.yaml")
    loaded = Pipeline.load_from_yaml(tmp_path / "pipeline.yaml")
    node = loaded.get_node("Converter")
    assert isinstance(node, kind)
    assert (node.timeout, node.max_file_mb, node.workers) == (7.5, 3, 2)
    assert yaml.safe_load((tmp_path / "pipeline.yaml").read_text())["components"][0]["type"] == kind.__name__
    result = loaded.run(file_paths=[paths[3]], meta={"a": 1})
    assert [document.meta["a"] for document in result["documents"]] == [1]
    node.close()
