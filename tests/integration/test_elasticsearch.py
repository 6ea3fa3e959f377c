"""The store on a real Elasticsearch server: faults, kills and other people's indexes."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from haystack import Pipeline
from haystack.document_stores import ElasticsearchDocumentStore as HaystackStore
from haystack.schema import Document

from qa_app.errors import (
    ConflictError,
    InvalidRequestError,
    SettingsError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from qa_app.stores.elasticsearch import ElasticsearchDocumentStore
from tests import elasticsearch_server
from tests.conftest import REPOSITORY
from tests.faults.table import Figure

pytestmark = pytest.mark.elasticsearch

_counter = itertools.count()
Open = Callable[..., ElasticsearchDocumentStore]


@pytest.fixture
def client(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_url) as direct:
        yield direct


@pytest.fixture
def index(client: Elasticsearch) -> Iterator[str]:
    """The name of an index that nobody has used, removed afterwards with all that begins like it."""
    name = f"i{os.getpid()}-{next(_counter)}"
    yield name
    found = list(client.indices.get(index=f"{name}*", expand_wildcards="all"))
    if found:
        client.indices.delete(index=found)


@pytest.fixture
def open_store(elasticsearch_url: str, index: str) -> Iterator[Open]:
    """Opens stores on the index, closed afterwards."""
    opened: list[ElasticsearchDocumentStore] = []

    def open_one(**changes: Any) -> ElasticsearchDocumentStore:
        settings = {"url": elasticsearch_url, "index": index, "label_index": f"{index}-labels", **changes}
        opened.append(ElasticsearchDocumentStore(**settings))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def file_of(id: str, version: str, *passages: str) -> tuple[Document, list[Document]]:
    text = " ".join(passages)
    file = Document(id=id, content=text, meta={"name": f"{id}.txt", "version": version})
    documents, start = [], 0
    for passage in passages:
        meta = {"file_id": id, "start": start, "end": start + len(passage), "of": version}
        documents.append(Document(id=f"{id}-{start}-{passage}", content=passage, meta=meta))
        start += len(passage) + 1
    return file, documents


Files = dict[str, tuple[Document, list[Document]]]
BEFORE: Files = {
    "changed": file_of("changed", "1", "alpha stays", "beta goes", "gamma goes"),
    "grown": file_of("grown", "1", "delta"),
    "same": file_of("same", "1", "epsilon", "zeta"),
    "removed": file_of("removed", "1", "eta", "theta"),
}
AFTER: Files = {
    "changed": file_of("changed", "2", "alpha stays", "iota"),
    "grown": file_of("grown", "2", "delta", "kappa", "lambda"),
    "same": BEFORE["same"],
    "new": file_of("new", "1", "mu", "nu"),
}


def synchronise(store: ElasticsearchDocumentStore, wanted: Files) -> None:
    """What an ingestion does: files that are unchanged by their version are skipped, those that are gone removed."""
    known = {file.id: file.meta["version"] for file in store.get_all_files()}
    todo = [pair for id, pair in wanted.items() if known.get(id) != pair[0].meta["version"]]
    # One by one and together, so that new files wait for a refresh while others are replaced.
    for pair in todo[1:]:
        store.write_files([pair])
    store.write_files(todo[:1])
    store.delete_files([id for id in known if id not in wanted])
    store.finish_writing()


def state(store: ElasticsearchDocumentStore) -> list[Any]:
    """All that readers see."""
    passages = sorted((d.id, d.content, sorted(d.meta.items())) for d in store.get_all_documents())
    return [passages, [(file.id, sorted(file.meta.items())) for file in store.get_all_files()]]


def stored(client: Elasticsearch, index: str) -> tuple[list[str], int, dict[str, Any]]:
    """What is there, seen by readers or not: passages' ids, number of records, and the journal's open matters."""
    client.indices.refresh(index=f"{index}*")
    hits = client.search(index=index, size=1000)["hits"]["hits"]
    journal = client.get(index=f"{index}.journal", id="journal")["_source"]["journal"]
    matters = {name: journal[name] for name in ("writes", "dead", "gone")}
    return sorted(hit["_source"]["id"] for hit in hits), client.count(index=f"{index}.files")["count"], matters


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_at(store: ElasticsearchDocumentStore, request: int, after: bool) -> None:
    """Lets the store die at its n-th request from now, before it is sent or after it is answered."""
    transport = store.client.transport
    send, calls = transport.perform_request, itertools.count(1)

    def dying(*arguments: Any, **options: Any) -> Any:
        call = next(calls)
        if call > request or (call == request and not after):
            raise Killed
        answer = send(*arguments, **options)
        if call == request:
            raise Killed
        return answer

    transport.perform_request = dying  # type: ignore[method-assign]


@pytest.mark.case("D2")
@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_request_the_next_run_completes(
    open_store: Open, client: Elasticsearch, index: str, after: bool
) -> None:
    """Wherever an ingestion is killed, readers see whole files, and the next one ends as if nothing had happened."""
    clean = open_store(index=f"{index}-clean")
    synchronise(clean, BEFORE)
    synchronise(clean, AFTER)
    expected, expected_stored = state(clean), stored(client, f"{index}-clean")
    assert expected_stored == (
        sorted(d.id for _, ds in AFTER.values() for d in ds),
        4,
        {"writes": {}, "dead": {}, "gone": {}},
    )
    reader = open_store()
    for request in itertools.count(1):
        name = f"{index}-{request}"
        writer, reader.index = open_store(index=name), name
        synchronise(writer, BEFORE)
        kill_at(writer, request, after)
        try:
            synchronise(writer, AFTER)
        except Killed:
            pass
        else:
            assert request > 15
            break
        for id in BEFORE.keys() | AFTER.keys():
            seen = [passage.content for passage in reader.get_file_passages(id)]
            whole = [[d.content for d in files[id][1]] if id in files else [] for files in (BEFORE, AFTER)]
            assert seen in whole, (request, id)
        next_run = open_store(index=name)
        synchronise(next_run, AFTER)
        assert state(next_run) == expected, request
        assert stored(client, name) == expected_stored, request
        assert next_run.problem() is None
        next_run.delete_index(name)


def test_a_killed_process_is_noticed_at_once(
    open_store: Open, client: Elasticsearch, elasticsearch_url: str, index: str
) -> None:
    """What a process on this machine left when it was killed is completed by the next writer, without any waiting."""
    synchronise(open_store(), BEFORE)
    program = f"""
