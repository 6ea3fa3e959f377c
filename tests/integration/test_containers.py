"""The containers' own commands, run as an engine would run them, without one.

From docker-compose.yml and the Dockerfiles come commands, environment, users, mounts and health checks. This machine's
are the packages (in place of the images'), ports and host names. The memory is not limited. Elasticsearch is that of
the other tests: it has no password, and ignores the one that it is sent.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.architecture.test_compose import SECRETS, image, service
from tests.conftest import REPOSITORY
from tests.ingesting import write
from tests.serving import client, wait_until_ready

pytestmark = [pytest.mark.elasticsearch, pytest.mark.reader, pytest.mark.slow]

PAPERS = {
    "lyon.md": "# Lyon\n\nThe Rhône runs through Lyon. The city has 522,250 inhabitants.\n",
    "markup.txt": "The <b>lighthouse</b> & its keeper 🗼 were called *Aurora* by the sailors.\n",
}

# A new file system of nothing but the given mounts, then the command as the given user, who can gain nothing.
_CONTAINER = """
set -e
root=$1 writable=$2
shift 2
mount -t tmpfs -o mode=755 image "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$3"
    if [ "$2" = tmpfs ]; then
        mount -t tmpfs -o "$1" tmpfs "$root$3"
    else
        mount --rbind "$2" "$root$3"
        [ "$1" = rw ] || mount -o remount,bind,ro "$root$3"
    fi
    shift 3
