"""A cluster of three nodes that loses one."""

from __future__ import annotations

import json
import os
import time
import urllib.request

import pytest

from qa_app.errors import StoreError, StoreUnavailableError
from qa_app.stores.elasticsearch import ElasticsearchDocumentStore
from tests.contract.test_files_and_labels import contents, file_of
from tests.elasticsearch_server import Node


def get(node: Node, path: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{node.url}{path}", timeout=10) as answer:
        return list(json.load(answer))


@pytest.mark.case("E13")
@pytest.mark.elasticsearch
@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["master", "primary"])
def test_e13_a_killed_node_loses_nothing(elasticsearch_cluster: list[Node], victim: str) -> None:
    """Every write that was acknowledged is there after the master, or a primary shard's node, is killed under load."""
    name = f"e13-{victim}-{os.getpid()}"
    master = get(elasticsearch_cluster[0], "/_cat/master?format=json")[0]["node"]
    by_name = {row["name"]: row["http"] for row in get(elasticsearch_cluster[0], "/_cat/nodes?format=json&h=name,http")}

    def node_called(wanted: str) -> Node:
        return next(node for node in elasticsearch_cluster if node.url.endswith(by_name[wanted].rpartition(":")[2]))

    spared = next(node for node in elasticsearch_cluster if node is not node_called(master))
    store = ElasticsearchDocumentStore(
        url=spared.url, index=name, label_index=f"{name}-labels", shards=3, replicas=1, wait=60, timeout=30
    )
    acknowledged: dict[str, list[str]] = {}
    doomed: Node | None = None
    for number in range(40):
        if number == 15:
            spared.wait_ready(3, replicas=True)  # a shard that has no copy yet is gone until its node is back
            if victim == "master":
                doomed = node_called(master)
            else:
                shards = get(spared, "/_cat/shards?format=json&h=index,prirep,node")
                primaries = [row["node"] for row in shards if name in row["index"] and row["prirep"] == "p"]
                doomed = next(node_called(one) for one in primaries if node_called(one) is not spared)
            doomed.kill()
        passages = [f"Passage {i} of file{number} stays." for i in range(5)]
        try:
            if not store.write_files([file_of(f"f{number}", *passages)]):
                acknowledged[f"f{number}"] = passages
        except StoreError:
            time.sleep(0.5)
    assert doomed is not None
    doomed.restart()
    doomed.wait_ready(3)
    store.finish_writing()
    assert len(acknowledged) > 30
    for id, passages in acknowledged.items():
        assert contents(store, id) == passages
    store.write_files([file_of("f0", "Rewritten after all.", version="2")])
    assert contents(store, "f0") == ["Rewritten after all."]
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