import os, signal
from tests.integration import test_elasticsearch as t
store = t.ElasticsearchDocumentStore(url={elasticsearch_url!r}, index={index!r})
send = store.client.transport.perform_request
def dying(method, target, **options):
    answer = send(method, target, **options)
    if "_bulk" in target and ".files." in target:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
store.client.transport.perform_request = dying
store.write_files(list(t.AFTER.values()))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [d.content for d in open_store().get_file_passages("changed")] == ["alpha stays", "beta goes", "gamma goes"]
    next_run = open_store()
    next_run.finish_writing()
    assert [d.content for d in next_run.get_file_passages("changed")] == ["alpha stays", "iota"]
    synchronise(next_run, AFTER)
    ids, records, matters = stored(client, index)
    assert ids == sorted(d.id for _, ds in AFTER.values() for d in ds)
    assert (records, matters) == (4, {"writes": {}, "dead": {}, "gone": {}})


@pytest.mark.case("E8")
def test_two_writers_of_one_file(open_store: Open, client: Elasticsearch, index: str, figure: Figure) -> None:
    """Whoever wins, the file has the passages of exactly one version, its record names it, and nothing is left over."""
    open_store().write_files([file_of("f", "start", "shared words")])
    lost: list[str] = []

    def write(name: str) -> None:
        store = open_store()
        for n in range(12):
            version = f"{name}{n}"
            lost.extend(store.write_files([file_of("f", version, *(f"shared {part} {version}" for part in "abc"))]))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, "xyz"))
    store = open_store()
    store.finish_writing()
    file = store.get_file("f")
    assert file is not None
    contents = [passage.content for passage in store.get_file_passages("f")]
    assert contents == [f"shared {part} {file.meta['version']}" for part in "abc"]
    assert set(lost) <= {"f"}
    ids, records, matters = stored(client, index)
    assert (len(ids), records, matters) == (3, 1, {"writes": {}, "dead": {}, "gone": {}})
    figure("writes of one file by three at once", 36)
    figure("of them told that another came first", len(lost))


