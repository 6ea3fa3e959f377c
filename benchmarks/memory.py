"""The memory of this process and of its children."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_MB = 2**20


def peak_mb() -> int:
    """The most memory that this process ever had, in MB."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // _MB if sys.platform == "darwin" else most // 1024
    # getrusage would count the memory of the process that started this one.
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def resident_mb(process: int) -> tuple[int, int | None]:
    """The memory of the process of that number, and how much of it are pages of files, where the system says so."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return psutil.Process(process).memory_info().rss // _MB, None
    resident, files = (int(status.partition(name)[2].split()[0]) // 1024 for name in ("VmRSS:", "RssFile:"))
    return resident, files


@dataclass
class Quarters:
    """Memory after each quarter of ``total`` steps: of this process, and the most of all its children together."""

    total: int
    own_mb: list[int] = field(default_factory=list)
    children_mb: int = 0
    _done: int = 0

    def step(self, _: Any = None) -> None:
        """One more step is done."""
        self._done += 1
        if self._done * 4 // self.total > len(self.own_mb):
            process = psutil.Process()
            self.own_mb.append(process.memory_info().rss // _MB)
            children = sum(child.memory_info().rss for child in process.children(recursive=True))
            self.children_mb = max(self.children_mb, children // _MB)
