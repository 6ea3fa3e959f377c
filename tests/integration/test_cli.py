"""The command line as a person uses it, in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from qa_app import __version__
from tests.ingesting import write

FILES: dict[str, str | bytes] = {
    "rivers/rhone.txt": "The Rhône runs through Lyon. Bénézet of Avignon bridged it in 1185. It ends in the Camargue.",
    "rivers/loire.md": "# The Loire\n\nThe Loire is the *longest* river of France, at 1006 kilometres.",
}


class Shell:
    """Runs qa-app with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "QA_DATA_DIR": str(folder / "data"), "QA_READER_MODEL": "bundled"}

    def __call__(self, *arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "qa_app", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout[-1000:], done.stderr[-2000:])
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: object, code: int = 0, **environment: str) -> Any:
        return json.loads(self(*arguments, "--json", code=code, **environment).stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell whose default index holds two documents; nobody changes it."""
    folder = tmp_path_factory.mktemp("filled")
    write(folder / "papers", FILES)
    shell = Shell(folder)
    shell("ingest", "papers", "--meta", "topic=rivers", "--meta", "year=2024")
    return shell


def test_help_needs_nothing_heavy(shell: Shell) -> None:
    """Help and version are printed without importing Haystack, torch or a store."""
    for arguments in (["--help"], ["--version"], ["ingest", "--help"], ["ask", "--help"]):
        code = (
            f"import sys; sys.argv = ['qa-app', *{arguments!r}]\nfrom qa_app.cli.main import run\n"
            "try: run()\nfinally: print('HEAVY', sorted({'haystack', 'torch', 'transformers', 'elasticsearch', "
            "'numpy', 'sqlite3', 'pypdf', 'lxml'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "HEAVY []" in done.stdout, done.stdout + done.stderr
    assert shell("--version").stdout == f"qa-app {__version__}\n"


@pytest.mark.reader
def test_a_question_is_answered_with_its_place(filled: Shell) -> None:
    """The answer stands in its sentence, marked, with score, file and offsets that hold in the extracted text."""
    said = filled("ask", "Who bridged the Rhône?").stdout
    found = re.search(r"\[(Bénézet.*)\].* bridged it in 1185\.\n *rivers/rhone\.txt, characters (\d+)-(\d+)", said)
    assert found, said
    words, start, end = found.groups()
    assert filled.json("documents", "show", "rhone.txt")["text"][int(start) : int(end)] == words


@pytest.mark.reader
def test_json_is_haystacks_response(filled: Shell) -> None:
    """With --json standard output is one document in the form of Haystack's /query, without nulls."""
    result = filled.json("ask", "How long is the Loire?", "--filters", '{"topic": "rivers", "year": {"$gte": 2024}}')
    assert set(result) == {"query", "answers", "documents"}
    best = result["answers"][0]
    assert "1006" in best["answer"]
    assert best["type"] == "extractive"
    assert 0 < best["score"] <= 1
    document = next(d for d in result["documents"] if d["id"] == best["document_ids"][0])
    span = best["offsets_in_document"][0]
    assert document["content"][span["start"] : span["end"]] == best["answer"]
    assert "null" not in json.dumps(result)
    assert filled.json("ask", "How long is the Loire?", "--filters", '{"year": 1999}')["documents"] == []


@pytest.mark.reader
def test_no_answer_is_an_answer(filled: Shell) -> None:
    """What the documents do not say is said to be missing, with the nearest passages."""
    said = filled("ask", "Who won the football World Cup of 1998?").stdout
    assert "No answer in these documents" in said
    empty = filled("ask", "anything?", "--index", "other")
    assert "No answer" in empty.stdout
    assert "qa-app ingest" in empty.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["ask", ""], 2, "empty"),
        (["ask", "x", "--filters", "{"], 2, "not JSON"),
        (["ask", "x", "--filters", '{"a": {"$foo": 1}}'], 2, "$foo"),
        (["ask", "x", "--top-k", "0"], 2, "reader.top_k"),
        (["ingest"], 2, "paths"),
        (["ingest", "nowhere"], 2, "nowhere"),
        (["ingest", ".", "--meta", "novalue"], 2, "key=value"),
        (["documents", "show", "nobody"], 2, "documents list"),
        (["documents", "delete"], 2, "--all"),
        (["import", "nowhere.zip"], 2, "nowhere.zip"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_words_are_explained(shell: Shell, arguments: list[str], code: int, told: str) -> None:
    """A wrong option, path or question ends with its exit code and one sentence that names it."""
    assert told in shell(*arguments, code=code).stderr


def test_rejected_files_are_listed(shell: Shell) -> None:
    """Rejected files end the run with code 3 and a line each, and the good ones are indexed."""
    write(
        shell.folder / "papers",
        {**FILES, "empty.txt": "", "photo.jpg": b"\xff\xd8\xff\xe0" + bytes(99), "cut.pdf": "%PDF-1.4 cut"},
    )
    done = shell("ingest", "papers", code=3)
    assert "2 indexed" in done.stdout
    assert "3 rejected" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("rejected")]
    assert [line.split()[1].rstrip(":") for line in sorted(lines)] == ["cut.pdf", "empty.txt", "photo.jpg"]
    report = shell.json("ingest", "papers", code=3)
    assert (report["unchanged"], report["rejected"]) == (2, 3)
    assert {entry["path"]: entry["reason"] for entry in report["files"] if entry["status"] == "rejected"} == {
        "empty.txt": "empty_file",
        "photo.jpg": "unsupported_type",
        "cut.pdf": "corrupt",
    }