def test_a_writer_taken_for_dead_gives_up(open_store: Open, client: Elasticsearch, index: str) -> None:
    """A writer so slow that another settled its write is told, and leaves no file without its passages."""
    open_store().write_files([BEFORE["changed"]])
    slow = open_store()
    transport = slow.client.transport
    send = transport.perform_request

    def meddling(method: str, target: str, **options: Any) -> Any:
        if "_bulk" in target and ".files." in target and transport.perform_request is meddling:
            transport.perform_request = send  # type: ignore[method-assign]
            journal = client.get(index=f"{index}.journal", id="journal")["_source"]["journal"]
            (write,) = (number for number, entry in journal["writes"].items() if entry["state"] == "writing")
            journal["writes"][write] |= {"host": "elsewhere", "since": 0}
            client.index(index=f"{index}.journal", id="journal", document={"journal": journal})
            open_store().finish_writing()
        return send(method, target, **options)

    transport.perform_request = meddling  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="for dead"):
        slow.write_files([AFTER["changed"]])
    synchronise(open_store(), {"changed": AFTER["changed"]})
    ids, records, matters = stored(client, index)
    assert ids == sorted(passage.id for passage in AFTER["changed"][1])
    assert (records, matters) == (1, {"writes": {}, "dead": {}, "gone": {}})


@pytest.mark.case("E5")
def test_a_full_disk_is_told_and_survived(open_store: Open, client: Elasticsearch, index: str) -> None:
    """An index that the server made read-only refuses writes as full, is still searched, and goes on when freed."""
    store = open_store()
    synchronise(store, BEFORE)
    client.indices.put_settings(index=f"{index}*", settings={"index.blocks.read_only_allow_delete": True})
    for write in (
        lambda: store.write_files([AFTER["new"]]),
        lambda: store.delete_files(["same"]),
        lambda: store.write_documents([Document(id="x", content="y")]),
        lambda: store.update_document_meta(BEFORE["same"][1][0].id, {"a": 1}),
    ):
        with pytest.raises(StoreFullError, match="flood-stage"):
            write()
    assert [found.content for found in store.query("epsilon")] == ["epsilon"]
    client.indices.put_settings(index=f"{index}*", settings={"index.blocks.read_only_allow_delete": None})
    synchronise(store, AFTER)
    assert stored(client, index)[0] == sorted(d.id for _, ds in AFTER.values() for d in ds)


@pytest.mark.case("E10")
def test_others_indexes_are_left_alone(open_store: Open, client: Elasticsearch, index: str) -> None:
    """An index that somebody else made is neither written, read, listed nor deleted."""
    client.index(index=index, id="1", document={"content": "theirs"}, refresh=True)
    store = open_store()
    for call in (
        lambda: store.write_documents([Document(content="ours")]),
        lambda: store.query("theirs"),
        lambda: store.write_labels([], index=index),
        lambda: store.delete_index(index),
        store.delete_all_documents,
    ):
        with pytest.raises(SettingsError, match=f"index {index} exists and was not made by this application"):
            call()
    assert index not in store.get_indexes()
    assert client.count(index=index)["count"] == 1


def test_documents_and_labels_are_not_mixed_up(open_store: Open, index: str) -> None:
    """An index of labels is not taken for one of documents, nor the other way round."""
    store = open_store()
    store.write_labels([], index=index)
    with pytest.raises(SettingsError, match="holds labels"):
        store.write_documents([Document(content="x")])
    with pytest.raises(SettingsError, match="one each"):
        open_store(label_index=index)


@pytest.mark.case("D10")
def test_a_newer_schema_is_refused(open_store: Open, client: Elasticsearch, index: str) -> None:
    """An index that a later version of the application made is an error that asks for an upgrade."""
    open_store().write_documents([Document(content="x")])
    meta = client.indices.get_mapping(index=index)[f"{index}-000001"]["mappings"]["_meta"]
    client.indices.put_mapping(index=index, meta={**meta, "schema": 2})
    with pytest.raises(StoreError, match="upgrade"):
        open_store().query("x")


def test_bad_names_are_refused(open_store: Open) -> None:
    """A name that Elasticsearch does not take is an error of the request."""
    with pytest.raises(InvalidRequestError, match="name"):
        open_store().write_documents([Document(content="x")], index="Upper")


