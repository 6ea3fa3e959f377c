"""Ingestion keeps a store in step with folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qa_app.converters.identity import file_id
from qa_app.errors import ConflictError, InvalidRequestError, NotFoundError
from qa_app.settings import Settings
from tests.ingesting import ends, ingesting, settings_for, snapshot, write

FILES = {
    "rivers/rhone.txt": "The Rhône runs through Lyon. It ends in the Camargue.",
    "rivers/loire.md": "# The Loire\n\nThe *longest* river of France.",
    "page.html": "<title>Elbe</title><body><h1>Elbe</h1><p>The Elbe runs through Hamburg.</p>",
}


@pytest.fixture(params=["sqlite", pytest.param("elasticsearch", marks=pytest.mark.elasticsearch)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an empty index on each store."""
    if request.param == "sqlite":
        yield settings_for(tmp_path / "data")
        return
    from qa_app import bootstrap

    name = f"i{os.getpid()}-{abs(hash(request.node.name)) % 10**8}"
    chosen = settings_for(tmp_path / "data", request.getfixturevalue("elasticsearch_url"), index=name)
    yield chosen
    with bootstrap.open_store(chosen) as store:
        store.delete_index(name)
        store.delete_index(bootstrap.label_index(name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "papers", dict(FILES))


def test_a_folder_becomes_passages_that_stand_in_its_files(settings: Settings, folder: Path) -> None:
    """Every passage is the text of its file between start and end, with its name, path and heading."""
    with ingesting(settings) as ingest:
        report = ingest(folder)
        assert ends(report) == dict.fromkeys(FILES, "indexed")
        assert report.passages == ingest.store.get_document_count() == 3
        for passage in ingest.store.get_all_documents():
            file = ingest.store.get_file(passage.meta["file_id"])
            assert file.content[passage.meta["start"] : passage.meta["end"]] == passage.content
            assert file.meta["path"] == passage.meta["path"]
        found = ingest.store.query("longest river")[0]
        assert found.content == "The Loire\n\nThe longest river of France."
        assert (found.meta["path"], found.meta["name"], found.meta["heading"]) == (
            "rivers/loire.md",
            "loire.md",
            "The Loire",
        )


@pytest.mark.case("D1")
def test_unchanged_files_are_skipped(settings: Settings, folder: Path) -> None:
    """A second run writes nothing, even if files were touched, and ids, counts and ranking stay."""
    with ingesting(settings) as ingest:
        ingest(folder)
        before = snapshot(ingest.store)
        for path in folder.rglob("*.txt"):
            os.utime(path, (1, 1))
        assert ends(ingest(folder)) == dict.fromkeys(FILES, "unchanged")
        assert snapshot(ingest.store) == before


@pytest.mark.case("D3")
def test_a_changed_file_is_replaced(settings: Settings, folder: Path) -> None:
    """What a file no longer says is not found, and its other passages are not doubled."""
    with ingesting(settings) as ingest:
        ingest(folder)
        write(folder, {"rivers/rhone.txt": "The Rhône ends near Marseille."})
        assert ends(ingest(folder))["rivers/rhone.txt"] == "indexed"
        assert ingest.store.query("Camargue") == []
        assert ingest.store.query("Marseille")[0].meta["path"] == "rivers/rhone.txt"
        assert ingest.store.get_document_count() == 3


def test_same_size_and_time_but_other_bytes(settings: Settings, folder: Path) -> None:
    """A change is noticed by the bytes, not by size or time."""
    path = folder / "rivers/rhone.txt"
    with ingesting(settings) as ingest:
        ingest(folder)
        state = path.stat()
        path.write_text(path.read_text().replace("Lyon", "Nyon"))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert ends(ingest(folder))["rivers/rhone.txt"] == "indexed"
        assert ingest.store.query("Nyon")


def test_missing_files_go_only_when_asked(settings: Settings, folder: Path, tmp_path: Path) -> None:
    """Without prune nothing is removed; with it what is gone from these folders, and nothing from elsewhere."""
    elsewhere = write(tmp_path / "elsewhere", {"thames.txt": "The Thames passes Oxford."})
    with ingesting(settings) as ingest:
        ingest(folder, elsewhere)
    (folder / "page.html").unlink()
    shutil.rmtree(elsewhere)
    with ingesting(settings) as ingest:
        ingest(folder)
        assert ingest.store.query("Hamburg")
    with ingesting(settings, prune=True) as ingest:
        assert ends(ingest(folder))["page.html"] == "removed"
        assert ingest.store.query("Hamburg") == []
        assert ingest.store.query("Oxford")


def test_an_emptied_folder_is_not_taken_for_its_end(settings: Settings, folder: Path) -> None:
    """Prune refuses to remove everything where the folder is suddenly empty, as an unmounted drive is."""
    with ingesting(settings) as ingest:
        ingest(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    with ingesting(settings, prune=True) as ingest:
        with pytest.raises(InvalidRequestError, match="mounted"):
            ingest(folder)
        assert ingest.store.get_document_count() == 3


@pytest.mark.case("F22")
def test_equal_files_are_both_found(settings: Settings, tmp_path: Path) -> None:
    """The same content under two names is found under both, and pruning one leaves the other."""
    folder = write(tmp_path / "papers", {"a.txt": "The same words.", "b.txt": "The same words."})
    with ingesting(settings, prune=True) as ingest:
        ingest(folder)
        assert {found.meta["name"] for found in ingest.store.query("same words")} == {"a.txt", "b.txt"}
        (folder / "a.txt").unlink()
        ingest(folder)
        assert [found.meta["name"] for found in ingest.store.query("same words")] == ["b.txt"]


@pytest.mark.case("F21")
def test_two_folders_with_the_same_names(settings: Settings, tmp_path: Path) -> None:
    """Files of the same relative name in two folders do not replace each other."""
    one = write(tmp_path / "one", {"readme.txt": "First words."})
    two = write(tmp_path / "two", {"readme.txt": "Second words."})
    with ingesting(settings) as ingest:
        ingest(one)
        ingest(two)
        assert ingest.store.get_document_count() == 2


def test_metadata_and_splitting_are_part_of_the_version(settings: Settings, folder: Path) -> None:
    """Other metadata or another passage length index the same bytes anew."""
    with ingesting(settings) as ingest:
        ingest(folder)
    with ingesting(settings, meta={"lang": "en", "year": 2024}) as ingest:
        assert set(ends(ingest(folder)).values()) == {"indexed"}
        assert ingest.store.get_document_count(filters={"lang": "en", "year": {"$gte": 2024}}) == 3
        assert set(ends(ingest(folder)).values()) == {"unchanged"}
    import dataclasses

    with ingesting(
        dataclasses.replace(settings, passage_words=5, passage_overlap=0), meta={"lang": "en", "year": 2024}
    ) as ingest:
        assert set(ends(ingest(folder)).values()) == {"indexed"}
        assert ingest.store.get_document_count() > 3


def test_a_rejected_change_keeps_the_last_good_version(settings: Settings, folder: Path) -> None:
    """A file that can no longer be converted is reported, and what was indexed of it stays until it can."""
    with ingesting(settings, prune=True) as ingest:
        ingest(folder)
        write(folder, {"rivers/rhone.txt": b""})
        assert ends(ingest(folder))["rivers/rhone.txt"] == "empty_file"
        assert ingest.store.query("Camargue")


def test_one_file_may_be_given(settings: Settings, folder: Path) -> None:
    """A single file is the same document as within its folder."""
    with ingesting(settings) as ingest:
        assert ends(ingest(folder / "page.html")) == {"page.html": "indexed"}
        assert ends(ingest(folder))["page.html"] == "unchanged"
        assert [file.id for file in ingest.store.get_all_files() if file.meta["name"] == "page.html"] == [
            file_id(folder / "page.html")
        ]


def test_a_path_that_is_not_there(settings: Settings, folder: Path) -> None:
    """A missing path is an error before anything is written."""
    with ingesting(settings) as ingest:
        with pytest.raises(NotFoundError, match="nowhere"):
            ingest(folder, folder / "nowhere")
        assert ingest.store.get_document_count() == 0


def test_own_metadata_cannot_be_overwritten(settings: Settings) -> None:
    """Metadata that the application writes itself are refused from outside."""
    with pytest.raises(InvalidRequestError, match="path"), ingesting(settings, meta={"path": "x"}):
        pass


def test_many_small_files(settings: Settings, tmp_path: Path) -> None:
    """More files than a batch holds all arrive, each reported once."""
    folder = write(tmp_path / "many", {f"{i % 7}/{i:04}.txt": f"File number{i} says so." for i in range(700)})
    with ingesting(settings) as ingest:
        report = ingest(folder)
        assert report.counts == {"indexed": 700}
        assert len(ingest.seen) == 700
        assert ingest.store.get_document_count() == 700
        assert ingest.store.query("number345")[0].meta["name"] == "0345.txt"
        assert set(ends(ingest(folder)).values()) == {"unchanged"}


@pytest.mark.case("E20")
def test_a_second_ingestion_of_an_embedded_store_waits_outside(tmp_path: Path, folder: Path) -> None:
    """While one ingestion runs, another of the same data folder ends with an error that names the first."""
    settings = settings_for(tmp_path / "data")
    with ingesting(settings), pytest.raises(ConflictError, match=str(os.getpid())), ingesting(settings):
        pass
    with ingesting(settings) as ingest:
        assert ends(ingest(folder))
