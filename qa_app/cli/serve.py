"""``qa-app serve`` and ``qa-app key``: the API, and keys for it."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

import typer

from qa_app.cli.ingest import IndexOption, JsonOption
from qa_app.cli.output import print_json, quiet_libraries, say
from qa_app.errors import SettingsError

SCOPES = ("read", "write", "admin")


def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.", show_default=False)] = None,
    index: IndexOption = None,
    insecure_no_auth: Annotated[
        bool, typer.Option("--insecure-no-auth", help="Let other machines ask without an API key.")
    ] = False,
) -> None:
    """Serve the API, to Haystack's clients and others.

    Listens on this machine alone; other addresses need API keys, which 'qa-app key' makes.
    """
    quiet_libraries()
    from qa_app import settings as settings_room

    settings = settings_room.load({"api_host": host, "api_port": port, "index": index})
    from qa_app.api import server

    say(f"starting on http://{settings.api_host}:{settings.api_port}; the page /docs shows what can be asked")
    server.serve(settings, insecure_no_auth=insecure_no_auth)


def key(
    scope: Annotated[str, typer.Option("--scope", help="read, write or admin.")] = "read",
    as_json: JsonOption = False,
) -> None:
    """Make an API key: the key for the client, and the entry for QA_API_KEYS, from which the key cannot be told."""
    if scope not in SCOPES:
        raise SettingsError(f"--scope {scope!r} is not one of: {', '.join(SCOPES)}")
    made = secrets.token_urlsafe(32)
    entry = f"{scope}:sha256:{hashlib.sha256(made.encode()).hexdigest()}"
    if as_json:
        print_json({"scope": scope, "key": made, "entry": entry})
        return
    typer.echo(f"key:    {made}")
    typer.echo(f"entry:  {entry}")
    say("the client sends 'Authorization: Bearer KEY'; the server has the entry in QA_API_KEYS, commas between entries")
