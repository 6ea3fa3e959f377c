"""The store's dealings with a server that is away, busy, full, forbidding or not what it should be."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from qa_app.errors import QaAppError, SettingsError, StoreError, StoreFullError, StoreUnavailableError
from qa_app.stores.elasticsearch import bulk
from qa_app.stores.elasticsearch.bulk import Operation, put, send
from qa_app.stores.elasticsearch.connection import Connection
from qa_app.stores.elasticsearch.errors import IndexGoneError
from qa_app.stores.elasticsearch.mapping import Names
from qa_app.stores.elasticsearch.records import Records
from tests.unit.fake_elasticsearch import Answer, FakeElasticsearch, Item

FULL = Item(
    429,
    "cluster_block_exception",
    "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];",
)


@pytest.fixture
def fake() -> Iterator[FakeElasticsearch]:
    with FakeElasticsearch() as server:
        yield server


def connect(url: str, wait: float = 5.0, timeout: float = 5.0, **changes: str) -> Connection:
    settings = {"username": "", "password": "", "api_key": "", "ca_certs": "", **changes}
    return Connection(url, timeout=timeout, wait=wait, **settings)


def operations(count: int, size: int = 10) -> list[Operation]:
    return [put(f"{n}", {"content": "x" * size}, f"document {n}") for n in range(count)]


@pytest.mark.case("E6")
def test_only_what_the_server_was_too_busy_for_is_sent_again(fake: FakeElasticsearch) -> None:
    """Of ten documents, the four that met a busy server are repeated, the refused one is named with exact counts."""
    for id in ("1", "4", "7"):
        fake.items[id] = [Item(429)]
    fake.items["8"] = [Item(503, "unavailable_shards_exception", "primary shard is not active"), Item(429)]
    fake.items["5"] = [Item(400, "mapper_parsing_exception", "failed to parse")]
    with pytest.raises(StoreError, match=r"1 of 10 documents.*document 5: failed to parse") as caught:
        send(connect(fake.url), "x", operations(10))
    assert type(caught.value) is StoreError
    assert fake.bulks == [[str(n) for n in range(10)], ["1", "4", "7", "8"], ["8"]]
    assert sorted(fake.documents) == [str(n) for n in range(10) if n != 5]


@pytest.mark.case("E6")
def test_all_else_is_written_before_a_refusal_is_reported(
    fake: FakeElasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused document in the first of many requests keeps no later one from being written."""
    monkeypatch.setattr(bulk, "MAX_OPERATIONS", 3)
    fake.items["0"] = [Item(400, "mapper_parsing_exception", "failed to parse")]
    with pytest.raises(StoreError, match="1 of 10"):
        send(connect(fake.url), "x", operations(10))
    assert len(fake.documents) == 9


@pytest.mark.case("E7")
def test_a_lost_answer_is_asked_for_again(fake: FakeElasticsearch) -> None:
    """Where the connection breaks after the server did its work, the repetition changes nothing."""
    fake.script["_bulk"] = [Answer(drop=True)]
    assert send(connect(fake.url), "x", operations(10)) == []
    assert len(fake.documents) == 10
    assert len(fake.bulks) == 2


@pytest.mark.case("E6")
def test_a_busy_server_is_given_time(fake: FakeElasticsearch) -> None:
    """A whole request that meets a busy server or proxy is sent again."""
    fake.script["_bulk"] = [
        Answer(429, {"error": {"type": "circuit_breaking_exception", "reason": "too much"}}),
        Answer(502),
    ]
    assert send(connect(fake.url), "x", operations(2)) == []
    assert len(fake.documents) == 2


@pytest.mark.case("E6")
def test_patience_with_a_busy_server_ends(fake: FakeElasticsearch) -> None:
    """A server that stays busy for longer than the wait is reported as unavailable, with what was written."""
    fake.items["1"] = [Item(429)] * 1000
    with pytest.raises(StoreUnavailableError, match=f"{fake.url}.*1 documents were written"):
        send(connect(fake.url, wait=0.3), "x", operations(2))
    assert len(fake.bulks) > 2


def test_requests_are_bounded(fake: FakeElasticsearch) -> None:
    """No request has more than 4,000 operations or much more than five megabytes, and every document arrives."""
    send(connect(fake.url), "x", operations(9000))
    assert [len(ids) for ids in fake.bulks] == [4000, 4000, 1000]
    fake.sizes.clear()
    send(connect(fake.url), "x", operations(30, size=500_000))
    assert len(fake.sizes) == 4
    assert max(fake.sizes) < 5_100_000


