"""The API is what its description says, to whatever a description's reader may send."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qa_app.reading.resolution import BUNDLED_FOLDER
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, write
from tests.serving import Server, server
from tests.unit.reading.tiny import save_random_reader

KEY = "admin-0123456789abcdef"
#: Each is a 422 for a reason that JSON Schema has no words for.
CONFIG = """
[[operations]]
include-path = "/predict" # as many questions as contexts
checks.positive_data_acceptance.expected-statuses = ["2xx", "422"]
[[operations]]
include-path-regex = "/query.*|/search" # a question of which the reader's tokenizer keeps something
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "422"]
[[operations]]
include-path-regex = "/files|/file-upload" # metadata within a JSON text, and files that hold text
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "413", "415", "422"]
[[operations]]
include-path-regex = "/feedback" # an answer that stands in the document, a document that is there
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key, a document and a reader that answers anything, fast."""
    folder = tmp_path_factory.mktemp("openapi")
    reader = save_random_reader(folder / "reader", BUNDLED_FOLDER)
    settings = settings_for(folder / "data", reader_model=str(reader), api_keys=f"admin:{KEY}")
    with ingesting(settings) as ingest:
        ingest(write(folder / "documents", {"a.txt": "The lighthouse keeper is Ada. She lives in Oslo."}))
    with server(settings) as made:
        yield made


@pytest.fixture(scope="module")
def description(running: Server) -> dict[str, Any]:
    """The OpenAPI description."""
    answer = httpx.get(f"{running.url}/openapi.json", headers={"Authorization": f"Bearer {KEY}"})
    result: dict[str, Any] = answer.json()
    return result


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_is_described(description: dict[str, Any]) -> None:
    """Each has a summary, a description with its scope, a tag, an answer and, where it can fail, our problem body."""
    for name, operation in operations(description):
        assert operation["summary"], name
        assert "Scope of the key" in operation["description"], name
        assert operation["tags"], name
        assert any(status.startswith("2") for status in operation["responses"]), name
        if name in ("GET /live", "GET /ready"):
            continue
        for status, response in operation["responses"].items():
            if status >= "400":
                assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, (
                    name
                )
        for status in ("401", "403", "422", "429", "500", "503"):
            assert status in operation["responses"], (name, status)


def test_every_body_has_an_example(description: dict[str, Any]) -> None:
    """Who reads the description sees for every operation what to send and what comes back."""
    for name, operation in operations(description):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        bodies += [body for status, body in operation["responses"].items() if status != "503" and body.get("content")]
        for body in bodies:
            for kind, content in body["content"].items():
                assert "example" in json.dumps(content), (name, kind)


@pytest.mark.case("B1")
@pytest.mark.slow
@pytest.mark.timeout(7500)
def test_schemathesis_finds_nothing(running: Server, tmp_path: Path, long: bool, figure: Figure) -> None:
    """Generated requests, valid and not, with and without keys: no server error, and all checks hold."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json"]
    examples = 500 if long else 50
    figure("examples per operation", examples)
    command += ["--checks", "all", "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing"]
    command += ["--no-color"]
    command += ["--header", f"Authorization: Bearer {KEY}", "--generation-database", "none", "--seed", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=7200 if long else 580, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert running.services.store is not None
