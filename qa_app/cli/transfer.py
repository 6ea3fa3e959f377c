"""``qa-app export`` and ``qa-app import``: an index as one file, between machines and stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qa_app.cli.documents import prepared_settings
from qa_app.cli.ingest import IndexOption, JsonOption
from qa_app.cli.output import print_json


def _told(verb: str, counts: dict[str, int], path: Path, as_json: bool) -> None:
    if as_json:
        print_json({"archive": str(path), **counts})
    else:
        typer.echo(
            f"{verb} {counts['files']} files, {counts['documents']} other documents, {counts['labels']} labels: {path}"
        )


def export(
    archive: Annotated[Path, typer.Argument(help="File to write, such as papers.qa.zip.", show_default=False)],
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the index, its texts and labels into one archive."""
    settings = prepared_settings(index)
    from qa_app import bootstrap
    from qa_app.pipelines.archive import export_archive

    with bootstrap.open_store(settings) as store:
        counts = export_archive(store, archive)
    _told("exported", counts, archive, as_json)


def import_(
    archive: Annotated[Path, typer.Argument(help="Archive that export wrote.", show_default=False)],
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read an archive into the index of the store that is set; nothing is written if it is damaged."""
    settings = prepared_settings(index)
    from qa_app import bootstrap
    from qa_app.pipelines.archive import import_archive

    with bootstrap.open_store(settings) as store:
        counts = import_archive(store, archive)
    _told("imported", counts, archive, as_json)
