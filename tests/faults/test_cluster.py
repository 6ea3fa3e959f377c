"""A cluster of three nodes that loses one."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from qa_app.errors import StoreUnavailableError
from qa_app.stores.elasticsearch import ElasticsearchDocumentStore
from tests.contract.test_files_and_labels import contents, file_of
from tests.elasticsearch_server import Node
from tests.faults.table import Figure

KEPT = "The keeper of the lighthouse is called Ada."


def get(node: Node, path: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{node.url}{path}", timeout=10) as answer:
        return list(json.load(answer))


class Load:
    """Threads that write files of their own and one that asks, until they are told to stop."""

    def __init__(self, store: ElasticsearchDocumentStore, writers: int) -> None:
        self._store = store
        self._stop = threading.Event()
        #: What each file may hold: what was acknowledged last, and what was tried since without an answer.
        self.may_hold: dict[str, list[list[str]]] = {}
        #: When a write was acknowledged.
        self.acknowledged: list[float] = []
        self.answers = 0
        #: How often a thread was told that the store is away.
        self.refused = 0
        self._pool = ThreadPoolExecutor(writers + 1)
        self._threads = [self._pool.submit(self._write, writer) for writer in range(writers)]
        self._threads.append(self._pool.submit(self._ask))

    def wait_for(self, writes: int) -> None:
        """Returns when so many more writes are acknowledged; fails with a thread that failed."""
        until, enough = time.monotonic() + 300, len(self.acknowledged) + writes
        while len(self.acknowledged) < enough:
            assert time.monotonic() < until
            for thread in self._threads:
                if thread.done():
                    thread.result()
            time.sleep(0.05)

    def stop(self) -> None:
        self._stop.set()
        self._pool.shutdown()
        for thread in self._threads:
            thread.result()

    def longest_gap(self) -> float:
        """The most seconds between two acknowledged writes, whoever wrote."""
        times = sorted(self.acknowledged)
        return max(after - before for before, after in pairwise(times))

    def _write(self, writer: int) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            id = f"{writer}-{number % 5}"  # new ones, then in place of earlier ones
            passages = [f"Passage {part} of file {id} in state {number} stays." for part in range(5)]
            self.may_hold.setdefault(id, [[]]).append(passages)
            try:
                assert self._store.write_files([file_of(id, *passages, version=str(number))]) == []
            except StoreUnavailableError:
                self.refused += 1
                continue
            self.may_hold[id] = [passages]
            self.acknowledged.append(time.monotonic())

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            try:
                found = self._store.query("keeper of the lighthouse", top_k=10)
            except StoreUnavailableError:
                self.refused += 1
            else:
                assert [passage.content for passage in found] == [KEPT]
                self.answers += 1


@pytest.mark.case("E13")
@pytest.mark.elasticsearch
@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["master", pytest.param("primary", marks=pytest.mark.long)])
def test_e13_a_killed_node_loses_nothing(
    elasticsearch_cluster: list[Node], victim: str, long: bool, figure: Figure
) -> None:
    """Every write that was acknowledged is there after the master, or a primary shard's node, is killed while some
    write and one asks; nobody is told anything but that the store is away, and writing goes on within a minute."""
    name = f"e13-{victim}-{os.getpid()}"
    master = get(elasticsearch_cluster[0], "/_cat/master?format=json")[0]["node"]
    by_name = {row["name"]: row["http"] for row in get(elasticsearch_cluster[0], "/_cat/nodes?format=json&h=name,http")}

    def node_called(wanted: str) -> Node:
        return next(node for node in elasticsearch_cluster if node.url.endswith(by_name[wanted].rpartition(":")[2]))

    spared = next(node for node in elasticsearch_cluster if node is not node_called(master))
    store = ElasticsearchDocumentStore(
        url=spared.url, index=name, label_index=f"{name}-labels", shards=3, replicas=1, wait=60, timeout=30
    )
    store.write_files([file_of("kept", KEPT)])
    store.finish_writing()
    load = Load(store, writers=4)
    load.wait_for(25)
    spared.wait_ready(3, replicas=True)  # a shard that has no copy yet is gone until its node is back
    if victim == "master":
        doomed = node_called(master)
    else:
        shards = get(spared, "/_cat/shards?format=json&h=index,prirep,node")
        primaries = [row["node"] for row in shards if name in row["index"] and row["prirep"] == "p"]
        doomed = next(node_called(one) for one in primaries if node_called(one) is not spared)
    doomed.kill()
    load.wait_for(400 if long else 30)
    load.stop()
    doomed.restart()
    doomed.wait_ready(3)
    store.finish_writing()
    for id, states in load.may_hold.items():
        assert contents(store, id) in states
    figure(f"writes acknowledged around a killed {victim}, and found again", len(load.acknowledged))
    figure("questions answered meanwhile", load.answers)
    figure("times told that the store is away", load.refused)
    figure("s at most between two acknowledged writes", f"{load.longest_gap():.1f}")
    assert load.answers
    assert load.longest_gap() < 60
    store.write_files([file_of("kept", "Rewritten after all.", version="2")])
    assert contents(store, "kept") == ["Rewritten after all."]
    assert store.problem() is None
    store.delete_index(name)
    store.close()


@pytest.mark.case("E4")
@pytest.mark.elasticsearch
@pytest.mark.cluster
@pytest.mark.slow
def test_e4_missing_shards_are_no_answer(elasticsearch_cluster: list[Node]) -> None:
    """While a node holds the only copy of a part and is away, questions fail and nothing is shown as all there is;
    with the node all is there again, and without copies the store is used as it is."""
    first = elasticsearch_cluster[0]
    name = f"e4-{os.getpid()}"
    store = ElasticsearchDocumentStore(
        url=first.url, index=name, label_index=f"{name}-labels", shards=3, replicas=0, wait=2, timeout=10
    )
    store.write_files([file_of(f"f{number}", f"The gull number {number} calls.") for number in range(60)])
    store.finish_writing()
    assert len(store.query("gull", top_k=100)) == 60
    shards = get(first, "/_cat/shards?format=json&h=index,node")
    names = {row["http"].rpartition(":")[2]: row["name"] for row in get(first, "/_cat/nodes?format=json&h=name,http")}
    holding = {row["node"] for row in shards if row["index"].startswith(name)}
    victim = next(node for node in elasticsearch_cluster[1:] if names[node.url.rpartition(":")[2]] in holding)
    victim.kill()
    until = time.monotonic() + 60
    while "red" not in {row["health"] for row in get(first, f"/_cat/indices/{name}*?format=json&h=health")}:
        assert time.monotonic() < until
        time.sleep(0.2)
    for ask in (lambda: store.query("gull", top_k=100), store.get_all_documents, store.get_document_count):
        with pytest.raises(StoreUnavailableError):
            ask()
    victim.restart()
    first.wait_ready(3)
    assert len(store.query("gull", top_k=100)) == 60
    store.delete_index(name)
    store.close()