@pytest.mark.case("E10")
def test_an_index_deleted_under_us_is_noticed(open_store: Open, client: Elasticsearch, index: str) -> None:
    """Using what somebody deleted is an error, nothing is made by itself, and the next writer begins anew."""
    store = open_store()
    synchronise(store, BEFORE)
    client.indices.delete(index=[f"{index}-000001", f"{index}.files-000001", f"{index}.journal-000001"])
    with pytest.raises(StoreError, match="gone"):
        store.query("epsilon")
    with pytest.raises(StoreError, match="gone"):
        store.write_files([BEFORE["same"]])
    assert not client.indices.exists(index=f"{index}*", allow_no_indices=False)
    synchronise(open_store(), {"same": BEFORE["same"]})
    # The first store meets the new one, as a server does while a command indexes anew.
    assert [found.content for found in store.query("epsilon")] == ["epsilon"]
    assert store.write_files([BEFORE["grown"]]) == []


@pytest.mark.case("E9")
def test_metadata_never_grow_the_mapping(open_store: Open, client: Elasticsearch, index: str) -> None:
    """Two thousand different metadata keys leave the mapping as it was, and each can be filtered by."""
    store = open_store()
    store.write_documents([Document(id="0", content="x", meta={"k": 1})])
    before = client.indices.get_mapping(index=index).body
    documents = [Document(id=f"{n}", content="x", meta={f"key{n}-{k}": k for k in range(50)}) for n in range(1, 41)]
    store.write_documents(documents)
    assert client.indices.get_mapping(index=index).body == before
    assert [found.id for found in store.get_all_documents(filters={"key17-49": {"$gt": 48}})] == ["17"]
    assert store.get_metadata_values_by_key("key40-7") == [{"value": 7, "count": 1}]


def test_the_deepest_filter_is_taken(open_store: Open) -> None:
    """A filter nested as deep as the filter language allows is within what the server takes."""
    store = open_store()
    store.write_documents([Document(id="1", content="x", meta={"a": 1})])
    tree: dict[str, Any] = {"a": 1}
    for _ in range(9):
        tree = {"$not": {"$or": [tree, {"b": 2}]}}
    assert store.get_document_count(filters=tree) == 0
    assert store.query("x", filters={"$not": tree})[0].id == "1"


@pytest.mark.parametrize(
    "question", ["河" * 5000, "a-" * 5000, "x " * 5000, " ".join(map(str, range(5000))), "k" * 100_000]
)
def test_no_question_is_too_long(open_store: Open, question: str) -> None:
    """However many words a question has or may be cut into, the server takes it."""
    store = open_store()
    store.write_documents([Document(id="1", content="河 a x 7")])
    assert len(store.query(question)) <= 1


def test_accents_do_not_matter(open_store: Open) -> None:
    """Latin words are found with and without their accents, and come back as they were written."""
    store = open_store()
    store.write_documents([Document(id="1", content="The Rhône"), Document(id="2", content="Sa\u0303o Paulo")])
    assert [found.content for found in store.query("rhone")] == ["The Rhône"]
    assert [found.id for found in store.query("são")] == ["2"]


def test_documents_and_files_meet(open_store: Open, client: Elasticsearch, index: str) -> None:
    """Documents written by themselves replace passages with their ids, and are replaced with their file."""
    store = open_store()
    synchronise(store, {"same": BEFORE["same"]})
    first, second = BEFORE["same"][1]
    store.write_documents([Document(id=first.id, content="rewritten", meta=first.meta)])
    store.write_documents([Document(id=second.id, content="elsewhere", meta={"own": True})])
    store.write_documents([Document(id="loose", content="loose", meta={"file_id": "same"})])
    assert sorted(found.content for found in store.get_all_documents()) == ["elsewhere", "loose", "rewritten"]
    store.write_documents([Document(id=first.id, content="skipped")], duplicate_documents="skip")
    assert store.get_document_by_id(first.id).content == "rewritten"
    store.write_files([BEFORE["same"]])
    store.finish_writing()
    assert [found.content for found in store.get_file_passages("same")] == ["epsilon", "zeta"]
    assert stored(client, index)[0] == sorted([first.id, second.id])


@pytest.mark.case("E4")
def test_problems_are_found(open_store: Open, client: Elasticsearch, index: str) -> None:
    """A file whose passages went missing and an index that lost a part are told."""
    store = open_store()
    synchronise(store, BEFORE)
    assert store.problem() is None
    client.delete_by_query(index=index, query={"match": {"content": "epsilon"}}, refresh=True)
    assert "file same" in (store.problem() or "")
    client.indices.delete(index=f"{index}.journal-000001")
    assert "gone" in (open_store().problem() or "")


