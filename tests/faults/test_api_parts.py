"""The API where the store or the reader is missing: it is up, says what is missing, and goes on by itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx
import pytest

from tests import elasticsearch_server
from tests.faults.table import Figure
from tests.faults.test_api_access import free_port, run_serve
from tests.ingesting import ingesting, settings_for, write
from tests.serving import serving, wait_until_ready
from tests.unit.fake_elasticsearch import Answer, FakeElasticsearch


def until_it_says(client: httpx.Client, status: int, seconds: float = 60) -> dict[str, object]:
    """The body of /ready as soon as it has the status."""
    deadline = time.monotonic() + seconds
    while (answer := client.get("/ready")).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    body: dict[str, object] = answer.json()
    return body


@pytest.mark.case("E1", "E11")
@pytest.mark.elasticsearch
@pytest.mark.slow
def test_without_its_store_it_is_up_and_connects_later(
    tmp_path: Path, elasticsearch_node: elasticsearch_server.Node, figure: Figure
) -> None:
    """The API starts without Elasticsearch, names it, connects by itself, and survives its restart."""
    node = elasticsearch_node
    settings = settings_for(
        tmp_path / "data", node.url, index=f"e1-{os.getpid()}", elasticsearch_wait=1.0, elasticsearch_timeout=5.0
    )
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", {"a.txt": "The lighthouse keeper is called Ada."}))
    node.kill()
    with serving(settings, ready=False) as api:
        assert api.get("/live").status_code == 200
        body = until_it_says(api, 503)
        assert body["ready"] is False
        until = time.monotonic() + 60
        while node.url not in str(api.get("/ready").json()["missing"].get("store")):
            assert time.monotonic() < until
            time.sleep(0.1)
        answer = api.post("/query", json={"query": "Who keeps the lighthouse?"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert api.get("/initialized").status_code == 503

        node.restart()
        began = time.monotonic()
        wait_until_ready(str(api.base_url).rstrip("/"))
        figure("s until it uses a store that came after it", f"{time.monotonic() - began:.1f}")
        question = {"query": "Who keeps the lighthouse?", "params": {"Reader": {"top_k": 1}}}
        assert api.post("/query", json=question).json()["documents"]

        node.kill()
        assert api.post("/query", json=question).status_code == 503
        assert "store" in str(until_it_says(api, 503)["missing"])
        assert api.get("/live").status_code == 200

        node.restart()
        wait_until_ready(str(api.base_url).rstrip("/"))
        assert api.post("/query", json=question).status_code == 200


@pytest.mark.case("M1")
def test_without_its_reader_it_searches(tmp_path: Path) -> None:
    """A missing model makes /ready 503 and questions 503, without paths of the server; search goes on."""
    settings = settings_for(tmp_path / "data", reader_model=str(tmp_path / "nowhere"))
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", {"a.txt": "The lighthouse keeper is called Ada."}))
    with serving(settings, ready=False) as api:
        until = time.monotonic() + 60
        while "nowhere" not in str(api.get("/ready").json()["missing"].get("reader")):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert api.get("/ready").status_code == 503
        answer = api.post("/query", json={"query": "Who keeps the lighthouse?"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model")
        assert str(tmp_path) not in answer.text
        found = api.post("/search", json={"query": "lighthouse"}).json()["documents"]
        assert [document["meta"]["name"] for document in found] == ["a.txt"]


@pytest.mark.case("E12")
@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_password_ends_the_server(tmp_path: Path, status: int) -> None:
    """What waiting cannot mend, such as Elasticsearch's refusal of the password, ends the process with 2."""
    error = {"error": {"type": "security_exception", "reason": "unable to authenticate"}}
    with FakeElasticsearch(script={"": [Answer(status, error) for _ in range(50)]}) as fake:
        process = run_serve(
            "--port", str(free_port()), data=tmp_path, QA_STORE="elasticsearch", QA_ELASTICSEARCH_URL=fake.url
        )
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert "QA_ELASTICSEARCH" in said or "elasticsearch." in said
    assert "Traceback" not in said


@pytest.mark.case("L4")
def test_a_deadline_is_kept_while_reading(tmp_path: Path) -> None:
    """L4: a question that takes longer than its deadline is 504, the reader stops, and the next one is answered."""
    settings = settings_for(tmp_path / "data", api_deadline=0.1)
    texts = {
        f"{n}.txt": f"The lighthouse number {n} has a keeper. " + "He lights the lamp at dusk. " * 60
        for n in range(150)
    }
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", texts))  # type: ignore[arg-type]
    with serving(settings) as api:
        many = {"query": "Who is the keeper of the lighthouse?", "params": {"Retriever": {"top_k": 200}}}
        started = time.monotonic()
        answer = api.post("/query", json=many)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline")
        assert time.monotonic() - started < 30
        while "qa_app_queue_reading 0.0" not in api.get("/metrics").text:
            assert time.monotonic() - started < 60
            time.sleep(0.05)
        assert api.post("/search", json={"query": "lighthouse"}).status_code == 200
