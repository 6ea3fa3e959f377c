"""A real Elasticsearch server for tests, assembled from its published jars; no Docker, no installation.

:func:`missing` says why it cannot run here; :func:`start_node` and :func:`start_cluster` start servers on 127.0.0.1.
The jars (35 MB) are fetched once by Maven into ``.cache`` beside the tests. The servers end with the process that
started them, however that ends. What this assembly lacks of the full distribution: scripts, ``dense_vector``, security,
and every analyzer and token filter of its analysis module but ``english``.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .build import VERSION, BuildError, build, classes, jars, java_home, missing

__all__ = [
    "QUICK_FAULT_DETECTION",
    "VERSION",
    "BuildError",
    "Node",
    "ServerError",
    "missing",
    "start_cluster",
    "start_node",
]

_LOGGING = Path(__file__).resolve().with_name("log4j2.properties")
_READY_SECONDS = 120
_STOP_SECONDS = 20
# Below the range from which Linux hands out ports by itself, so that a restarted node finds its port still free.
_PORTS = range(20_000, 32_000)
_DEFAULTS = {
    "network.host": "127.0.0.1",
    "cluster.name": "qa-tests",
    # How full this machine's disk happens to be must not decide whether a test passes.
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}
#: For ``settings``: a silent node is given up within seconds; by default a paused master is replaced after a minute.
QUICK_FAULT_DETECTION = {
    "cluster.fault_detection.leader_check.timeout": "1s",
    "cluster.fault_detection.leader_check.retry_count": "2",
    "cluster.fault_detection.follower_check.timeout": "1s",
    "cluster.fault_detection.follower_check.retry_count": "2",
    "cluster.publish.timeout": "3s",
    "cluster.follower_lag.timeout": "3s",
}
# Out of our process group, so that Ctrl-C reaches the tests and not the servers; and in a group of its own in the same
# session, because the kernel wakes the stopped members of a group that loses its last link to the session: a paused
# server, too, then sees that its parent is gone. Done in between, not in preexec_fn, which is unsafe among threads.
_IN_OWN_GROUP = "import os, sys; os.setpgrp(); os.execv(sys.argv[1], sys.argv[1:])"
# Proxies are for the world outside.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerError(RuntimeError):
    """The test server did not start; the message ends with the tail of its log."""


class Node:
    """One server process, started by :func:`start_node` or :func:`start_cluster`."""

    def __init__(self, folder: Path, heap_mb: int, port: int, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "server.log"
        self._heap_mb = heap_mb
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The Java process; another one after :meth:`restart`."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process without waiting until it answers."""
        if self.running:
            raise ServerError(f"{self.url} is already running")
        for name in ("data", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-I", "-S", "-c", _IN_OWN_GROUP),
            str(java_home() / "bin" / "java"),
            *(f"-Xms{self._heap_mb}m", f"-Xmx{self._heap_mb}m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"),
            *(f"-Djava.io.tmpdir={self.folder / 'tmp'}", f"-XX:ErrorFile={self.folder / 'crash.log'}"),
            *(f"-Dparent.pid={os.getpid()}", f"-Dlog4j.configurationFile={_LOGGING}"),
            *("-cp", f"{classes()}:{jars()}/*", "TestNode"),
            *(f"path.home={self.folder}", f"path.data={self.folder / 'data'}"),
            *(f"{name}={value}" for name, value in self._settings.items()),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_ready(self, nodes: int = 1, replicas: bool = False) -> None:
        """Return once the server is in a cluster of at least ``nodes`` nodes with every primary shard in place.

        With ``replicas`` every copy of them too.

        Raises ServerError, after killing the process, when it ends or the time is over.
        """
        status = "green" if replicas else "yellow"
        question = f"{self.url}/_cluster/health?wait_for_nodes=>={nodes}&wait_for_status={status}&timeout=1s"
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and self.running:
            try:
                with _DIRECT.open(question, timeout=5) as response:
                    if not json.load(response)["timed_out"]:
                        return
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.05)
        reason = f"was not ready after {_READY_SECONDS} s" if self.running else "ended before it was ready"
        self.kill()
        raise ServerError(f"Elasticsearch at {self.url} {reason}; the end of {self.log}:\n{_tail(self.log)}")

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end, of a paused server too; nothing where it has ended already."""
        if self.running:
            self.resume()
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: go on after :meth:`pause`."""
        self._signal(signal.SIGCONT)

    def restart(self, wait: bool = True) -> None:
        """Stop if running, then start on the same data and ports.

        Pass ``wait=False`` where the other nodes of a cluster are down too, and wait with :meth:`wait_ready` later.
        """
        self.stop()
        self.launch()
        if wait:
            self.wait_ready()

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _signal(self, which: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(which)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_node(folder: Path, heap_mb: int = 512, settings: Mapping[str, str] | None = None) -> Node:
    """A running server with its data in ``folder``, alone in its cluster.

    ``settings`` are Elasticsearch's own, such as ``{"thread_pool.write.queue_size": "1"}``, and win over the defaults.
    Raises BuildError or ServerError.
    """
    return _start([folder], heap_mb, settings)[0]


def start_cluster(
    folder: Path, nodes: int = 3, heap_mb: int = 512, settings: Mapping[str, str] | None = None
) -> list[Node]:
    """Running servers that have found each other, their data in folders of their own under ``folder``.

    Any of them may be the elected master. Raises BuildError or ServerError.
    """
    return _start([folder / f"node-{number}" for number in range(1, nodes + 1)], heap_mb, settings)


def _start(folders: list[Path], heap_mb: int, settings: Mapping[str, str] | None) -> list[Node]:
    build()
    ports = _free_ports(2 * len(folders))
    seeds = ",".join(f"127.0.0.1:{transport}" for transport in ports[1::2])
    names = [f"node-{number}" for number in range(1, len(folders) + 1)]
    alone = {"discovery.type": "single-node"}
    together = {"discovery.seed_hosts": seeds, "cluster.initial_master_nodes": ",".join(names)}
    servers = [
        Node(
            folder.resolve(),
            heap_mb,
            http,
            {
                **_DEFAULTS,
                **(alone if len(folders) == 1 else together),
                "node.name": name,
                "http.port": str(http),
                "transport.port": str(transport),
                **(settings or {}),
            },
        )
        for folder, name, http, transport in zip(folders, names, ports[::2], ports[1::2], strict=True)
    ]
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_ready(nodes=len(servers))
    except BaseException:
        for server in servers:
            server.kill()
        raise
    return servers


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ServerError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