def test_pipelines_load_this_store(open_store: Open, elasticsearch_url: str, index: str) -> None:
    """A pipeline's configuration with Haystack's name of the store loads this one, and never holds a password."""
    address = elasticsearch_url.replace("//", "//user:hidden@")
    store = {"name": "Store", "type": "ElasticsearchDocumentStore", "params": {"url": address, "index": index}}
    retriever = {"name": "Retriever", "type": "BM25Retriever", "params": {"document_store": "Store"}}
    nodes = [{"name": "query", "nodes": [{"name": "Retriever", "inputs": ["Query"]}]}]
    config = {"version": "ignore", "components": [store, retriever], "pipelines": nodes}
    pipeline = Pipeline.load_from_config(config)
    loaded = pipeline.get_document_store()
    assert isinstance(loaded, ElasticsearchDocumentStore)
    assert isinstance(loaded, HaystackStore)
    loaded.write_documents([Document(content="some words")])
    assert pipeline.run(query="words")["documents"][0].content == "some words"
    assert "hidden" not in str(pipeline.get_config())
    loaded.close()


def test_embeddings_are_refused(open_store: Open) -> None:
    """What Haystack's store does with embeddings is an error here, not a silent nothing."""
    store = open_store()
    for call in (
        store.update_embeddings,
        store.get_embedding_count,
        store.query_by_embedding,
        store.query_by_embedding_batch,
    ):
        with pytest.raises(InvalidRequestError, match="embeddings"):
            call(None)
    with pytest.raises(InvalidRequestError, match="custom_query"):
        store.query("x", custom_query="{}")


@pytest.mark.case("E2")
def test_a_server_killed_while_it_is_written_to(elasticsearch_node: elasticsearch_server.Node, figure: Figure) -> None:
    """A writer outlasts the server's sudden end and restart; everything acknowledged is there, once."""
    store = ElasticsearchDocumentStore(url=elasticsearch_node.url, index="killed", wait=60)
    store.write_files([file_of("0", "1", "common word 0")])
    started = threading.Event()

    def write() -> None:
        for n in range(1, 60):
            store.write_files([file_of(f"{n}", "1", *(f"common word {n} {k}" for k in range(20)))])
            if n == 5:
                started.set()

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        started.wait(30)
        elasticsearch_node.kill()
        elasticsearch_node.restart()
        writing.result()
    store.finish_writing()
    assert store.get_document_count() == 1 + 59 * 20
    assert store.problem() is None
    figure("passages written across a kill, all found once", 1 + 59 * 20)
    store.close()


@pytest.mark.case("E11")
def test_a_store_outlives_the_servers_restart(elasticsearch_node: elasticsearch_server.Node) -> None:
    """A store that is open while the server restarts answers the next question."""
    store = ElasticsearchDocumentStore(url=elasticsearch_node.url, index="restart")
    store.write_documents([Document(id="1", content="a lasting word")])
    elasticsearch_node.restart()
    assert [found.id for found in store.query("lasting")] == ["1"]
    elasticsearch_node.kill()
    with pytest.raises(StoreUnavailableError, match=elasticsearch_node.url):
        store.query("lasting")
    elasticsearch_node.restart()
    assert [found.id for found in store.query("lasting")] == ["1"]
    store.close()


@pytest.mark.case("E3")
def test_a_paused_server_is_given_up(elasticsearch_node: elasticsearch_server.Node) -> None:
    """A server that holds connections open without answering costs the timeout, reading and writing, and no more."""
    patient = ElasticsearchDocumentStore(url=elasticsearch_node.url, index="paused")
    patient.write_documents([Document(id="1", content="a word")])
    store = ElasticsearchDocumentStore(url=elasticsearch_node.url, index="paused", timeout=1, wait=1)
    elasticsearch_node.pause()
    try:
        with pytest.raises(StoreUnavailableError, match="in time"):
            store.query("word")
        with pytest.raises(StoreUnavailableError, match="in time"):
            store.write_documents([Document(id="2", content="another word")])
        with pytest.raises(StoreUnavailableError, match="in time"):
            ElasticsearchDocumentStore(url=elasticsearch_node.url, timeout=1, wait=0)
    finally:
        elasticsearch_node.resume()
    assert "1" in {found.id for found in patient.query("word")}
    store.close()
    patient.close()
