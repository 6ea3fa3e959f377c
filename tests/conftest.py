"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import qa_app  # noqa: F401 - switches Haystack's telemetry off before a test imports it
from tests import elasticsearch_server

pytest_plugins = ["tests.faults.table"]
REPOSITORY = Path(__file__).parent.parent
#: The bundled reader made for this processor, once for all tests.
ENGINES = REPOSITORY / ".cache" / "engines"
# Also for fixtures that live longer than a test.
os.environ["QA_READER_ENGINE_CACHE"] = str(ENGINES)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests reaches them, and no test writes into a home folder."""
    for name in list(os.environ):
        if name.startswith("QA_") and not name.startswith("QA_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("QA_READER_MODEL", "bundled")
    monkeypatch.setenv("QA_READER_ENGINE", "openvino")  # the same figures on every processor
    monkeypatch.setenv("QA_READER_ENGINE_CACHE", str(ENGINES))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def elasticsearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Elasticsearch server: the one that QA_TEST_ELASTICSEARCH_URL names, or one of our own."""
    given = os.environ.get("QA_TEST_ELASTICSEARCH_URL")
    if given:
        yield given
        return
    missing = elasticsearch_server.missing()
    if missing:
        if os.environ.get("QA_TEST_REQUIRE_ELASTICSEARCH"):
            pytest.fail(f"tests against Elasticsearch are required, but {missing}")
        pytest.skip(f"{missing}; or name a server in QA_TEST_ELASTICSEARCH_URL")
    node = elasticsearch_server.start_node(tmp_path_factory.mktemp("elasticsearch"))
    yield node.url
    node.stop()


@pytest.fixture(scope="session")
def _own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[elasticsearch_server.Node]:
    missing = elasticsearch_server.missing()
    if missing:
        if os.environ.get("QA_TEST_REQUIRE_ELASTICSEARCH"):
            pytest.fail(f"tests that kill a server are required, but {missing}")
        pytest.skip(missing)
    with elasticsearch_server.start_node(tmp_path_factory.mktemp("own"), heap_mb=256) as own:
        yield own


@pytest.fixture
def elasticsearch_node(_own_node: elasticsearch_server.Node) -> elasticsearch_server.Node:
    """A server of our own, which a test may kill and pause; each uses indexes of its own."""
    _own_node.resume()
    if not _own_node.running:  # a test failed before it restarted it
        _own_node.restart()
    return _own_node


@pytest.fixture(scope="module")  # three servers are not kept running through the whole suite
def elasticsearch_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[elasticsearch_server.Node]]:
    """Three nodes of our own, which a test may kill as long as it restarts them."""
    missing = elasticsearch_server.missing()
    if missing:
        if os.environ.get("QA_TEST_REQUIRE_ELASTICSEARCH"):
            pytest.fail(f"tests against a cluster are required, but {missing}")
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("cluster")
    nodes = elasticsearch_server.start_cluster(folder, settings=elasticsearch_server.QUICK_FAULT_DETECTION)
    yield nodes
    for node in nodes:
        node.stop()


@pytest.fixture(scope="session")
def _traced() -> None:
    """The system calls of processes can be watched and made to fail, which some containers forbid."""
    if shutil.which("strace") is None:
        not_traced("strace, which watches system calls and makes them fail, is not installed")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        not_traced("no process may trace another here")


def not_traced(why: str) -> NoReturn:
    """Ends a test that watches system calls: fails where these tests are required, else skips."""
    if os.environ.get("QA_TEST_REQUIRE_STRACE"):
        pytest.fail(f"tests that watch system calls are required, but {why}")
    pytest.skip(why)