def test_a_request_that_is_too_large_is_halved(fake: FakeElasticsearch) -> None:
    """A server that takes less than we send gets smaller requests, and only what cannot be halved is refused."""
    fake.largest = 3_000
    too_large = put("big", {"content": "x" * 5_000}, "document big")
    with pytest.raises(StoreError, match=r"1 of 9 documents.*document big"):
        send(connect(fake.url), "x", [*operations(8, size=1_000), too_large])
    assert len(fake.documents) == 8


def test_a_full_server_is_not_asked_twice(fake: FakeElasticsearch) -> None:
    """A read-only index ends the writing at once, although its status is the one of a busy server."""
    fake.items["0"] = [FULL] * 10
    with pytest.raises(StoreFullError, match="flood-stage"):
        send(connect(fake.url), "x", operations(3))
    assert len(fake.bulks) == 1


def test_conflicts_are_returned(fake: FakeElasticsearch) -> None:
    """Documents that met another version than they asked for are named, and are no error."""
    fake.items["2"] = [Item(409, "version_conflict_engine_exception", "version conflict")]
    assert send(connect(fake.url), "x", operations(4)) == ["2"]


def test_an_index_that_is_gone_is_not_made(fake: FakeElasticsearch) -> None:
    """A write into an index that was deleted meanwhile is an error of its own."""
    fake.items["0"] = [Item(404, "index_not_found_exception", "no such index [x] and [require_alias] is set")]
    with pytest.raises(IndexGoneError, match="gone"):
        send(connect(fake.url), "x", operations(1))


def test_a_starting_server_is_waited_for(fake: FakeElasticsearch, caplog: pytest.LogCaptureFixture) -> None:
    """A server that is not ready yet is asked until it is, and one line says so."""
    fake.script[""] = [Answer(503), Answer(drop=True), Answer(503)]
    with caplog.at_level(logging.WARNING, "qa_app"):
        assert connect(fake.url).version == (8, 19, 0)
    assert [record.getMessage() for record in caplog.records] == [
        f"Elasticsearch at {fake.url} does not answer yet; waiting up to 5 s"
    ]


