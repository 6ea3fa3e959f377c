"""Ingests a folder again and again, killing itself at random moments, then once in peace; prints what is stored.

Each run first looks for files of which the one before left a part.

Run as a process of its own: it forks, which only a process without threads may do. Arguments: the settings as JSON, the
folder, the number of kills, the seed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from qa_app.haystack_without_torch import import_haystack

import_haystack()

from tests.ingesting import ends, half, ingesting, settings_for, snapshot  # noqa: E402 - Haystack comes first


def one_run(settings: object, folder: Path) -> float:
    """How long an ingestion takes in a child process that lives."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _ingest(settings, folder, [])
    os.waitpid(child, 0)
    return time.monotonic() - started


def _ingest(settings: object, folder: Path, texts: list[str]) -> None:
    code = 1
    try:
        with ingesting(settings, prune=True) as ingest:  # type: ignore[arg-type]
            note_half(folder, half(ingest.store, texts))
            ingest(folder)
        code = 0
    finally:
        os._exit(code)


def note_half(folder: Path, broken: str) -> None:
    """Keeps what :func:`tests.ingesting.half` found, as several processes look."""
    if broken:
        with folder.with_name("half").open("a") as file:
            file.write(f"{broken}\n")


def main() -> None:
    """See the module's docstring."""
    options, folder, kills = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    dice = random.Random(int(sys.argv[4]))
    settings = settings_for(Path(options.pop("data_dir")), options.pop("url"), **options)
    clean = settings_for(settings.data_path.parent / "clean", **{})
    duration = one_run(clean, folder)
    hit = 0
    texts = [path.read_text() for path in folder.rglob("*.txt")]
    for number in range(kills):
        for path in dice.sample(sorted(folder.rglob("*.txt")), 20):
            texts.append(f"{path.read_text()}\n\nChange {number} of {path.name} in round{number}.")
            path.write_text(texts[-1])
        child = os.fork()
        if child == 0:
            _ingest(settings, folder, texts)
        time.sleep(dice.uniform(0, duration * 1.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            hit += 1
        else:
            duration *= 0.7  # the run was over; later ones are shorter than the first, which began with cold caches
    with ingesting(settings, prune=True) as ingest:
        note_half(folder, half(ingest.store, texts))
        report = ingest(folder)
        killed = {"ends": ends(report), "passages": snapshot(ingest.store), "problem": ingest.store.problem()}
    with ingesting(settings, prune=True) as ingest:
        killed["again"] = ends(ingest(folder))
    with ingesting(clean, prune=True) as ingest:
        ingest(folder)
        expected = snapshot(ingest.store)
    halves = folder.with_name("half")
    killed["half"] = halves.read_text() if halves.exists() else ""
    json.dump({"kills": hit, "clean": expected, **killed}, sys.stdout)


if __name__ == "__main__":
    main()