@pytest.mark.case("F25")
def test_progress_is_a_bar_on_a_terminal_only(shell: Shell) -> None:
    """On a terminal a bar counts the files; elsewhere standard error stays plain."""
    write(shell.folder / "papers", FILES)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "qa_app", "ingest", "papers"]
    process = subprocess.Popen(
        command, cwd=shell.folder, env={**shell.environment, "TERM": "xterm"}, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # how a terminal tells that its last writer is gone
            break
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert b"2/2" in said
    assert shell("ingest", "papers").stderr == ""


def test_documents_are_listed_shown_and_deleted(shell: Shell) -> None:
    """A document is found by path, name and id, and deleting removes it alone."""
    write(shell.folder / "papers", {**FILES, "old/rhone.txt": "Another Rhône."})
    shell("ingest", "papers")
    listed = shell.json("documents", "list")
    assert [entry["path"] for entry in listed] == ["old/rhone.txt", "rivers/loire.md", "rivers/rhone.txt"]
    assert "rivers/loire.md" in shell("documents", "list").stdout
    assert "longest river" in shell("documents", "show", "loire.md").stdout
    assert "2 documents" in shell("documents", "delete", "rhone.txt", code=2).stderr
    assert shell.json("documents", "delete", "old/rhone.txt", listed[1]["id"])[0]["path"] == "old/rhone.txt"
    assert [entry["path"] for entry in shell.json("documents", "list")] == ["rivers/rhone.txt"]
    assert shell("documents", "delete", "--all").stdout == "1 deleted\n"
    assert shell.json("documents", "list") == []


def test_an_index_travels_as_an_archive(shell: Shell) -> None:
    """Export, wipe and import give the same passages; a damaged archive is refused whole."""
    write(shell.folder / "papers", FILES)
    shell("ingest", "papers")
    before = shell.json("documents", "list")
    assert shell.json("export", "papers.qa.zip")["files"] == 2
    shell("documents", "delete", "--all")
    shell("import", "papers.qa.zip")
    assert shell.json("documents", "list") == before
    assert shell.json("ingest", "papers")["unchanged"] == 2
    whole = (shell.folder / "papers.qa.zip").read_bytes()
    for name, damaged in {"cut.zip": whole[:-50], "text.zip": b"no archive"}.items():
        (shell.folder / name).write_bytes(damaged)
        assert name in shell("import", name, "--index", "fresh", code=2).stderr
    altered = shell.folder / "altered.zip"
    with zipfile.ZipFile(shell.folder / "papers.qa.zip") as source, zipfile.ZipFile(altered, "w") as target:
        for member in source.namelist():
            target.writestr(member, source.read(member).replace(b"Lyon", b"Nyon"))
    assert "files.jsonl" in shell("import", "altered.zip", "--index", "fresh", code=2).stderr
    assert shell.json("documents", "list", "--index", "fresh") == []


def test_documents_cannot_drive_the_terminal(shell: Shell) -> None:
    """Escape sequences and reordering characters in texts and names are shown, not sent."""
    write(shell.folder / "papers", {"a\x1b[31m\u202e.txt": "Evil \u202e\x9b31m words."})
    said = (
        shell("ingest", "papers").stdout
        + shell("documents", "list").stdout
        + shell("documents", "show", "a\x1b[31m\u202e.txt").stdout
    )
    assert not {"\x1b", "\u202e", "\x9b"} & set(said)
    assert "\\x1b" in said


def test_doctor(shell: Shell) -> None:
    """The doctor says what is there, warns of an empty index, and fails with the code of what is broken."""
    checks = {check["name"]: check for check in shell.json("doctor")}
    assert checks["reader"]["state"] == "ok"
    assert checks["store"]["state"] == "warning"
    assert "qa-app ingest" in checks["store"]["finding"]
    broken = shell("doctor", code=5, QA_READER_MODEL="./nowhere")
    assert "nowhere" in broken.stdout
    assert "unknown" not in shell("doctor", code=2, QA_STORE="mongodb").stdout
    down = shell(
        "doctor", code=4, QA_STORE="elasticsearch", QA_ELASTICSEARCH_URL="http://127.0.0.1:9", QA_ELASTICSEARCH_WAIT="0"
    )
    assert "127.0.0.1:9" in down.stdout


def test_a_store_that_is_down(shell: Shell) -> None:
    """An unreachable server ends commands with code 4 and the address."""
    write(shell.folder / "papers", FILES)
    away = {"QA_STORE": "elasticsearch", "QA_ELASTICSEARCH_URL": "http://127.0.0.1:9", "QA_ELASTICSEARCH_WAIT": "0"}
    assert "127.0.0.1:9" in shell("ingest", "papers", code=4, **away).stderr


def test_a_damaged_store(shell: Shell) -> None:
    """A database that is none, or another program's, is named and left alone."""
    (shell.folder / "data").mkdir()
    database = shell.folder / "data" / "store.sqlite"
    database.write_bytes(b"not a database at all" * 100)
    assert "store.sqlite" in shell("documents", "list", code=4).stderr
    assert database.read_bytes().startswith(b"not a database")


@pytest.mark.elasticsearch
@pytest.mark.reader
def test_the_same_commands_on_elasticsearch(shell: Shell, elasticsearch_url: str) -> None:
    """Ingest, ask, list, export and delete work alike with store: elasticsearch in qa_app.yaml."""
    write(shell.folder / "papers", FILES)
    (shell.folder / "qa_app.yaml").write_text(
        f"store: elasticsearch\nindex: cli-{os.getpid()}\nelasticsearch:\n  url: {elasticsearch_url}\n"
    )
    assert shell.json("ingest", "papers")["indexed"] == 2
    assert shell.json("ingest", "papers")["unchanged"] == 2
    assert "[Bénézet" in shell("ask", "Who bridged the Rhône?").stdout
    shell("export", "es.qa.zip")
    shell("import", "es.qa.zip", QA_STORE="sqlite")
    embedded = shell.json("documents", "list", QA_STORE="sqlite")
    assert embedded == shell.json("documents", "list")
    assert shell("documents", "delete", "--all").stdout == "2 deleted\n"


@pytest.mark.reader
def test_the_demo(shell: Shell) -> None:
    """The demo indexes the samples, answers four questions rightly, and says that the fifth has no answer."""
    said = shell("demo").stdout
    for words in ("[Richard Taylor]", "[55] languages", "page 8", "[10 December 1815]", "No answer in these documents"):
        assert words in said
