"""F18-F24: folders with anything in them; what is good is indexed, the rest has its reason."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from qa_app.settings import Settings
from tests.faults.table import Figure
from tests.ingesting import ends, ingesting, settings_for, write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path / "data")


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


ODD_NAMES = [
    "a..\\x.txt", "C:x.txt", "new\nline.txt", "tab\t.txt", "-rf.txt", "<img src=x onerror=alert(1)>.txt", "CON.txt",
    "x" * 250 + ".txt",
    "\u202etxt.exe.txt", "日本語.txt", "$HOME.txt", "'; DROP TABLE files_1; --.txt", "%00.txt", "a b  c.txt",
]  # fmt: skip


@pytest.mark.case("F18")
def test_f18_odd_names(settings: Settings, tmp_path: Path) -> None:
    """Names that would be something else to a shell, a page or another system are just names."""
    folder = tmp_path / "papers"
    folder.mkdir()
    for i, name in enumerate(ODD_NAMES):
        (folder / name).write_text(f"The text of number{i}.")
    before = tree(tmp_path)
    with ingesting(settings) as ingest:
        assert set(ends(ingest(folder)).values()) == {"indexed"}
        for i, name in enumerate(ODD_NAMES):
            assert ingest.store.query(f"number{i}")[0].meta["name"] == name
    assert {name for name in tree(tmp_path) - before if not name.startswith("data")} == set()


@pytest.mark.case("F18")
def test_f18_a_name_that_is_not_text(settings: Settings, tmp_path: Path) -> None:
    """A file name in no encoding is rejected by name, and its neighbours are indexed."""
    folder = write(tmp_path / "papers", {"good.txt": "Good words."})
    (Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.txt"))).write_text("Bad name.")
    with ingesting(settings) as ingest:
        assert sorted(ends(ingest(folder)).values()) == ["indexed", "name"]


@pytest.mark.case("F19")
def test_f19_links_pipes_sockets_and_devices(settings: Settings, tmp_path: Path) -> None:
    """Links out of the folder, loops, pipes, sockets and devices are named and never opened."""
    folder = write(tmp_path / "papers", {"good.txt": "Good words.", "sub/inner.txt": "Inner words."})
    write(tmp_path, {"secret.txt": "Secret words."})
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "outdir").symlink_to(tmp_path)
    (folder / "device").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "up").symlink_to(folder)
    (folder / "broken.txt").symlink_to(folder / "nowhere")
    (folder / "twin.txt").symlink_to(folder / "good.txt")
    os.mkfifo(folder / "pipe")
    # A socket's path is limited to some hundred bytes, so it is bound from within the folder.
    here = Path.cwd()
    server = socket.socket(socket.AF_UNIX)
    os.chdir(folder)
    try:
        server.bind("socket")
    finally:
        os.chdir(here)
        server.close()
    expected = {
        "good.txt": "indexed", "sub/inner.txt": "indexed", "out.txt": "outside_root", "outdir": "outside_root",
        "device": "outside_root", "loop": "not_a_file", "up": "skipped", "broken.txt": "vanished",
        "twin.txt": "skipped", "pipe": "not_a_file", "socket": "not_a_file",
    }  # fmt: skip
    with ingesting(settings) as ingest:
        assert ends(ingest(folder)) == expected
        assert ingest.store.query("secret") == []
    with ingesting(settings, follow_symlinks=True) as ingest:
        followed = {
            **expected,
            "good.txt": "unchanged",
            "sub/inner.txt": "unchanged",
            "twin.txt": "indexed",
            "up": "not_a_file",
        }
        assert ends(ingest(folder)) == followed
        assert ingest.store.query("secret") == []


@pytest.mark.case("F20")
def test_f20_unreadable_files_and_folders(tmp_path: Path) -> None:
    """What may not be read is rejected as such and not pruned; the rest is indexed."""
    names = {"good.txt": "Good words.", "shut.txt": "Shut.", "cellar/deep.txt": "Deep.", "attic/box.txt": "Box."}
    folder = write(tmp_path / "papers", dict(names))
    # Root reads everything unless it gives up the right to.
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*powerless, sys.executable, "-m", "qa_app", "ingest", "--prune", "--json", str(folder)]
    environment = {**os.environ, "QA_DATA_DIR": str(tmp_path / "data")}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    (folder / "shut.txt").chmod(0)
    (folder / "cellar").chmod(0)
    (folder / "attic").chmod(0o444)  # what is in it can be listed, not looked at
    try:
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    finally:
        (folder / "cellar").chmod(0o755)
        (folder / "attic").chmod(0o755)
    assert done.returncode == 3, done.stderr
    got = {entry["path"]: entry["reason"] or entry["status"] for entry in json.loads(done.stdout)["files"]}
    refused = {"attic/box.txt": "permission", "cellar": "permission", "shut.txt": "permission"}
    assert got == {"good.txt": "unchanged", **refused}


@pytest.mark.case("F13", "F18", "F20")
def test_folders_within_folders_to_the_end_of_what_a_path_holds(settings: Settings, tmp_path: Path) -> None:
    """Folders nested thousands deep end no ingestion: what a path leads to is indexed, what none does is rejected."""
    folder = write(tmp_path / "papers", {"good.txt": "Good words."})
    here = Path.cwd()
    os.chdir(folder)
    try:
        for depth in range(2500):
            Path("a").mkdir()
            os.chdir("a")
            if depth in (1500, 2400):
                Path("deep.txt").write_text(f"Deep words {depth}.")
    finally:
        os.chdir(here)
    with ingesting(settings) as ingest:
        found = ends(ingest(folder))
        assert sorted(found.values()) == ["indexed", "indexed", "name"]
        assert found["a/" * 1501 + "deep.txt"] == "indexed"
        assert ends(ingest(folder)) == {path: "unchanged" if end == "indexed" else end for path, end in found.items()}
    # What removes tests' folders calls itself for each.
    subprocess.run(["rm", "-r", folder], check=True)


@pytest.mark.case("F21", "F22")
def test_f21_f22_same_name_and_same_content(settings: Settings, tmp_path: Path) -> None:
    """Files of one name in two folders, and of one content under two names, are all kept apart."""
    folder = write(tmp_path / "p", {"a/x.txt": "One text.", "b/x.txt": "Another text.", "c/y.txt": "One text."})
    with ingesting(settings) as ingest:
        ingest(folder)
        assert ingest.store.get_document_count() == 3
        assert len({passage.id for passage in ingest.store.get_all_documents()}) == 3


@pytest.mark.case("F24")
def test_f24_a_word_of_three_megabytes(settings: Settings, tmp_path: Path) -> None:
    """One endless word, or one endless line, makes passages of bounded size that cover it all."""
    folder = write(tmp_path / "p", {"word.txt": "x" * 3_000_000, "line.txt": "word " * 600_000})
    with ingesting(settings) as ingest:
        assert set(ends(ingest(folder)).values()) == {"indexed"}
        for file in ingest.store.get_all_files():
            passages = ingest.store.get_file_passages(file.id)
            assert max(len(passage.content) for passage in passages) <= 100 * 12
            covered = 0
            for passage in passages:
                assert passage.meta["start"] <= covered + 1
                covered = max(covered, passage.meta["end"])
            assert covered >= 2_999_999


@pytest.mark.case("F23")
def test_f23_a_file_that_vanishes_while_it_waits(settings: Settings, tmp_path: Path) -> None:
    """A file that is gone when its turn comes is rejected, and the others are indexed."""
    folder = write(tmp_path / "p", {f"{i}.txt": f"Text number{i}." for i in range(5)})
    with ingesting(settings) as ingest:
        from qa_app.pipelines.walking import Found

        batch = [(Found(folder / f"{i}.txt", f"{i}.txt"), f"id{i}") for i in range(5)]
        (folder / "3.txt").unlink()
        assert [result.reason for result in ingest.ingestion._index(batch)] == [None, None, None, "vanished", None]


def test_hidden_and_excluded_entries_are_said_to_be_skipped(settings: Settings, tmp_path: Path) -> None:
    """What is left out on purpose is counted, and taken when asked for."""
    folder = write(
        tmp_path / "p",
        {".git/config.txt": "x", ".hidden.txt": "Hidden words.", "drafts/a.txt": "Draft.", "b.txt": "B."},
    )
    with ingesting(settings, exclude=("drafts",)) as ingest:
        expected = {".git": "skipped", ".hidden.txt": "skipped", "drafts": "skipped", "b.txt": "indexed"}
        assert ends(ingest(folder)) == expected
    with ingesting(settings, hidden=True, exclude=("*/a.txt", ".git")) as ingest:
        assert ends(ingest(folder))[".hidden.txt"] == "indexed"


@pytest.mark.case("F18")
def test_f18_any_name_that_a_disk_takes(tmp_path: Path, long: bool, figure: Figure) -> None:
    """Files under thousands of random names are each indexed under theirs, skipped as hidden, or rejected for it."""
    chance = random.Random(18)
    pieces = [
        b"..",
        b"~",
        b"\\",
        b"\n",
        b"\r",
        b"\x1b[2J",
        b"\x7f",
        b"*",
        b"$(id)",
        b"`",
        b";",
        b"'",
        b'"',
        b"<b>",
        b"|",
    ]
    signs = ("é", "e\u0301", "😀", "\u202e", "\u200b", "日本", "\ufeff", "\u2028", "ﬁ", "A", " ")
    pieces += [sign.encode() for sign in signs]
    pieces += [b"\xff", b"\xed\xa0\x80", b"%2e", b"C:", b".", b"-", b"--help", b"x" * 60]
    folder = tmp_path / "papers"
    folder.mkdir()
    count = 3000 if long else 300
    names = {b"".join(chance.choices(pieces, k=chance.randint(1, 4))) for _ in range(count)} - {b".", b".."}
    for name in names:
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_text(f"Words of {name.hex()}.")
    before = tree(tmp_path)
    command = [sys.executable, "-m", "qa_app", "ingest", "--json", str(folder)]
    environment = {**os.environ, "QA_DATA_DIR": str(tmp_path / "data"), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.stderr + done.stdout)
    counts = Counter(file["reason"] or file["status"] for file in json.loads(done.stdout)["files"])
    hidden = sum(name.startswith(b".") for name in names)
    unreadable = sum(not name.startswith(b".") and not _is_text(name) for name in names)
    assert counts == {"indexed": len(names) - hidden - unreadable, "skipped": hidden, "name": unreadable}
    with ingesting(settings_for(tmp_path / "data")) as ingest:
        kept = {file.meta["path"].encode() for file in ingest.store.get_all_files()}
    assert kept == {name for name in names if not name.startswith(b".") and _is_text(name)}
    assert {name for name in tree(tmp_path) - before if not name.startswith("data")} == set()
    figure("file names", len(names))


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
