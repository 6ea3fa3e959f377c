"""Ingests a folder again and again, killing the process that does, then once in peace; prints what is stored.

After each kill, what the process said to be done is compared with what a clean run stores. Run as a process of its own:
it forks, which only a process without threads may do. Arguments: the settings as JSON, the folder, the number of kills,
the seed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qa_app.haystack_without_torch import import_haystack

import_haystack()

from qa_app import bootstrap  # noqa: E402 - Haystack comes first
from qa_app.pipelines import ingestion  # noqa: E402
from qa_app.pipelines.report import FileResult  # noqa: E402
from qa_app.settings import Settings  # noqa: E402
from qa_app.stores.passage_store import PassageStore  # noqa: E402
from tests.ingesting import ends, half, ingesting, settings_for, snapshot  # noqa: E402

#: Files that change before each run.
CHANGED = 40


def forked(work: Callable[[], None]) -> int:
    """The process id of a child that does this and ends."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)
    raise AssertionError


def ingest_all(settings: Settings, folder: Path, log: Path, last: int = 0) -> None:
    """Ingests, and logs each file that is said to be done, with its hash; kills itself after the ``last``-th."""
    said = 0

    def note(result: FileResult) -> None:
        nonlocal said
        if result.status in {"indexed", "unchanged"}:
            with log.open("a") as file:
                file.write(f"{hashlib.sha256((folder / result.path).read_bytes()).hexdigest()} {result.path}\n")
                file.flush()
                os.fsync(file.fileno())
        if result.status == "indexed":
            said += 1
            if said == last:
                os.kill(os.getpid(), signal.SIGKILL)

    with ingesting(settings, prune=True) as ingest:
        ingest.ingestion.on_done = note
        ingest(folder)


def passages(store: PassageStore) -> dict[str, list[tuple[str, str, Any, Any]]]:
    """By the path of a file, where its passages stand, what they say and which version of it they are of."""
    found: dict[str, list[tuple[str, str, Any, Any]]] = {}
    for passage in store.get_all_documents():
        entry = (passage.id, passage.content, passage.meta["start"], passage.meta["sha256"])
        found.setdefault(passage.meta["path"], []).append(entry)
    return {path: sorted(entries) for path, entries in found.items()}


def look(settings: Settings, clean: Settings, folder: Path, texts: list[str], log: Path) -> None:
    """Adds to what was found: acknowledged files, those of them that are not as a clean run has them, and half ones."""
    said = dict(reversed(line.split(" ", 1)) for line in log.read_text().splitlines()) if log.exists() else {}
    with ingesting(clean, prune=True) as ingest:
        ingest(folder)
        expected = passages(ingest.store)
    with bootstrap.open_store(settings) as store:
        broken = half(store, texts)
        store.finish_writing()  # new files are found from then on
        there = passages(store)
    assert {path: expected[path][0][3] for path in said} == said
    lost = [path for path in said if there.get(path) != expected[path]]
    found = {"acknowledged": len(said), "lost": lost, "half": [broken] if broken else []}
    with log.with_name("found").open("a") as file:
        file.write(f"{json.dumps(found)}\n")


def main() -> None:
    """See the module's docstring."""
    options, folder, kills = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    dice = random.Random(int(sys.argv[4]))
    ingestion.BATCH_FILES = 10
    settings = settings_for(Path(options.pop("data_dir")), options.pop("url"), **options)
    beside = settings.data_path.parent
    log, clean = beside / "log", settings_for(beside / "clean")
    started = time.monotonic()
    assert os.waitpid(forked(lambda: ingest_all(clean, folder, beside / "first")), 0)[1] == 0
    duration = time.monotonic() - started
    texts = [path.read_text() for path in folder.rglob("*.txt")]
    hit = rounds = 0
    while hit < kills and rounds < 4 * kills:
        for path in dice.sample(sorted(folder.rglob("*.txt")), CHANGED):
            texts.append(f"{path.read_text()}\n\nChange {rounds} of {path.name} in round{rounds}.")
            path.write_text(texts[-1])
        log.unlink(missing_ok=True)
        # Just after a file was said to be done, and at any other moment.
        last = 0 if rounds % 3 else dice.randint(1, CHANGED)
        child = forked(lambda last=last: ingest_all(settings, folder, log, last))  # type: ignore[misc]
        if not last:
            time.sleep(dice.uniform(0, duration))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0, "an ingestion failed by itself"
        hit += os.WIFSIGNALED(status)
        if not last:
            duration *= 1.1 if os.WIFSIGNALED(status) else 0.7
        assert os.waitpid(forked(lambda: look(settings, clean, folder, texts, log)), 0)[1] == 0
        rounds += 1
    with ingesting(settings, prune=True) as ingest:
        killed: dict[str, Any] = {"ends": ends(ingest(folder)), "passages": snapshot(ingest.store)}
        killed |= {"problem": ingest.store.problem(), "again": ends(ingest(folder))}
    with ingesting(settings_for(beside / "fresh")) as ingest:
        ingest(folder)
        expected = snapshot(ingest.store)
    found = [json.loads(line) for line in (beside / "found").read_text().splitlines()]
    killed |= {"acknowledged": sum(one["acknowledged"] for one in found)}
    killed |= {what: [path for one in found for path in one[what]] for what in ("lost", "half")}
    json.dump({"kills": hit, "clean": expected, **killed}, sys.stdout)


if __name__ == "__main__":
    main()
