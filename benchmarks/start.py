"""How soon is it there, and how much memory does it hold? The API with either model, and the command's help."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks import child
from benchmarks.corpus import Corpus
from benchmarks.memory import resident_mb
from benchmarks.report import Cell, Table
from benchmarks.serving import serving

_MODULE = "benchmarks.start"
_STARTS = 5
_HELPS = 20
_CUDA = "PyTorch is built for CUDA here, and loads CUDA's libraries whether there is a GPU or not."


def measure(questions: int) -> list[Table]:
    """Starts the API some times with 6 and with 12 layers, and asks ``questions`` of the last of either."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        passages = child.run("benchmarks.load", "prepare", folder=str(folder))["passages"]
        child.run(_MODULE, "make_model", folder=str(folder / "doubled"))
        corpus = Corpus()
        asked = [corpus.question_about_file(number) for number in range(questions)]
        rows: list[dict[str, Cell]] = []
        for title, model in (("6 layers", "bundled"), ("12 layers", str(folder / "doubled"))):
            child.say(f"start: {1 + _STARTS} times with {title}")
            rows.append({"": title, **_started(folder / "data", model, asked)})
    notes = [
        f"SQLite, {passages:,} passages. Seconds from the process's start until /ready says yes. The first start also "
        f"prepares the reader for the processor, once; {_STARTS} more follow.",
        "The files are in the system's page cache: nobody but the system's administrator can empty it, so a start "
        "after the machine's own takes longer by the time that its disk needs.",
        f"Resident memory of the server's process. Files' pages are libraries and weights as they lie on the disk, "
        f"which processes share and the system takes back when it needs them. Then {questions} questions were asked.",
        *([_CUDA] if _has_cuda() else []),
    ]
    return [Table("start", "Start of the API", rows, notes), _help()]


def make_model(folder: str) -> dict[str, Any]:
    """The model of 12 layers, in a process of its own: making it takes memory."""
    from benchmarks.reader import doubled

    doubled(Path(folder))
    return {}


def _started(data: Path, model: str, asked: list[str]) -> dict[str, Cell]:
    seconds = []
    for number in range(1 + _STARTS):
        with serving(data, model) as served:
            seconds.append(served.seconds)
            if number < _STARTS:
                continue
            ready, files = resident_mb(served.process.pid)
            with httpx.Client(base_url=served.url, timeout=60) as client:
                for question in asked:
                    client.post("/query", json={"query": question}).raise_for_status()
            after, _ = resident_mb(served.process.pid)
    return {
        "first, s": seconds[0],
        "later, median, s": statistics.median(seconds[1:]),
        "later, slowest, s": max(seconds[1:]),
        "memory when ready, MB": ready,
        "of it files' pages, MB": files,
        "memory after questions, MB": after,
    }


def _help() -> Table:
    rows: list[dict[str, Cell]] = []
    for name, arguments in (("qa-app --help", ["-m", "qa_app", "--help"]), ("Python alone", ["-c", "pass"])):
        seconds = []
        for _ in range(1 + _HELPS):
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - started)
        rows.append({"": name, "median, s": statistics.median(seconds[1:]), "slowest, s": max(seconds[1:])})
    return Table("help", "The command's help", rows, [f"{_HELPS} runs, after one to warm up."])


def _has_cuda() -> bool:
    """Whether PyTorch was built for CUDA, asked without importing it."""
    from importlib.util import find_spec

    found = find_spec("torch")
    return bool(found and found.origin and (Path(found.origin).parent / "lib" / "libtorch_cuda.so").exists())
