"""What both stores promise of files and of labels."""

from __future__ import annotations

import threading

import pytest
from haystack.schema import Answer, Document, Label, Span

from qa_app.stores.passage_store import PassageStore


def file_of(id: str, *passages: str, version: str = "1", **meta: object) -> tuple[Document, list[Document]]:
    text = " ".join(passages)
    file = Document(id=id, content=text, meta={"name": f"{id}.txt", "version": version, "sha256": version * 4, **meta})
    documents, start = [], 0
    for passage in passages:
        place = {"file_id": id, "name": f"{id}.txt", "start": start, "end": start + len(passage)}
        documents.append(Document(id=f"{id}-{start}-{passage[:8]}", content=passage, meta={**place, **meta}))
        start += len(passage) + 1
    return file, documents


def contents(store: PassageStore, id: str) -> list[str]:
    return [passage.content for passage in store.get_file_passages(id)]


def test_a_file_is_kept_with_its_passages(store: PassageStore) -> None:
    """A written file has its text, metadata, number of passages, and its passages in order."""
    file, passages = file_of("f", "One river.", "Two rivers.", lang="en", page_starts=[0, 11])
    assert store.write_files([(file, passages)]) == []
    store.finish_writing()
    kept = store.get_file("f")
    assert kept is not None
    assert kept.content == file.content
    assert kept.meta == {**file.meta, "passages": 2}
    assert contents(store, "f") == ["One river.", "Two rivers."]
    listed = list(store.get_all_files())
    assert [(one.id, one.content, one.meta) for one in listed] == [("f", "", kept.meta)]
    assert {found.meta["file_id"] for found in store.query("river")} == {"f"}
    assert store.get_document_count(filters={"lang": "en"}) == 2


def test_a_changed_file_replaces_its_passages(store: PassageStore) -> None:
    """Old passages go, shared ones stay once, other files are untouched."""
    store.write_files([file_of("f", "Alpha stays.", "Beta goes."), file_of("g", "Beta elsewhere.")])
    store.write_files([file_of("f", "Alpha stays.", "Gamma comes.", version="2")])
    store.finish_writing()
    assert contents(store, "f") == ["Alpha stays.", "Gamma comes."]
    assert [found.meta["file_id"] for found in store.query("beta")] == ["g"]
    assert [found.content for found in store.query("alpha")] == ["Alpha stays."]
    assert store.get_document_count() == 3
    assert store.get_file("f").meta["version"] == "2"
    assert len(store.get_all_documents()) == 3


def test_writing_the_same_again_changes_nothing(store: PassageStore) -> None:
    """A repeated write, as after a lost answer, leaves one copy."""
    for _ in range(3):
        store.write_files([file_of("f", "Alpha.", "Beta.")])
    store.finish_writing()
    assert contents(store, "f") == ["Alpha.", "Beta."]
    assert len(store.query("alpha")) == 1


def test_the_last_of_a_file_given_twice_stands(store: PassageStore) -> None:
    """One write with two states of a file leaves the passages of the second, and none of the first."""
    store.write_files([file_of("f", "Alpha.", "Beta."), file_of("g", "Beta."), file_of("f", "Gamma.", version="2")])
    store.finish_writing()
    assert contents(store, "f") == ["Gamma."]
    assert store.get_file("f").meta["version"] == "2"
    assert store.get_document_count() == 2


def test_a_passage_can_change_its_file(store: PassageStore) -> None:
    """A passage that one file loses and another gains in the same write, with the same id, is there once."""
    (_, (moving,)), (other, _) = file_of("f", "Alpha."), file_of("g", "Alpha.")
    store.write_files([file_of("f", "Alpha.")])
    moved = Document(id=moving.id, content=moving.content, meta={**moving.meta, "file_id": "g"})
    for files in ([(other, [moved]), file_of("f", "Beta.")], [file_of("f", "Beta."), (other, [moved])]):
        store.write_files(files)
        store.finish_writing()
        assert (contents(store, "f"), contents(store, "g")) == (["Beta."], ["Alpha."])


def test_a_write_of_many_is_whole(store: PassageStore) -> None:
    """More files and passages than one statement or request takes arrive with their own words and metadata."""
    files = [file_of(f"{n:04}", *(f"Passage {n} {i}." for i in range(5)), number=n) for n in range(450)]
    store.write_files(files)
    store.finish_writing()
    assert store.get_document_count() == 2250
    assert len(list(store.get_all_files())) == 450
    for n in (0, 179, 299, 449):
        assert contents(store, f"{n:04}") == [f"Passage {n} {i}." for i in range(5)]
        assert store.get_document_count(filters={"number": n}) == 5
    store.write_files([file_of(f"{n:04}", "Another.") for n in range(450)])
    store.finish_writing()
    assert store.get_document_count() == 450
    assert store.query("passage") == []


def test_a_file_without_passages(store: PassageStore) -> None:
    """A file may lose all its passages and is still listed."""
    store.write_files([file_of("f", "Alpha.")])
    store.write_files([file_of("f", version="2")])
    store.finish_writing()
    assert store.query("alpha") == []
    assert [file.meta["passages"] for file in store.get_all_files()] == [0]


@pytest.mark.case("D4")
def test_deleted_files_leave_nothing(store: PassageStore) -> None:
    """Text, passages and record of a deleted file are gone; deleting again removes nothing more."""
    store.write_files([file_of("f", "Alpha."), file_of("g", "Alpha too.")])
    assert store.delete_files(["f", "nobody"]) == 1
    assert store.delete_files(["f"]) == 0
    store.finish_writing()
    assert store.get_file("f") is None
    assert [found.meta["file_id"] for found in store.query("alpha")] == ["g"]
    assert [file.id for file in store.get_all_files()] == ["g"]
    assert store.get_document_count() == 1