def test_no_server_is_an_error_that_names_it() -> None:
    """Where nobody listens, the error names the address, the reason and the setting."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(StoreUnavailableError, match=f"{url}.*refused.*QA_ELASTICSEARCH_URL") as caught:
            connect(url, wait=0.1)
    assert caught.value.exit_code == 4


@pytest.mark.case("E3")
def test_a_silent_server_does_not_hang_a_request(fake: FakeElasticsearch) -> None:
    """A request that gets no answer within the timeout is given up, reading and writing."""
    connection = connect(fake.url, timeout=0.2)
    fake.script["_bulk"] = [Answer(delay=1.0)]
    fake.script["_search"] = [Answer(delay=1.0)]
    with pytest.raises(StoreUnavailableError, match="in time"):
        send(connection, "x", operations(1))
    with pytest.raises(StoreUnavailableError, match="in time"):
        connection.search(index="x")


@pytest.mark.case("E12")
@pytest.mark.parametrize(
    ("status", "cause"), [(401, "QA_ELASTICSEARCH_PASSWORD"), (403, "forbids"), (404, "refused"), (400, "refused")]
)
def test_a_server_that_says_no_is_not_waited_for(fake: FakeElasticsearch, status: int, cause: str) -> None:
    """Wrong credentials and the like end at once, with a reason, and without the password."""
    fake.script[""] = [Answer(status, {"error": {"type": "security_exception", "reason": "no"}})] * 2
    address = fake.url.replace("//", "//someone:hid%2Fden@")
    with pytest.raises(QaAppError, match=cause) as caught:
        connect(address)
    assert fake.authorizations == ["Basic c29tZW9uZTpoaWQvZGVu"]
    assert caught.value.exit_code == (2 if status in (401, 403) else 4)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "hid" not in str(chain)
        chain = chain.__cause__ or chain.__context__


@pytest.mark.case("E12")
def test_an_old_server_is_refused() -> None:
    """A server before 7.17 is an error of the settings that names both versions."""
    with FakeElasticsearch(version="7.16.3") as old, pytest.raises(SettingsError, match=r"7\.16\.3; 7\.17"):
        connect(old.url)


@pytest.mark.case("E12")
def test_what_is_not_elasticsearch_is_refused() -> None:
    """Another program that answers at the address is an error of the settings."""
    with FakeElasticsearch(product=False) as other, pytest.raises(SettingsError, match="not Elasticsearch"):
        connect(other.url)


@pytest.mark.parametrize("url", ["", "localhost:9200", "ftp://x", "http://", "http://x:port", "//u:hidden@x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """A malformed address is an error of the settings that shows it without the password."""
    with pytest.raises(SettingsError, match="QA_ELASTICSEARCH_URL") as caught:
        connect(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.case("E4")
@pytest.mark.parametrize(
    "answer",
    [
        {"_shards": {"total": 3, "successful": 2, "failed": 1}, "hits": {"hits": []}},
        {"_shards": {"failed": 0}, "timed_out": True, "hits": {"hits": []}},
    ],
)
def test_a_part_of_an_answer_is_no_answer(fake: FakeElasticsearch, answer: dict[str, object]) -> None:
    """Hits of some shards only, or of those that were quick enough, are never shown as all."""
    fake.script["_search"] = [Answer(body=answer)]
    with pytest.raises(StoreUnavailableError, match="part"):
        connect(fake.url).search(index="x")


def test_a_search_that_fails_on_its_shards_is_unavailable(fake: FakeElasticsearch) -> None:
    """A missing shard is a server in trouble, not a bug, and its reason is told."""
    causes = [{"type": "no_shard_available_action_exception", "reason": "no shard"}]
    error = {"type": "search_phase_execution_exception", "reason": "all shards failed", "root_cause": causes}
    fake.script["_search"] = [Answer(503, {"error": error})]
    with pytest.raises(StoreUnavailableError, match="no shard"):
        connect(fake.url).search(index="x")


@pytest.mark.case("E2", "E4")
def test_a_shard_that_is_not_back_yet(fake: FakeElasticsearch) -> None:
    """Whoever writes waits for a shard of a server that was just restarted; to others it is unavailable."""
    reason = {"type": "no_shard_available_action_exception", "reason": "No shard available"}
    away = Answer(body={"docs": [{"_id": "x", "error": reason}]})
    fake.script["_mget"] = [away, away, Answer(body={"docs": [{"_id": "x", "found": False}]}), away]
    assert Records(connect(fake.url).patient()).get(Names("i", "1"), ["x"]) == {}
    with pytest.raises(StoreUnavailableError, match="No shard"):
        Records(connect(fake.url)).get(Names("i", "1"), ["x"])


@pytest.mark.case("E11")
def test_a_broken_connection_is_used_once_more(fake: FakeElasticsearch) -> None:
    """A search over a connection that did not survive the server's restart is repeated once."""
    hits = Answer(body={"_shards": {"failed": 0}, "hits": {"hits": []}})
    fake.script["_search"] = [Answer(drop=True), hits, Answer(drop=True), Answer(drop=True)]
    connection = connect(fake.url)
    assert connection.search(index="x")["hits"] == {"hits": []}
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        connection.search(index="x")


def _certificate(folder: Path, address: str) -> tuple[Path, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


@pytest.mark.case("E12")
def test_a_trusted_certificate_is_needed(tmp_path: Path) -> None:
    """TLS works with the authority's file, and without it is refused at once and never left unchecked."""
    public, context = _certificate(tmp_path, "127.0.0.1")
    with FakeElasticsearch(tls=context) as server:
        assert connect(server.url, ca_certs=str(public)).version == (8, 19, 0)
        with pytest.raises(SettingsError, match="QA_ELASTICSEARCH_CA_CERTS"):
            connect(server.url)


@pytest.mark.case("E12")
def test_the_certificate_must_name_the_server(tmp_path: Path) -> None:
    """A trusted certificate of another host is refused."""
    public, context = _certificate(tmp_path, "192.0.2.1")
    with FakeElasticsearch(tls=context) as server, pytest.raises(SettingsError, match="not trusted"):
        connect(server.url, ca_certs=str(public))


@pytest.mark.case("E12")
def test_certificates_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A file of certificates that is missing or holds something else is an error that names it."""
    other = tmp_path / "other.pem"
    other.write_text("no certificate")
    for path in (str(other), str(tmp_path / "missing.pem")):
        with pytest.raises(SettingsError, match=path):
            connect("https://127.0.0.1:1", ca_certs=path)
