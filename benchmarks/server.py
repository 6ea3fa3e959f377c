"""The Elasticsearch server that is measured: the one that QA_TEST_ELASTICSEARCH_URL names, or one of our own."""

from __future__ import annotations

import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.child import say

#: Elasticsearch's own advice is half of the memory; this is enough for a million passages.
_HEAP_MB = 1024


@contextmanager
def server() -> Iterator[str | None]:
    """The address of a server; None, with a line that says why, where there can be none."""
    given = os.environ.get("QA_TEST_ELASTICSEARCH_URL")
    if given:
        yield given
        return
    from tests import elasticsearch_server

    missing = elasticsearch_server.missing()
    if missing:
        say(f"Elasticsearch is left out: {missing}")
        yield None
        return
    say("starting Elasticsearch")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        elasticsearch_server.start_node(Path(folder), heap_mb=_HEAP_MB) as node,
    ):
        yield node.url


def version(url: str) -> str:
    """The server's version."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(json.load(answer)["version"]["number"])


def wait_for_merges(url: str) -> None:
    """Merging what was just written takes a core; a server at rest is measured."""
    for _ in range(300):
        with urllib.request.urlopen(f"{url}/_nodes/stats/indices/merge", timeout=60) as answer:
            nodes = json.load(answer)["nodes"].values()
        if not any(node["indices"]["merges"]["current"] for node in nodes):
            return
        time.sleep(1)
