"""``qa-app ingest``: brings the index in step with folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qa_app.cli.output import print_json, quiet_libraries, say
from qa_app.errors import FileRejectedError, SettingsError

if TYPE_CHECKING:
    from qa_app.pipelines.report import FileResult, Report
    from qa_app.pipelines.walking import Walk
    from qa_app.settings import Settings

IndexOption = Annotated[str | None, typer.Option("--index", help="Name of the index.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Folders or files.", show_default=False)],
    index: IndexOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove documents of the folders whose files are gone or left out.")
    ] = False,
    meta: Annotated[
        list[str] | None,
        typer.Option(
            "--meta", help="key=value kept with every passage, to filter by; replaces what was kept before; repeatable."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Shell pattern of names or paths to leave out; repeatable.")
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Take files and folders whose names begin with a dot.")
    ] = False,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Follow links that stay in the folder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Index the documents of folders; what is unchanged is skipped, what changed is replaced.

    Exit code 3 where files were rejected; each is listed with its reason.
    """
    quiet_libraries()
    from qa_app import settings as settings_room
    from qa_app.haystack_without_torch import import_haystack

    metadata = parse_meta(meta or [])
    settings = settings_room.load({"index": index})
    if not settings.enriches:
        import_haystack()
    from qa_app.pipelines.walking import Walk

    walk = Walk(follow_symlinks=follow_symlinks, hidden=hidden, exclude=tuple(exclude or ()))
    report = run_ingestion(settings, paths, metadata, walk, prune=prune)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
    if report.rejected:
        raise typer.Exit(FileRejectedError.exit_code)


def parse_meta(given: list[str]) -> dict[str, Any]:
    """``["lang=en", "year=2020"]`` as metadata: numbers and true/false as JSON has them, the rest as text."""
    meta: dict[str, Any] = {}
    for pair in given:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise SettingsError(f"--meta {pair!r} is not of the form key=value")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        meta[key] = value if isinstance(value, (str, int, float)) else text
    return meta


def run_ingestion(settings: Settings, paths: list[Path], meta: dict[str, Any], walk: Walk, *, prune: bool) -> Report:
    """One ingestion with its progress on standard error: a bar on a terminal, plain lines elsewhere."""
    from qa_app import bootstrap
    from qa_app.cli.progress import Progress

    def count() -> int:
        return sum(1 for path in paths for _ in walk.files(path))

    with bootstrap.open_store(settings) as store, Progress(count) as progress:

        def on_done(result: FileResult) -> None:
            progress.advance(result.path)
            if result.status == "rejected":
                progress.say(f"rejected  {result.path}: {result.message} [{result.reason}]")

        with bootstrap.open_ingestion(settings, store, meta=meta, walk=walk, prune=prune, on_done=on_done) as ingestion:
            return ingestion.run(paths)


def print_report(report: Report) -> None:
    """The counts of a run, on one line."""
    counts = report.counts
    parts = [f"{counts.get('indexed', 0)} indexed ({report.passages} passages)"]
    parts += [
        f"{counts[status]} {status}" for status in ("unchanged", "removed", "rejected", "skipped") if counts.get(status)
    ]
    typer.echo(f"{', '.join(parts)} in {report.seconds:.1f} s")
    if not any(counts.get(status) for status in ("indexed", "unchanged", "rejected")):
        say("there was no file to index; formats taken are text, Markdown, HTML, PDF and Word (docx)")
