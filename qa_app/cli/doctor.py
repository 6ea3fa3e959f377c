"""``qa-app doctor``: what is installed, reachable and configured, and what to do about what is not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import typer

from qa_app import __version__
from qa_app.cli.ingest import IndexOption, JsonOption
from qa_app.cli.output import console, print_json, quiet_libraries, shown
from qa_app.errors import QaAppError

if TYPE_CHECKING:
    from qa_app.settings import Settings

_LIBRARIES = ("farm-haystack", "transformers", "torch", "elasticsearch", "pypdf")
_LOW_DISK = 2 * 2**30


@dataclass(frozen=True)
class Check:
    """One line of the report; ``state`` is ok, warning or failed."""

    name: str
    state: str
    finding: str
    exit_code: int = 0


def doctor(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Check the installation, the settings, the store and the reader.

    The exit code is that of the first thing that failed, 0 where only warnings are left.
    """
    quiet_libraries()
    from qa_app import settings as settings_room
    from qa_app.haystack_without_torch import import_haystack

    checks = [*_installed()]
    try:
        settings = settings_room.load({"index": index})
    except QaAppError as error:
        checks.append(Check("settings", "failed", str(error), error.exit_code))
    else:
        import_haystack()
        looks = {
            "settings": _told,
            "data folder": _data_folder,
            "store": _store,
            "reader": _reader,
            "enrichment": _enrichment,
        }
        for name, look in looks.items():
            checks += _guarded(name, look, settings)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        out = console()
        styles = {"ok": "green", "warning": "yellow", "failed": "bold red"}
        for check in checks:
            out.print(f"{check.state:<8}", style=styles[check.state], end="")
            out.print(f" {check.name + ':':<13} {shown(check.finding)}")
    raise typer.Exit(next((check.exit_code for check in checks if check.state == "failed"), 0))


def _guarded(name: str, check: Callable[[Settings], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    try:
        yield from check(settings)
    except QaAppError as error:
        yield Check(name, "failed", str(error), error.exit_code)


def _installed() -> Iterator[Check]:
    import sqlite3

    yield Check(
        "qa_app",
        "ok",
        f"{__version__} on Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.platform()}",
    )
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        yield Check("Python", "failed", "Python 3.10, 3.11 or 3.12 is needed", 2)
    versions = []
    for library in _LIBRARIES:
        try:
            versions.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            yield Check(library, "failed", "not installed; run 'pip install' for qa_app again", 2)
    yield Check("libraries", "ok", ", ".join(versions))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("processor", "ok", f"{cores} cores")


def _told(settings: Settings) -> Iterator[Check]:
    from qa_app.settings import catalogue

    changed = [s for s in catalogue() if getattr(settings, s.name) != s.default]
    values = [f"{s.key} = {s.shown(getattr(settings, s.name))}" for s in changed]
    yield Check("settings", "ok", "; ".join(values) or "all defaults")


def _data_folder(settings: Settings) -> Iterator[Check]:
    folder = settings.data_path
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        yield Check("data folder", "failed", f"{existing} is not yours to write; set data_dir (QA_DATA_DIR)", 4)
        return
    free = shutil.disk_usage(existing).free
    state = "warning" if free < _LOW_DISK else "ok"
    yield Check("data folder", state, f"{folder}, {free / 2**30:.1f} GB free")


def _store(settings: Settings) -> Iterator[Check]:
    from qa_app import bootstrap

    with bootstrap.open_store(settings) as store:
        where = bootstrap.database_path(settings) if settings.store == "sqlite" else "the server"
        files = sum(1 for _ in store.get_all_files())
        passages = store.get_document_count()
        finding = f"{settings.store}, {where}; index {settings.index!r} has {files} documents, {passages} passages"
        problem = store.problem()
    if problem:
        yield Check("store", "failed", f"{finding}; {problem}", 4)
    elif not passages:
        yield Check("store", "warning", f"{finding}; 'qa-app ingest FOLDER' fills it")
    else:
        yield Check("store", "ok", finding)


def _reader(settings: Settings) -> Iterator[Check]:
    from qa_app import bootstrap
    from qa_app.reading.resolution import resolve

    model = resolve(bootstrap.promoted_readers(settings).current(settings.reader_model))
    if model.notice:
        yield Check("reader", "warning", model.notice)
    else:
        yield Check("reader", "ok", f"{model.name}, {model.folder}")


def _enrichment(settings: Settings) -> Iterator[Check]:
    from qa_app.reading.model_files import CLASSIFIER, ENTITIES
    from qa_app.reading.resolution import resolve

    for purpose, name in ((CLASSIFIER, settings.enrich_classifier), (ENTITIES, settings.enrich_entities)):
        if name:
            model = resolve(name, purpose)
            yield Check(purpose.setting, "ok", f"{model.name}, {model.folder}")
