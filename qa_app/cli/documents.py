"""``qa-app documents``: what is indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qa_app.cli.ingest import IndexOption, JsonOption
from qa_app.cli.output import console, print_json, quiet_libraries, say, shown
from qa_app.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from haystack.schema import Document

    from qa_app.settings import Settings
    from qa_app.stores.passage_store import PassageStore

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show and delete indexed documents.")

DocumentArgument = Annotated[str, typer.Argument(help="Path, name or id, as listed.", show_default=False)]


def prepared_settings(index: str | None) -> Settings:
    """The settings, with Haystack imported as commands need it that never read."""
    quiet_libraries()
    from qa_app import settings as settings_room
    from qa_app.haystack_without_torch import import_haystack

    settings = settings_room.load({"index": index})
    import_haystack()
    return settings


@app.command("list")
def list_(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """List the indexed documents."""
    from qa_app import bootstrap

    with bootstrap.open_store(prepared_settings(index)) as store:
        files = sorted(store.get_all_files(), key=lambda file: str(file.meta.get("path")))
    if as_json:
        print_json([_record(file) for file in files])
        return
    if not files:
        say("nothing is indexed yet; 'qa-app ingest FOLDER' does it")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (
        ("document", "left"),
        ("passages", "right"),
        ("pages", "right"),
        ("bytes", "right"),
        ("indexed", "left"),
    ):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for file in files:
        meta = file.meta
        pages = len(meta.get("page_starts") or [])
        cells = (
            meta.get("path") or file.id,
            meta["passages"],
            pages or "",
            meta.get("size", ""),
            meta.get("ingested_at", ""),
        )
        table.add_row(*[shown(cell) for cell in cells])
    console().print(table)


@app.command("show")
def show(document: DocumentArgument, index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Show a document: what is known of it, and its extracted text."""
    from qa_app import bootstrap

    with bootstrap.open_store(prepared_settings(index)) as store:
        file = store.get_file(find(store, document).id)
        if file is None:
            raise NotFoundError(f"{document} was deleted just now")
    if as_json:
        print_json({**_record(file), "text": file.content})
        return
    out = console()
    for key, value in _record(file).items():
        if key not in ("page_starts", "headings"):
            out.print(f"{key + ':':<14}{shown(value)}")
    out.print()
    for line in file.content.splitlines():
        out.print(shown(line))


@app.command("delete")
def delete(
    documents: Annotated[
        list[str] | None, typer.Argument(help="Paths, names or ids, as listed.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete every document of the index.")] = False,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete documents from the index; the files themselves stay where they are."""
    from qa_app import bootstrap

    if bool(documents) == everything:
        raise SettingsError("name the documents to delete, or say --all for every one")
    with bootstrap.open_store(prepared_settings(index)) as store:
        if everything:
            deleted = [_record(file) for file in store.get_all_files()]
            store.delete_all_documents()
        else:
            found = [find(store, document) for document in documents or []]
            store.delete_files([file.id for file in found])
            deleted = [_record(file) for file in found]
        store.finish_writing()
        store.wipe_traces()
    if as_json:
        print_json(deleted)
    else:
        typer.echo(f"{len(deleted)} deleted")


def find(store: PassageStore, wanted: str) -> Document:
    """The one file with that id, path or name; raises NotFoundError where there is none or more than one."""
    files = list(store.get_all_files())
    for matches in (
        [file for file in files if file.id == wanted],
        [file for file in files if wanted in (file.meta.get("path"), file.meta.get("source"))],
        [file for file in files if file.meta.get("name") == wanted],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            places = ", ".join(
                f"{file.meta.get('source') or file.meta.get('path')} (id {file.id})" for file in matches[:5]
            )
            raise NotFoundError(f"{wanted} names {len(matches)} documents; give one's id: {places}")
    raise NotFoundError(f"there is no document {wanted}; 'qa-app documents list' lists them")


def _record(file: Document) -> dict[str, Any]:
    return {"id": file.id, **file.meta}