@pytest.mark.case("F22")
def test_equal_texts_in_two_files_are_two_passages(store: PassageStore) -> None:
    """The same text under two names is found twice, and deleting one leaves the other."""
    store.write_files([file_of("f", "Same words."), file_of("g", "Same words.")])
    store.finish_writing()
    assert {found.meta["file_id"] for found in store.query("words")} == {"f", "g"}
    store.delete_files(["f"])
    assert [found.meta["file_id"] for found in store.query("words")] == ["g"]


def test_deleting_passages_is_noticed_by_their_file(store: PassageStore) -> None:
    """A file that lost some passages no longer claims its version; one that lost all goes."""
    store.write_files([file_of("f", "Alpha.", "Beta."), file_of("g", "Alpha only.")])
    store.finish_writing()
    store.delete_documents(ids=[passage.id for passage in store.query("alpha")])
    assert [(file.id, file.meta["version"], file.meta["passages"]) for file in store.get_all_files()] == [("f", "", 1)]
    assert contents(store, "f") == ["Beta."]


def test_files_of_indexes_are_apart(store: PassageStore) -> None:
    """The same file may stand in two indexes."""
    store.write_files([file_of("f", "Alpha.")], index="one")
    store.write_files([file_of("f", "Beta.")], index="two")
    store.finish_writing("one")
    store.finish_writing("two")
    assert store.get_file("f", index="one").content == "Alpha."
    assert [found.content for found in store.query("beta", index="two")] == ["Beta."]
    assert store.query("beta", index="one") == []
    store.delete_all_documents(index="one")
    assert list(store.get_all_files(index="one")) == []
    assert store.get_file("f", index="two") is not None


def test_many_files_are_listed_in_order(store: PassageStore) -> None:
    """Listing goes through all files, whatever the size of its pages."""
    store.write_files([file_of(f"{i:05}", f"Passage number{i}.") for i in range(2500)])
    store.finish_writing()
    assert [file.id for file in store.get_all_files()] == [f"{i:05}" for i in range(2500)]
    assert [file.id for file in store.get_all_files(after="01497")] == [f"{i:05}" for i in range(1498, 2500)]
    assert list(store.get_all_files(after="02499")) == []
    assert store.get_document_count() == 2500
    assert len(store.get_all_documents(batch_size=1000)) == 2500


@pytest.mark.case("D3")
def test_readers_see_old_or_new_and_never_both(store: PassageStore) -> None:
    """While a file is replaced over and over, every query sees all passages of exactly one version."""
    names = [f"part{i}" for i in range(6)]

    def version(n: int) -> tuple[Document, list[Document]]:
        return file_of("f", *[f"shared words of {name} in version v{n}" for name in names], version=str(n))

    store.write_files([version(0)])
    store.finish_writing()
    wrong: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen = [found.content.split()[-1] for found in store.query("shared words", top_k=20)]
            if len(seen) != len(names) or len(set(seen)) != 1:
                wrong.append(seen)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 25):
        store.write_files([version(n)])
    stop.set()
    for reader in readers:
        reader.join()
    store.finish_writing()
    assert wrong == []
    assert all(content.endswith("v24") for content in contents(store, "f"))


def label(id: str, **changes: object) -> Label:
    fields: dict[str, object] = {
        "query": "Which river crosses Lyon?",
        "document": Document(id="d", content="The Rhône runs through Lyon.", meta={"name": "lyon.txt"}),
        "answer": Answer(
            answer="Rhône", score=0.9, context="The Rhône runs", offsets_in_document=[Span(4, 9)], document_ids=["d"]
        ),
        "is_correct_answer": True,
        "is_correct_document": True,
        "origin": "user-feedback",
        **changes,
    }
    return Label(id=id, **fields)


def test_labels_are_kept_filtered_and_deleted(store: PassageStore) -> None:
    """Labels come back whole, are chosen by their fields, replaced by id, and deleted as named."""
    store.write_labels([label("1"), label("2", origin="gold-label", is_correct_answer=False, meta={"round": 2})])
    assert store.get_label_count() == 2
    by_id = {kept.id: kept for kept in store.get_all_labels()}
    assert by_id["1"].answer == label("1").answer
    assert by_id["1"].document == label("1").document
    assert by_id["1"].created_at
    assert by_id["2"].meta == {"round": 2}
    assert [kept.id for kept in store.get_all_labels(filters={"origin": "gold-label"})] == ["2"]
    assert [kept.id for kept in store.get_all_labels(filters={"round": {"$gte": 2}})] == ["2"]
    assert [kept.id for kept in store.get_all_labels(filters={"is_correct_answer": True})] == ["1"]
    store.write_labels([label("1", query="Which city?")])
    assert store.get_label_count() == 2
    assert {kept.query for kept in store.get_all_labels()} == {"Which city?", "Which river crosses Lyon?"}
    store.delete_labels(ids=[])
    assert store.get_label_count() == 2
    store.delete_labels(filters={"origin": "user-feedback"})
    assert [kept.id for kept in store.get_all_labels()] == ["2"]
    store.write_labels([label("3")], index="other")
    store.delete_labels()
    assert store.get_label_count() == 0
    assert store.get_label_count(index="other") == 1


def test_aggregated_labels(store: PassageStore) -> None:
    """Haystack's own aggregation of labels works on the store."""
    store.write_labels([label("1"), label("2", answer=None, no_answer=True)])
    assert [len(several.labels) for several in store.get_all_labels_aggregated()] == [2]
