"""``qa-app up`` and ``qa-app ui`` as a person runs them: two servers, where to look, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from streamlit.config import get_config_options

from qa_app.cli import page, servers
from qa_app.settings import load
from tests.architecture.test_compose import image
from tests.conftest import REPOSITORY
from tests.serving import wait_until_ready

SECONDS = 120.0
KEY = "a-key-that-somebody-else-has"


def until(true: Callable[[], bool], what: str) -> None:
    """Returns when ``true`` says so."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        return int(one.getsockname()[1])


def listened_on(port: int) -> bool:
    """Whether anybody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def is_server(child: psutil.Process) -> bool:
    """Whether a child process runs a server, and not yet the command that starts it, nor a browser."""
    try:
        return child.cmdline()[1:3] == ["-I", "-c"]
    except psutil.Error:
        return False


class Running:
    """A command in a process group of its own, as a shell starts it, on ports of its own."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        terminal: bool = False,
        package: Path | None = None,
        **environment: str,
    ) -> None:
        self.folder = folder
        self.page_port, self.api_port = free_port(), free_port()
        self.page, self.api = f"http://127.0.0.1:{self.page_port}", f"http://127.0.0.1:{self.api_port}"
        self.opened = folder / "opened"
        browser = folder / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(self.opened))}\n')
        browser.chmod(0o755)
        self._said = folder / "said"
        ports = ["--port", str(self.page_port)]
        if arguments[0] == "up":
            ports += ["--api-port", str(self.api_port)]
        self._terminal, stdout = pty.openpty() if terminal else (-1, subprocess.DEVNULL)
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("qa-app"), *arguments, *ports],
                cwd=folder,
                env={
                    **os.environ,
                    "QA_DATA_DIR": str(folder / "data"),
                    "QA_READER_MODEL": "bundled",
                    "BROWSER": str(browser),
                    "STREAMLIT_SERVER_SCRIPT_HEALTH_CHECK_ENABLED": "true",
                    **({"PYTHONPATH": str(package)} if package else {}),
                    **environment,
                },
                stdout=stdout,
                stderr=said,
                start_new_session=True,
            )
        if terminal:
            os.close(stdout)
        self.seen: list[psutil.Process] = []

    @property
    def said(self) -> str:
        """What it said on standard error so far."""
        return self._said.read_text(encoding="utf-8")

    def servers(self, number: int) -> list[psutil.Process]:
        """Its servers, as soon as there are so many."""
        parent = psutil.Process(self.process.pid)
        until(lambda: sum(map(is_server, parent.children())) >= number, "they do not start")
        self.seen = parent.children(recursive=True)
        return [child for child in parent.children() if is_server(child)]

    def told(self) -> str:
        """The last line, with the page's address, as soon as it is there."""
        until(lambda: "Page: " in self.said or self.process.poll() is not None, self.said)
        lines = [line for line in self.said.splitlines() if re.match("(API|Page): ", line)]
        assert lines, self.said
        self.seen = psutil.Process(self.process.pid).children(recursive=True)
        return lines[-1]

    def ended(self) -> int:
        """The exit code, when it has ended and left nothing behind."""
        code = self.process.wait(SECONDS)
        self.left_nothing()
        return code

    def left_nothing(self) -> None:
        """Fails where a process of it still runs or a port is still taken."""
        _, alive = psutil.wait_procs(self.seen, timeout=0 if self.process.returncode is not None else SECONDS)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
        assert not listened_on(self.page_port)
        assert not listened_on(self.api_port)

    def close(self) -> None:
        """Ends it however it is."""
        self.process.kill()
        self.process.wait()
        if self._terminal >= 0:
            os.close(self._terminal)