done
shift
[ "$writable" ] || mount -o remount,ro "$root"
exec /usr/sbin/chroot "$root" "$@"
"""


def _namespace() -> list[str]:
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


@dataclass
class Container:
    """A service's container; ``volumes`` are folders by the names of volumes, ``replaced`` what differs here."""

    name: str
    folder: Path
    replaced: dict[str, str]
    volumes: dict[str, Path] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.service = service(self.name, QA_READER_MODEL="bundled")
        self.image = image(self.name)
        self.uid, self.gid = self.image.values("USER")[-1].split(":")
        for mount in self.service.get("volumes", []):
            folder = self.volumes.setdefault(mount.split(":")[0], self.folder / mount.split(":")[0])
            folder.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                os.chown(folder, int(self.uid), int(self.gid))

    def start(self, *command: str, mounts: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
        """The process of the command; ``mounts`` are triples of ``ro`` or ``rw``, folder, and where it is to be."""
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        user = ["--reuid", self.uid, "--regid", self.gid, "--clear-groups"] if os.geteuid() == 0 else []
        confined = ["setpriv", *user, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
        workdir = (self.image.values("WORKDIR") or ["/"])[-1]
        return subprocess.Popen(
            [
                *_namespace(),
                *("sh", "-c", _CONTAINER, "container", str(root), "" if self.service["read_only"] else "writable"),
                *self._mounts(),
                *mounts,
                "--",
                *("env", "-C", workdir, *confined, *command),
            ],
            env={**self.image.environment, **self._here(self.service["environment"]), **self.environment},
            text=True,
            **options,
        )

    def _mounts(self) -> Iterator[str]:
        # First, for the tests themselves may be somewhere under /tmp.
        for mount in self.service["tmpfs"]:
            target, options = mount.split(":")
            yield from (options, "tmpfs", target)
        for folder in ("/usr", "/bin", "/lib", "/lib64", "/etc", sys.base_prefix):
            if Path(folder).is_dir():
                yield from ("ro", folder, folder)
        for folder in ("/dev", "/proc"):
            yield from ("rw", folder, folder)
        # The environment of the tests where the image's own would be, and where it is.
        for folder in (sys.prefix, self.image.environment["PATH"].split("/bin:")[0]):
            yield from ("ro", sys.prefix, folder)
        if self.name == "api":
            for folder in ("qa_app", "samples"):
                yield from ("ro", str(REPOSITORY / folder), str(REPOSITORY / folder))
        else:
            yield from ("ro", str(REPOSITORY / "ui"), "/app/ui")
        for mount in self.service.get("volumes", []):
            volume, target = mount.split(":")
            yield from ("rw", str(self.volumes[volume]), target)

    def _here(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._here(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._here(inner) for inner in value]
        for old, new in self.replaced.items():
            value = value.replace(old, new)
        return value

    def run(self, *command: str, mounts: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """What a command in a container of its own did."""
        process = self.start(*command, mounts=mounts, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def command(self, *arguments: str) -> list[str]:
        """The image's entry point with its own arguments, or these."""
        command: list[str] = self._here(self.image.command(list(arguments)))
        return command

    def check(self) -> list[str]:
        """The command of the health check."""
        kind, *words = self._here(self.service["healthcheck"]["test"])
        return ["sh", "-c", *words] if kind == "CMD-SHELL" else words


class Running:
    """A container that serves, until it is told to end."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self._log = (container.folder / "log").open("w+", encoding="utf-8")
        self.process = container.start(*container.command(), stdout=self._log, stderr=subprocess.STDOUT)

    def wait_until_healthy(self) -> None:
        """Returns when the health check succeeds; fails with the log."""
        until = time.monotonic() + 120
        while (last := self.container.run(*self.container.check())).returncode:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, f"{last.stderr}\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        """What it has written."""
        self._log.flush()
        return (self.container.folder / "log").read_text(encoding="utf-8")

    def stop(self) -> int:
        """Its exit status after the signal with which containers are stopped."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self._log.close()


def _free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


@contextmanager
def _stand_in(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server in place of a real one, for what that seldom does; gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as standing_in:
        threading.Thread(target=standing_in.serve_forever, daemon=True).start()
        yield standing_in.server_port
        standing_in.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _containers_can_be_made() -> None:
    done = subprocess.run([*_namespace(), "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine lets nobody make mount namespaces: {done.stderr.decode().strip()}")


@pytest.fixture(scope="module")
def api(elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The API's container over an index of its own, up, not necessarily ready."""
    container = Container(
        "api",
        tmp_path_factory.mktemp("api"),
        {"http://elasticsearch:9200": elasticsearch_url, "8000": _free_port()},
        environment={"QA_INDEX": f"containers-{uuid.uuid4().hex[:8]}"},
    )
    running = Running(container)
    try:
        running.wait_until_healthy()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def url(api: Running) -> str:
    """Where that API is."""
    return f"http://127.0.0.1:{api.container.replaced['8000']}"


@pytest.fixture(scope="module")
def ingested(api: Running, url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `docker compose run --rm -v PAPERS:/papers:ro api ingest /papers` printed, when the API is ready."""
    papers = write(tmp_path_factory.mktemp("papers"), dict(PAPERS))
    papers.chmod(0o755)
    done = api.container.run(*api.container.command("ingest", "/papers"), mounts=("ro", str(papers), "/papers"))
    assert done.returncode == 0, done.stderr
    wait_until_ready(url)
    return done.stdout


def test_a_container_is_confined(api: Running) -> None:
    """What stands in for an engine holds commands to what docker-compose.yml says, so these tests show what fits in."""
    script = "id -u; touch /x /usr/x || echo read-only; touch /tmp/x /data/x /models/x && rm /data/x /models/x"
    done = api.container.run("sh", "-c", f"{script}; grep -E 'NoNewPrivs|CapBnd|CapEff' /proc/self/status")
    lines = done.stdout.split("\n")
    assert lines[0] == (api.container.uid if os.geteuid() == 0 else "0")
    assert lines[1:-1] == ["read-only", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]


def _check_elasticsearch(port: int | str | None, password: str = SECRETS["ELASTIC_PASSWORD"]) -> int:
    if not shutil.which("curl"):
        pytest.skip("there is no curl here, which Elasticsearch's image has")
    _, command = service("elasticsearch")["healthcheck"]["test"]
    environment = {"PATH": os.environ["PATH"], "ELASTIC_PASSWORD": password}
    here = ["sh", "-c", command.replace("9200", str(port))]
    return subprocess.run(here, env=environment, capture_output=True, check=False).returncode


def test_elasticsearch_is_healthy(elasticsearch_url: str) -> None:
    """Its health check's command succeeds on a server that is up, and fails where none is."""
    assert _check_elasticsearch(urlsplit(elasticsearch_url).port) == 0
    assert _check_elasticsearch(_free_port()) != 0


def test_elasticsearch_is_asked_with_its_password() -> None:
    """The health check sends user and password, as a stand-in sees, since the tests' own server asks for none."""
    expected = "Basic " + base64.b64encode(f"elastic:{SECRETS['ELASTIC_PASSWORD']}".encode()).decode()

    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == expected else 401)
            self.end_headers()

    with _stand_in(Guarded) as port:
        assert _check_elasticsearch(port) == 0
        assert _check_elasticsearch(port, "another") != 0


def test_the_api_is_healthy_and_not_more_open_than_said(api: Running, url: str, ingested: str) -> None:
    """The health check succeeds; a question needs a key, and the page's key empties no index."""
    assert api.container.run(*api.container.check()).returncode == 0
    with client(url) as nobody, client(url, SECRETS["QA_UI_KEY"]) as page:
        assert nobody.post("/query", json={"query": "Which river runs through Lyon?"}).status_code == 401
        assert page.post("/documents/delete_all", json={"index": "documents"}).status_code == 403


@pytest.mark.parametrize(("name", "port"), [("api", "8000"), ("ui", "8501")])
def test_a_health_check_can_fail(tmp_path: Path, name: str, port: str) -> None:
    """A container whose server is gone, or answers with an error, is not healthy."""

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

    with _stand_in(Broken) as broken:
        for there in (str(broken), _free_port()):
            container = Container(name, tmp_path / there, {port: there})
            assert container.run(*container.check()).returncode != 0


def test_papers_are_ingested_and_asked(url: str, ingested: str) -> None:
    """The command of docker-compose.yml indexes a folder of this machine; the API answers from it with its key."""
    assert ingested.startswith("2 indexed")
    with client(url, SECRETS["QA_UI_KEY"]) as page:
        body = page.post("/query", json={"query": "Which river runs through Lyon?"}).json()
    best = body["answers"][0]
    assert "Rhône" in best["answer"]
    assert best["meta"]["path"] == "lyon.md"


def test_an_upload_is_indexed_and_kept(api: Running, url: str, ingested: str) -> None:
    """A file that comes over HTTP with the page's key is indexed, and its original lies in the volume."""
    text = b"Oslo was founded in 1040 by Harald Hardrada.\n"
    with client(url, SECRETS["QA_UI_KEY"]) as page:
        done = page.post("/file-upload", files={"files": ("oslo.txt", text)})
        assert done.status_code == 200, done.text
        body = page.post("/query", json={"query": "Who founded Oslo?"}).json()
    assert "Harald Hardrada" in body["answers"][0]["answer"]
    kept = [path for path in api.container.volumes["data"].rglob("*") if path.is_file()]
    assert text in [path.read_bytes() for path in kept]


def test_nobody_listens_without_keys(api: Running) -> None:
    """The image alone, without keys, refuses to listen on every address."""
    bare = Container("api", api.container.folder / "bare", {"8000": _free_port()}, environment={"QA_API_KEYS": ""})
    done = bare.run(*bare.command())
    assert done.returncode == 2
    assert "QA_API_KEYS" in done.stderr


@pytest.fixture(scope="module")
def page(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The page's container, up."""
    replaced = {"http://api:8000": url, "8501": _free_port()}
    running = Running(Container("ui", tmp_path_factory.mktemp("ui"), replaced))
    try:
        running.wait_until_healthy()
        yield running
    finally:
        running.stop()


def test_the_page_is_served(page: Running) -> None:
    """The page's container serves it and is healthy, without a warning."""
    answer = httpx.get(f"http://127.0.0.1:{page.container.replaced['8501']}/")
    assert answer.status_code == 200
    assert "text/html" in answer.headers["content-type"]
    assert not [line for line in page.log().splitlines() if "warn" in line.lower() or "error" in line.lower()]


def test_containers_end_when_they_are_told_to(api: Running, page: Running) -> None:
    """A stop is no failure."""
    assert page.stop() == 0
    assert api.stop() == 0
