"""Who is writing, and who was killed at it."""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
from collections import Counter
from typing import Any

from qa_app.stores.elasticsearch.journal import WRITTEN, Journal
from qa_app.stores.elasticsearch.mapping import Names

#: Seconds until a writer elsewhere, which cannot be looked at, is taken for dead.
GRACE = 600

# Tells this process from an earlier one with its number, as in a restarted container.
_token = secrets.token_hex(4)
#: By how many threads; two may try for the same number, and the one that does not get it lets go of it.
_active: Counter[tuple[str, str, str]] = Counter()
_lock = threading.Lock()


def _forked() -> None:
    global _token, _lock  # noqa: PLW0603 - a fork is another process
    _lock = threading.Lock()
    _token = secrets.token_hex(4)
    _active.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def me() -> dict[str, Any]:
    """This process, as the journal names it."""
    return {"host": platform.node(), "pid": os.getpid(), "process": _token}


def begin(names: Names, write: str) -> None:
    """Notes that a thread of this process is at the write."""
    with _lock:
        _active[names.index, names.incarnation, write] += 1


def end(names: Names, write: str) -> None:
    """Notes that it no longer is."""
    key = (names.index, names.incarnation, write)
    with _lock:
        _active[key] -= 1
        if not _active[key]:
            del _active[key]


def abandoned(names: Names, journal: Journal) -> list[str]:
    """The writes that nobody is going to finish."""
    return [
        write for write, entry in journal.writes.items() if entry["state"] != WRITTEN and _dead(names, write, entry)
    ]


def _dead(names: Names, write: str, entry: dict[str, Any]) -> bool:
    if entry["host"] == platform.node():
        if entry["pid"] == os.getpid():
            return entry["process"] != _token or (names.index, names.incarnation, write) not in _active
        if not _runs(entry["pid"]):
            return True
    return bool(time.time() - entry["since"] > GRACE)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