@contextmanager
def running(folder: Path, *arguments: str, **options: object) -> Iterator[Running]:
    """A command that is ended with the block at the latest."""
    made = Running(folder, *arguments, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def told_apart(children: list[psutil.Process]) -> tuple[psutil.Process, psutil.Process]:
    """The API and the page."""
    [page_child] = [child for child in children if '["streamlit"' in child.cmdline()[-1]]
    [api_child] = [child for child in children if child != page_child]
    return api_child, page_child


@pytest.mark.reader
def test_both_answer_where_it_says_and_ctrl_c_ends_both(tmp_path: Path) -> None:
    """The addresses that are told answer, the page's last; Ctrl-C ends both; without a terminal no browser opens."""
    (tmp_path / "json.py").write_text("raise SystemExit('not of Python')")  # nothing in the folder passes for a module
    (tmp_path / "ui").mkdir()
    with running(tmp_path, "up") as up:
        assert up.told() == f"Page: {up.page}  (open it in a browser; Ctrl-C ends both)"
        assert f"API:  {up.api}\n" in up.said
        assert httpx.get(f"{up.api}/live").status_code == 200
        assert httpx.get(f"{up.page}/_stcore/health").text == "ok"
        assert "<title>" in httpx.get(up.page).text
        assert "You can now view" not in up.said
        os.killpg(up.process.pid, signal.SIGINT)
        assert up.ended() == 130
        assert "Traceback" not in up.said
        assert not up.opened.exists()


@pytest.mark.reader
@pytest.mark.slow
def test_with_keys_the_page_gets_one_of_its_own(tmp_path: Path) -> None:
    """A fresh key that writes is known to the page alone: in no argument, no message, and as a hash in the API."""
    with running(tmp_path, "up", "--no-open", terminal=True, QA_API_KEYS=f"admin:{KEY}", QA_API_KEY="not this") as up:
        up.told()
        api_child, page_child = told_apart(up.servers(2))
        key = page_child.environ()["QA_API_KEY"]
        files, everything = f"{up.api}/files", f"{up.api}/documents/delete_all"
        bearer = {"Authorization": f"Bearer {key}"}
        wait_until_ready(up.api)
        assert httpx.get(files).status_code == 401
        assert httpx.get(files, headers=bearer).status_code == 200
        assert httpx.delete(f"{files}/nobody", headers=bearer).status_code == 404
        assert httpx.post(everything, headers=bearer, json={}).status_code == 403
        assert httpx.get(files, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
        assert len(key) >= 32
        for process in (psutil.Process(up.process.pid), api_child, page_child):
            assert key not in " ".join(process.cmdline())
        assert key not in str(api_child.environ())
        assert key not in up.said
        given = {name for name in page_child.environ() if name.startswith("QA_")}
        assert given == {"QA_API_URL", "QA_API_KEY"}
        up.process.terminate()
        assert up.ended() == 0
        assert not up.opened.exists()


@pytest.mark.slow
def test_the_browser_opens_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal the browser is sent to the page, once it answers; when the terminal goes, both end."""
    with running(tmp_path, "up", terminal=True) as up:
        until(up.opened.exists, up.said)
        until(lambda: up.opened.read_text() == f"{up.page}\n", up.said)
        assert httpx.get(f"{up.page}/_stcore/health").status_code == 200
        up.servers(2)
        up.process.send_signal(signal.SIGHUP)
        assert up.ended() == 0


def test_nothing_is_left_of_a_killed_one(tmp_path: Path) -> None:
    """Both servers end when SIGKILL leaves the command no time to end them."""
    with running(tmp_path, "up", "--no-open") as up:
        up.servers(2)
        until(lambda: listened_on(up.page_port), up.said)
        up.servers(2)
        up.process.kill()
        up.left_nothing()


@pytest.mark.parametrize("name", ["the API", "the page"])
def test_one_that_ends_takes_the_other_along(name: str, tmp_path: Path) -> None:
    """Where one server is killed, the other is ended, and the message says which it was and how."""
    with running(tmp_path, "up", "--no-open") as up:
        told_apart(up.servers(2))[name == "the page"].kill()
        assert up.ended() == 1
        assert f"error: {name} was ended by SIGKILL" in up.said


def test_the_reason_of_a_server_is_the_reason_of_all(tmp_path: Path) -> None:
    """An API that refuses its settings says so itself, and its exit code is the command's."""
    with running(tmp_path, "up", "--no-open", QA_API_KEYS="nonsense") as up:
        assert up.ended() == 2
        assert "scope:key" in up.said
        assert "error: the API ended by itself with exit code 2" in up.said


STUBBORN = """
import os, sys
from qa_app.cli import servers
port, grace = int(sys.argv[1]), float(sys.argv[2])
one = servers.Server(
    name="the server", command=["http.server", "--bind", "127.0.0.1", str(port)], environment=dict(os.environ),
    health=f"http://127.0.0.1:{port}/", grace=grace,
)
with servers.running(one):
    servers.wait([one], one.is_up)
    print(one.process.pid, flush=True)
    servers.wait([one])
"""


@pytest.mark.parametrize(
    ("grace", "signals"), [("0.1", [signal.SIGTERM]), ("1000000", [signal.SIGTERM, signal.SIGINT])]
)
def test_a_server_that_does_not_end_is_killed(grace: str, signals: list[signal.Signals], tmp_path: Path) -> None:
    """When its grace is over, or with a second signal, a server that hangs is ended all the same."""
    port = free_port()
    command = [sys.executable, "-c", STUBBORN, str(port), grace]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        child = psutil.Process(int(process.stdout.readline()))
        child.suspend()
        for number in signals:
            process.send_signal(number)
            if number == signal.SIGTERM:
                assert any("ending" in line for line in process.stderr)
        process.wait(SECONDS)
        assert not child.is_running()
        assert not listened_on(port)


def refused(folder: Path, *arguments: str, before: str = "", **environment: str) -> str:
    """What a command says that ends with exit code 2 before it starts anything."""
    run = f"import sys; sys.argv[0] = 'qa-app'; {before}\nfrom qa_app.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", run, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "starting" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("command", "option"), [(["up"], "--port"), (["up", "--port", "0"], "--api-port"), (["ui"], "--port")]
)
def test_a_taken_port_is_found_before_anything_starts(command: list[str], option: str, tmp_path: Path) -> None:
    """The message names the port and the option that chooses another."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        said = refused(tmp_path, *command, option, port, QA_API_PORT=str(free_port()))
        assert f"listens on 127.0.0.1:{port}" in said
        assert f"choose another port with {option}" in said


def test_ports_and_addresses_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """One port for both, numbers that are no ports, foreign addresses, and an API without http: each is explained."""
    one = str(free_port())
    assert f"cannot both have port {one}" in refused(tmp_path, "up", "--port", one, "--api-port", one)
    assert "over 65535" in refused(tmp_path, "ui", "--port", "70000")
    assert "192.0.2.1:0 cannot be listened on" in refused(tmp_path, "ui", "--port", "0", "--host", "192.0.2.1")
    assert "'ftp://x' does not begin with http" in refused(tmp_path, "ui", "--port", "0", "--api-url", "ftp://x")


@pytest.mark.parametrize("command", ["up", "ui"])
@pytest.mark.parametrize("package", ["streamlit", "httpx"])
def test_a_missing_package_is_named(command: str, package: str, tmp_path: Path) -> None:
    """Where the page's packages are not installed, the message names what is missing and what installs it."""
    said = refused(
        tmp_path, command, "--port", "0", before=f"sys.modules[{package!r}] = None", QA_API_PORT=str(free_port())
    )
    assert f"the page needs {package}, of the extra 'ui'" in said
    assert "pip install 'qa-app[ui]'" in said
    assert "make setup" in said


def handshake(address: str, host: str, origin: str) -> int:
    """The status of a request for the page's connection to its server, under a host's name and from an origin."""
    headers = {
        "Host": host,
        "Origin": origin,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    with httpx.stream("GET", f"{address}/_stcore/stream", headers=headers) as answer:
        return answer.status_code


@pytest.mark.case("U5")
def test_the_page_alone(tmp_path: Path) -> None:
    """It is told where the API is and the key, runs without one, and takes this machine's name alone."""
    api = "http://127.0.0.1:9"
    with running(tmp_path, "ui", "--api-url", api, QA_API_KEY=KEY, QA_API_KEYS=f"admin:{KEY}") as ui:
        assert ui.told() == f"Page: {ui.page}  (open it in a browser; Ctrl-C ends it)"
        [child] = ui.servers(1)
        given = child.environ()
        assert {name: value for name, value in given.items() if name.startswith("QA_")} == {
            "QA_API_URL": api,
            "QA_API_KEY": KEY,
        }
        assert given["STREAMLIT_SERVER_MAX_UPLOAD_SIZE"] == str(load(environment={}).api_max_upload_mb)
        for host in ("127.0.0.1", "localhost", "[::1]"):
            own = f"{host}:{ui.page_port}"
            assert handshake(ui.page, own, f"http://{own}") == 101
        assert handshake(ui.page, "rebound.example", "http://rebound.example") == 403
        os.killpg(ui.process.pid, signal.SIGINT)
        assert ui.ended() == 130


def test_others_are_warned_of(tmp_path: Path) -> None:
    """A page that other machines reach says that it asks nobody for a key, and where this machine reaches it."""
    with running(tmp_path, "ui", "--host", "0.0.0.0") as ui:
        assert ui.told().startswith(f"Page: {ui.page} ")
        assert "the page asks nobody for a key" in ui.said
        assert httpx.get(f"{ui.page}/_stcore/health", headers={"Host": "papers.example"}).status_code == 200
        ui.process.terminate()
        assert ui.ended() == 0


def test_errors_of_the_page_are_seen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What the page's own code raises stands on standard error, though its chatter does not."""
    (tmp_path / "broken.py").write_text("raise ValueError('the page is broken')")
    port = free_port()
    made = page.page_server(load({}, environment={}), port, "http://127.0.0.1:9", "")
    command = [*made.command[:2], str(tmp_path / "broken.py"), *made.command[3:], "--server.port", str(port)]
    environment = {**made.environment, "STREAMLIT_SERVER_SCRIPT_HEALTH_CHECK_ENABLED": "true"}
    broken = dataclasses.replace(made, command=command, environment=environment)
    with servers.running(broken):
        servers.wait([broken], broken.is_up)
        assert httpx.get(f"http://127.0.0.1:{port}/_stcore/script-health-check").status_code == 503
    said = capfd.readouterr()
    assert "ValueError: the page is broken" in said.err
    assert "You can now view" not in said.out + said.err


def test_the_page_is_told_options_that_there_are() -> None:
    """Each variable is an option of Streamlit, and the page's image says the same where it says anything."""
    assert set(page.STREAMLIT) <= {option.env_var for option in get_config_options().values()}
    theirs = {name: value for name, value in image("ui").environment.items() if name.startswith("STREAMLIT_")}
    assert theirs.pop("STREAMLIT_SERVER_HEADLESS") == "true"
    assert {name: page.STREAMLIT[name] for name in theirs} == theirs


def test_what_is_set_for_streamlit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of Streamlit's that somebody set is theirs, as behind a proxy with another name."""
    monkeypatch.setenv("STREAMLIT_SERVER_ALLOWED_HOSTS", "papers.example")
    made = page.page_server(load({}, environment={}), 8501, "http://127.0.0.1:9", "")
    assert made.environment["STREAMLIT_SERVER_ALLOWED_HOSTS"] == "papers.example"
    assert made.environment["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] == "false"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the package as a wheel lays it out, from pyproject.toml's own words."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    [section] = re.findall(r"wheel\.force-include\]\n((?:\".*\n)+)", text)
    site = tmp_path / "site"
    (site / "qa_app").mkdir(parents=True)
    for path in (REPOSITORY / "qa_app").iterdir():
        (site / "qa_app" / path.name).symlink_to(path)
    for source, target in re.findall(r'"(.+)" = "(.+)"', section):
        (site / target).parent.mkdir(parents=True, exist_ok=True)
        (site / target).symlink_to(REPOSITORY / source)
    return site


def test_the_page_runs_from_a_wheel_and_from_a_checkout(installed: Path, tmp_path: Path) -> None:
    """Either way its files are found, and its code runs and finds its own modules."""
    assert page.page_folder() == REPOSITORY
    for package, folder in ((None, REPOSITORY), (installed, installed / "qa_app" / "page")):
        with running(tmp_path, "ui", "--api-url", "http://127.0.0.1:9", package=package) as ui:
            ui.told()
            [child] = ui.servers(1)
            assert Path(child.cwd()) == folder
            health = httpx.get(f"{ui.page}/_stcore/script-health-check", timeout=60)
            assert (health.status_code, health.text) == (200, "ok"), ui.said
            ui.process.terminate()
            assert ui.ended() == 0
