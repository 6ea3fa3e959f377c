"""Uploads files in rounds, killing the process that receives and indexes them, then once in peace.

Prints what is stored, beside what an undisturbed run stores. Run as a process of its own: it forks, which only a
process without threads may do. Arguments: the settings as JSON, the number of kills, the seed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from qa_app.haystack_without_torch import import_haystack

import_haystack()

from qa_app import bootstrap  # noqa: E402 - Haystack comes first
from qa_app.pipelines.uploads import Uploads  # noqa: E402
from qa_app.settings import Settings  # noqa: E402
from qa_app.stores.passage_store import PassageStore  # noqa: E402
from tests.ingesting import half, settings_for, snapshot  # noqa: E402
from tests.uploading import eventually, upload, uploading  # noqa: E402

#: Steps on the disk before each of which a process may be killed.
STEPS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "fcntl.flock"}


def text(name: str, number: int) -> str:
    """A few passages, the same for the same name and round."""
    return "\n\n".join(f"Part {part} of {name} in round {number}. " + "Word after word. " * 30 for part in range(3))


def uploads_of(number: int) -> list[tuple[dict[str, str], bool]]:
    """The files of a round's uploads, and whether each replaces those of its names."""
    new = {name: text(name, number) for name in (f"{number}-{i}.txt" for i in range(20))}
    more = {name: text(name, number) for name in (f"{number}-{i}.txt" for i in range(18, 25))}
    kept = {name: text(name, number) for name in ("notes.txt", "plan.txt")}
    return [(new, False), (kept, True), (more, False)]


def send(settings: Settings, log: Path, until: int) -> None:
    """Uploads what nobody said was accepted, up to a round, and ends when all is done."""
    with bootstrap.open_store(settings) as store:
        rounds = [one for number in range(until) for one in uploads_of(number)]
        broken = half(store, [text for files, _ in rounds for text in files.values()])
        if broken:
            note(log, "half", broken)
        with uploading(settings, store) as uploads:
            for files, replace in rounds[len(accepted(log)) :]:
                note(log, "accepted", upload(uploads, files, replace=replace).id)
            eventually(lambda: not uploads.unfinished(), "all is done")


def note(log: Path, what: str, which: str) -> None:
    with log.open("a") as file:
        file.write(f"{what} {which}\n")


def accepted(log: Path) -> list[str]:
    """The ids of the jobs whose acceptance was said."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[1] for line in lines if line.startswith("accepted ")]


def forked(settings: Settings, log: Path, until: int, steps: int = 0) -> int:
    """The process id of a child that sends, and kills itself before its ``steps``-th step on the disk."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        seen = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in STEPS and (event != "open" or str(settings.data_path) in str(arguments[0])):
                seen += 1
                if seen == steps:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        send(settings, log, until)
        log.with_name("steps").write_text(str(seen))
        code = 0
    finally:
        os._exit(code)
    raise AssertionError


def result(settings: Settings, log: Path, uploads: Uploads, store: PassageStore) -> dict[str, Any]:
    """What there is when nothing is left to do."""
    eventually(lambda: not list(settings.data_path.glob("jobs/.incoming-*")), "what was being received is swept away")
    files = list(store.get_all_files())
    originals = {}
    for file in files:
        with uploads.originals.open(file, store.index) as original:
            originals[file.id] = hashlib.sha256(original.read()).hexdigest()
    jobs = [uploads.jobs.get(id) for id in accepted(log)]
    own = ("ingested_at", "mtime_ns")
    data = settings.data_path
    return {
        "passages": snapshot(store),
        "files": {file.id: {k: v for k, v in file.meta.items() if k not in own} for file in files},
        "originals": originals,
        "originals_on_disk": sum(path.is_file() for path in data.glob("originals/**/*")),
        "leavings": [
            str(path.relative_to(data))
            for path in data.glob("jobs/**/*")
            if path.is_file() and not (path.match("done/*/job.json") or path.match("done/*/lock"))
        ],
        "jobs": sorted({job.status for job in jobs}),
        "statuses": sorted({file.status for job in jobs for file in job.files}),
        "half": [line for line in log.read_text().splitlines() if line.startswith("half")],
        "problem": store.problem(),
    }


def main() -> None:
    """See the module's docstring."""
    options, kills = json.loads(sys.argv[1]), int(sys.argv[2])
    dice = random.Random(int(sys.argv[3]))
    settings = settings_for(Path(options.pop("data_dir")), options.pop("url"), **options)
    folder = settings.data_path.parent
    log, clean_log, probe_log = (folder / f"{name}.log" for name in ("killed", "clean", "probe"))
    started = time.monotonic()
    os.waitpid(forked(settings_for(folder / "probe"), probe_log, 1), 0)
    duration, steps = time.monotonic() - started, int((folder / "steps").read_text())
    hit = rounds = 0
    while hit < kills and rounds < 4 * kills:
        rounds += 1
        # Between any two steps on the disk, and at any other moment.
        at = dice.randrange(1, steps) if rounds % 2 else 0
        child = forked(settings, log, rounds, at)
        if not at:
            time.sleep(dice.uniform(0, duration))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0, "a process failed by itself"
        hit += os.WIFSIGNALED(status)
    results = {}
    for name, chosen, one in (("killed", settings, log), ("clean", settings_for(folder / "clean"), clean_log)):
        send(chosen, one, rounds)
        with bootstrap.open_store(chosen) as store, uploading(chosen, store) as uploads:
            results[name] = result(chosen, one, uploads, store)
    json.dump({"kills": hit, **results}, sys.stdout)


if __name__ == "__main__":
    main()
