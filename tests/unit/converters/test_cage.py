from __future__ import annotations

import gc
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qa_app.converters.cage import Converted, ConverterPool, Rejected, Result
from qa_app.errors import SettingsError

_EVIL = "tests.unit.converters.evil"


def _write(folder: Path, *orders: str) -> list[Path]:
    paths = []
    for number, order in enumerate(orders):
        path = folder / f"{number:03}.txt"
        path.write_text(order)
        paths.append(path)
    return paths


def _reasons(results: list[Result]) -> list[str]:
    return [result.reason if isinstance(result, Rejected) else "ok" for result in results]


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _wait_until_gone(pids: set[int]) -> None:
    while any(_alive(pid) for pid in pids):
        time.sleep(0.02)


@pytest.fixture
def evil() -> Iterator[ConverterPool]:
    with ConverterPool(2, timeout=20, memory_mb=400, entry=_EVIL) as pool:
        yield pool


def test_results_come_in_order_with_their_fingerprints(tmp_path: Path) -> None:
    """Hundreds of files come back in the order given, each with hash, size and time of its own bytes."""
    paths = _write(tmp_path, *(f"Text of file {number}.\n" * (number + 1) for number in range(300)))
    seen: list[Path] = []
    with ConverterPool() as pool:
        results = pool.convert(paths, on_file=seen.append)
    for path, result in zip(paths, results, strict=True):
        assert isinstance(result, Converted)
        assert (result.path, result.extraction.text) == (path, path.read_text())
        assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (result.size, result.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert sorted(seen) == paths


def test_the_same_file_may_be_asked_for_twice_and_nothing_once(tmp_path: Path) -> None:
    """Repeated paths give repeated results, no paths give none and start nothing."""
    before = _children()
    with ConverterPool() as pool:
        assert pool.convert([]) == []
        assert _children() == before
        [path] = _write(tmp_path, "words")
        first, second = pool.convert([path, path])
        assert first == second
        assert len(_children() - before) == 1


@pytest.mark.parametrize(
    ("order", "reason"),
    [("segv", "crashed"), ("exit", "crashed"), ("nonsense", "crashed"), ("memory 2000", "memory"), ("fail", "crashed")],
)
def test_a_bad_file_in_the_middle_costs_only_itself(
    evil: ConverterPool, tmp_path: Path, order: str, reason: str
) -> None:
    """A crash, an exit, nonsense, too much memory or a defect is blamed on its file; all around it are converted."""
    paths = _write(tmp_path, *["good"] * 40, order, *["good"] * 40)
    assert _reasons(evil.convert(paths)) == ["ok"] * 40 + [reason] + ["ok"] * 40


def test_a_hanging_file_costs_its_time_and_nothing_else(tmp_path: Path) -> None:
    """Files that sleep or loop forever are ended at the deadline, and the files after them are converted."""
    with ConverterPool(2, timeout=1, entry=_EVIL) as pool:
        paths = _write(tmp_path, "good", "hang", "good", "loop", "good")
        assert _reasons(pool.convert(paths)) == ["ok", "timeout", "ok", "timeout", "ok"]


def test_every_file_may_be_bad(evil: ConverterPool, tmp_path: Path) -> None:
    """A folder of nothing but crashes ends, with a reason for each."""
    assert _reasons(evil.convert(_write(tmp_path, *["segv", "exit"] * 4))) == ["crashed"] * 8


def test_memory_of_earlier_files_is_not_blamed_on_a_later_one(evil: ConverterPool, tmp_path: Path) -> None:
    """A file that fails only because earlier ones left the child full gets a fresh child."""
    # Each keeps 150 MB; a child has 400.
    assert _reasons(evil.convert(_write(tmp_path, *["memory 150"] * 6))) == ["ok"] * 6


def test_children_have_neither_the_environment_nor_the_right_to_write(
    evil: ConverterPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A captured child finds no secrets in its environment and can write no file."""
    monkeypatch.setenv("QA_API_KEYS", "secret")
    target = tmp_path / "target"
    report, write = evil.convert(_write(tmp_path, "report", f"write {target}"))
    assert isinstance(report, Converted)
    assert "secret" not in report.extraction.text
    assert "QA_API_KEYS" not in report.extraction.text
    assert _reasons([write]) == ["crashed"]
    assert not target.exists() or target.read_text() == ""


def test_children_are_kept_between_calls_and_replaced_after_a_crash(evil: ConverterPool, tmp_path: Path) -> None:
    """The same process serves call after call until it fails."""
    report, crash = _write(tmp_path, "report", "segv")

    def pid() -> str:
        [result] = evil.convert([report])
        assert isinstance(result, Converted)
        return result.extraction.text.split()[0]

    first = pid()
    assert pid() == first
    evil.convert([crash])
    assert pid() != first


def test_a_child_killed_from_outside_is_replaced(evil: ConverterPool, tmp_path: Path) -> None:
    """A child that something else killed between two calls costs no file."""
    paths = _write(tmp_path, "good", "good")
    before = _children()
    evil.convert(paths[:1])
    for pid in _children() - before:
        os.kill(pid, signal.SIGKILL)
    assert _reasons(evil.convert(paths)) == ["ok", "ok"]


def test_threads_share_the_children(evil: ConverterPool, tmp_path: Path) -> None:
    """Six threads at once get their own results from no more children than allowed."""
    before = _children()
    results: dict[int, list[str]] = {}

    def convert(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        paths = _write(folder, *[f"words of {number}"] * 40, "segv")
        results[number] = [
            result.extraction.text.partition(": ")[2] if isinstance(result, Converted) else result.reason
            for result in evil.convert(paths)
        ]

    threads = [threading.Thread(target=convert, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [f"words of {number}"] * 40 + ["crashed"] for number in range(6)}
    assert len(_children() - before) <= 2


def test_a_failing_callback_leaves_no_reply_for_the_next_call(evil: ConverterPool, tmp_path: Path) -> None:
    """After an error in the caller's own callback, the next call gets its own files' results."""
    paths = _write(tmp_path, *(f"words {number}" for number in range(20)))

    def fail(_: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evil.convert(paths, on_file=fail)
    for path, result in zip(paths, evil.convert(paths), strict=True):
        assert isinstance(result, Converted)
        assert result.extraction.text == f"{path.name}: {path.read_text()}"


@pytest.mark.case("F1", "F18", "F19")
def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    """Missing, empty, oversized, special and unnameable files each have their reason, and none blocks."""
    fifo, server = tmp_path / "fifo", socket.socket(socket.AF_UNIX)
    os.mkfifo(fifo)
    server.bind(str(tmp_path / "socket"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(b"a" * 2001)
    (tmp_path / "blank").write_text(" \n")
    (tmp_path / os.fsdecode(b"latin-\xe9.txt")).write_text("words")
    expected = {
        "none": "vanished",
        "empty/below": "vanished",
        "fifo": "not_a_file",
        "socket": "not_a_file",
        "loop": "not_a_file",
        ".": "not_a_file",
        "empty": "empty_file",
        "large": "too_large",
        "blank": "no_text",
        os.fsdecode(b"latin-\xe9.txt"): "name",
        "x" * 300: "name",
        "zero\0": "name",
    }
    with ConverterPool(1, max_bytes=2000) as pool:
        results = pool.convert([*(tmp_path / name for name in expected), Path("/dev/zero")])
    server.close()
    assert _reasons(results) == [*expected.values(), "not_a_file"]


def test_a_pool_that_is_closed_ends_its_work(tmp_path: Path) -> None:
    """Closing ends children at once, also those at work; their caller gets an error instead of waiting."""
    before = _children()
    pool = ConverterPool(1, entry=_EVIL)
    failures: list[BaseException] = []

    def convert() -> None:
        try:
            pool.convert(_write(tmp_path, "hang"))
        except RuntimeError as error:
            failures.append(error)

    thread = threading.Thread(target=convert)
    thread.start()
    while not _children() - before:
        time.sleep(0.02)
    pool.close()
    pool.close()
    thread.join()
    assert len(failures) == 1
    assert _children() == before
    with pytest.raises(RuntimeError):
        pool.convert(_write(tmp_path, "good"))


def test_a_forgotten_pool_leaves_no_children(tmp_path: Path) -> None:
    """A pool that is dropped without being closed takes its children along."""
    before = _children()
    pool = ConverterPool(1)
    pool.convert(_write(tmp_path, "words"))
    started = _children() - before
    assert started
    del pool
    gc.collect()
    _wait_until_gone(started)


def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    """After SIGKILL to the process that owns the pool, neither idle nor looping children are left."""
    good, loop = _write(tmp_path, "good", "loop")
    script = (
        "import threading, time, psutil\nfrom pathlib import Path\nfrom qa_app.converters.cage import ConverterPool\n"
        f"pool = ConverterPool(2, entry={_EVIL!r})\n"
        f"threading.Thread(target=pool.convert, args=([Path({str(loop)!r})],)).start()\n"
        "while not psutil.Process().children(): time.sleep(0.02)\n"
        f"pool.convert([Path({str(good)!r})])\n"
        "print(*[child.pid for child in psutil.Process().children()], flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert parent.stdout is not None
    children = {int(pid) for pid in parent.stdout.readline().split()}
    assert len(children) == 2
    assert all(map(_alive, children))
    parent.kill()
    parent.communicate()
    _wait_until_gone(children)


def test_interrupting_the_caller_spares_the_children_and_ends_cleanly(tmp_path: Path) -> None:
    """Ctrl-C during a long conversion ends the process as an interruption, without waiting for the rest."""
    paths = _write(tmp_path, *["hang"] * 3)
    script = (
        "from pathlib import Path\nfrom qa_app.converters.cage import ConverterPool\n"
        f"with ConverterPool(1, timeout=300, entry={_EVIL!r}) as pool:\n"
        "    print('started', flush=True)\n"
        f"    pool.convert([Path(name) for name in {[str(path) for path in paths]!r}])\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    while not psutil.Process(parent.pid).children():
        time.sleep(0.02)
    parent.send_signal(signal.SIGINT)
    _, complaint = parent.communicate(timeout=60)
    assert complaint.rstrip().endswith("KeyboardInterrupt")


def test_a_memory_limit_too_small_to_start_is_a_setting(tmp_path: Path) -> None:
    """A limit in which Python itself does not fit names the setting to raise."""
    with ConverterPool(1, memory_mb=5) as pool, pytest.raises(SettingsError) as caught:
        pool.convert(_write(tmp_path, "words"))
    assert "5 MB" in str(caught.value)


@pytest.mark.parametrize("bad", [{"workers": 0}, {"timeout": 0}, {"memory_mb": 0}, {"max_bytes": 0}])
def test_limits_must_be_positive(bad: dict[str, int]) -> None:
    """A pool without workers, time, memory or bytes cannot be made."""
    with pytest.raises(ValueError, match="positive"):
        ConverterPool(**bad)
