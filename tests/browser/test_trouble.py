"""When things are wrong, a visitor reads one plain sentence."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import page_server
from tests.browser.scripted_api import READY, ScriptedApi, scripted_api
from tests.browser.visitor import SECONDS, Visitor
from tests.ingesting import ingesting, settings_for, write
from tests.serving import server

pytestmark = [pytest.mark.browser, pytest.mark.reader]

KEY = "write:a-key-of-the-tests-and-of-nobody-else"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ScriptedApi]]:
    """A page over a server that answers as it is told."""
    with scripted_api() as api, page_server(api.url, tmp_path_factory.mktemp("scripted")) as url:
        yield url, api


@pytest.fixture
def script(served: tuple[str, ScriptedApi]) -> Iterator[ScriptedApi]:
    """That server, which is well again afterwards."""
    api = served[1]
    answers = dict(api.answers)
    yield api
    api.answers, api.slow = answers, {}


def plainly(visitor: Visitor, sentence: str) -> None:
    """Waits for a sentence, and sees that nothing of a program's inside is shown beside it."""
    expect(visitor.page.get_by_text(sentence)).to_be_visible(timeout=SECONDS * 1000)
    shown = visitor.page.get_by_test_id("stApp").inner_text()
    for inside in ("Traceback", "Error(", "Exception", "<class", "Errno", "httpx", "NoneType", "dict"):
        assert inside not in shown


PROBLEMS: list[tuple[int, Any, str]] = [
    (401, "problem", "The API does not take this page's key."),
    (403, "problem", "The API does not take this page's key."),
    (422, "problem", "It says: a reason of its own"),
    (429, "problem", "Too many questions are waiting."),
    (500, "problem", "It says: a reason of its own"),
    (503, "problem", "The API is starting, or has lost what it needs."),
    (504, "problem", "The API took too long."),
    (500, "<html><h1>Bad gateway</h1></html>", "is not qa_app's API (status 500)"),
    (200, "<html>A login page</html>", "is not qa_app's API (status 200)"),
    (200, '{"answers": [', "is not qa_app's API (status 200)"),
    (200, [1, 2, 3], "The answer of the API cannot be understood."),
    (200, {"answers": None, "documents": 7}, "The answer of the API cannot be understood."),
    (200, {"answers": [{"answer": 5}], "documents": []}, "The answer of the API cannot be understood."),
    (200, None, "Nothing answers at"),
]
#: Those that every run meets: a status, one that passes by itself, another server's page, a wrong shape, and silence.
OFTEN = (3, 5, 8, 12, 13)


@pytest.mark.case("U3")
@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        pytest.param(*problem, id=f"{problem[0]}-{number}", marks=() if number in OFTEN else pytest.mark.long)
        for number, problem in enumerate(PROBLEMS)
    ],
)
def test_an_answer_that_is_none_is_said(
    visit: Callable[..., Visitor],
    served: tuple[str, ScriptedApi],
    script: ScriptedApi,
    status: int,
    body: Any,
    told: str,
) -> None:
    """Whatever comes instead of answers, a sentence says so, and asking again is one click."""
    if body == "problem":
        script.problem("/query", status)
    else:
        script.answers["/query"] = (status, body)
    visitor = visit(f"{served[0]}/?q=Who+is+there%3F")
    plainly(visitor, told)
    script.answers["/query"] = (200, {"query": "", "answers": [], "documents": []})
    if status != 503 and body is not None:  # what may pass is tried again by itself
        visitor.page.get_by_role("button", name="Try again").click()
    expect(visitor.page.get_by_text("No document has any word of this question.")).to_be_visible(timeout=SECONDS * 1000)


def test_an_answer_that_is_not_at_its_offsets_is_not_shown(
    visit: Callable[..., Visitor], served: tuple[str, ScriptedApi], script: ScriptedApi
) -> None:
    """The page never looks for an answer's words; where they are not at their offsets, it says so."""
    document = {
        "id": "d",
        "content": "It was Anna. It was Anna.",
        "meta": {"name": "a.txt", "file_id": "f", "start": 0},
    }
    answer = {"answer": "Anna", "score": 0.9, "document_ids": ["d"], "offsets_in_document": [{"start": 8, "end": 12}]}
    script.answers["/query"] = (200, {"query": "", "answers": [answer], "documents": [document]})
    plainly(visit(f"{served[0]}/?q=Who+was+it%3F"), "The answer of the API cannot be understood.")
    answer["offsets_in_document"] = [{"start": 20, "end": 24}]
    visitor = visit(f"{served[0]}/?q=Who+was+it+then%3F")
    expect(visitor.cards().first.locator("mark")).to_have_text("Anna", timeout=SECONDS * 1000)
    text = visitor.cards().first.locator(".qa-sentence").inner_text()
    assert text == "It was Anna."


@pytest.mark.case("U3")
def test_a_slow_api_does_not_stop_the_page(
    visit: Callable[..., Visitor], served: tuple[str, ScriptedApi], script: ScriptedApi
) -> None:
    """While an answer does not come, the page says what it does, and other pages open."""
    script.slow["/query"] = 30.0
    script.answers["/files"] = (200, {"files": [], "total": 0, "next": None})
    script.answers["/jobs"] = (200, {"jobs": []})
    visitor = visit(f"{served[0]}/?q=Who+is+late%3F")
    expect(visitor.page.get_by_text("Reading", exact=False).first).to_be_visible(timeout=SECONDS * 1000)
    visitor.page.get_by_test_id("stSidebar").get_by_role("link", name="Documents").click()
    expect(visitor.page.get_by_text("0 documents")).to_be_visible(timeout=SECONDS * 1000)


@pytest.mark.case("U3")
def test_what_is_missing_and_what_stands_in_are_said(
    visit: Callable[..., Visitor], served: tuple[str, ScriptedApi], script: ScriptedApi
) -> None:
    """While the API starts, the page names what it waits for and goes on by itself; another reader is named."""
    script.answers["/ready"] = (503, {"ready": False, "missing": {"reader": "the reader is being loaded"}})
    visitor = visit(f"{served[0]}/?q=Who+is+there%3F")
    plainly(visitor, "The API is starting. Reader: the reader is being loaded.")
    script.answers["/query"] = (200, {"query": "", "answers": [], "documents": []})
    script.answers["/ready"] = (200, {**READY, "notice": "the bundled reader stands in"})
    plainly(visitor, "the bundled reader stands in")
    plainly(visitor, "No document has any word of this question.")


@pytest.mark.case("U3")
@pytest.mark.parametrize("view", ["documents", "feedback", "document?file=abc", "document?file=../../etc"])
def test_every_page_says_what_is_wrong(
    visit: Callable[..., Visitor], served: tuple[str, ScriptedApi], script: ScriptedApi, view: str
) -> None:
    """Where nothing but nonsense comes, each page has a sentence for it."""
    for path in ("/files", "/eval-feedback", "/files/abc", "/jobs"):
        script.answers[path] = (200, "nonsense")
    told = "This link names no document." if ".." in view else "is not qa_app's API"
    plainly(visit(f"{served[0]}/{view}"), told)


@pytest.mark.case("U3")
def test_an_api_that_comes_up_is_found(
    visit: Callable[..., Visitor], page_for: Callable[..., str], tmp_path: Path
) -> None:
    """Without an API the page says where it looked; the question is answered as soon as there is one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    visitor = visit(f"{page_for(f'http://127.0.0.1:{port}')}/?q=Who+kept+the+light%3F")
    plainly(visitor, "Nothing answers at")
    settings = settings_for(tmp_path / "data", None, api_deadline=60.0)
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", {"light.txt": "The light was kept by Ole Brun for years.\n"}))
    with server(settings, port=port):
        expect(visitor.cards().first.get_by_role("heading")).to_have_text("Ole Brun", timeout=SECONDS * 1000)


@pytest.mark.case("U3", "A8")
def test_a_key_that_is_not_taken_is_said(
    visit: Callable[..., Visitor], page_for: Callable[..., str], tmp_path: Path
) -> None:
    """A real API with keys: the wrong one is named as the trouble, the right one answers; neither is shown."""
    settings = settings_for(tmp_path / "data", None, api_keys=KEY)
    with ingesting(settings) as ingest:
        ingest(write(tmp_path / "documents", {"light.txt": "The light was kept by Ole Brun for years.\n"}))
    with server(settings) as running:
        for key, right in (("another-key-of-somebody-else", False), (KEY.removeprefix("write:"), True)):
            visitor = visit(f"{page_for(running.url, key)}/?q=Who+kept+the+light%3F")
            if right:
                visitor.answered()
                expect(visitor.cards().first.get_by_role("heading")).to_have_text("Ole Brun")
            else:
                plainly(visitor, "The API does not take this page's key.")
            assert key not in visitor.page.content()


@pytest.mark.case("U5")
def test_an_upload_over_the_limit_is_said(
    visit: Callable[..., Visitor], page_for: Callable[..., str], tmp_path: Path
) -> None:
    """A file that the API does not take for its size ends with a sentence, not with silence."""
    settings = settings_for(tmp_path / "data", None, api_max_upload_mb=1)
    with server(settings) as running:
        visitor = visit(f"{page_for(running.url)}/documents")
        big = {"name": "big.txt", "mimeType": "text/plain", "buffer": b"a word " * 300_000}
        visitor.page.locator("input[type=file]").set_input_files([big])
        visitor.page.get_by_role("button", name="Add 1 file").click()
        plainly(visitor, "The files were not added.")


@pytest.mark.case("U5")
def test_an_upload_over_the_limit_is_said_before_it_is_sent(
    visit: Callable[..., Visitor], served: tuple[str, ScriptedApi], page_for: Callable[..., str]
) -> None:
    """A page that knows the API's limit names it, refuses a file over it, and sends nothing of that file."""
    served[1].answers["/files"] = (200, {"files": [], "total": 0, "next": None})
    served[1].answers["/jobs"] = (200, {"jobs": []})
    visitor = visit(f"{page_for(served[1].url, QA_API_MAX_UPLOAD_MB='1')}/documents")
    sent: list[str] = []
    visitor.context.on("request", lambda request: sent.append(request.method) if "upload_file" in request.url else None)
    expect(visitor.page.get_by_test_id("stFileUploaderDropzone")).to_contain_text("1MB per file")
    choose = visitor.page.locator("input[type=file]")
    choose.set_input_files([{"name": "big.txt", "mimeType": "text/plain", "buffer": b"a word " * 300_000}])
    plainly(visitor, "File must be 1.0MB or smaller.")
    assert "PUT" not in sent
    expect(visitor.page.get_by_role("button", name="Add 1 file")).to_have_count(0)
    choose.set_input_files([{"name": "small.txt", "mimeType": "text/plain", "buffer": b"a word "}])
    expect(visitor.page.get_by_role("button", name="Add 1 file")).to_be_visible()
    assert "PUT" in sent


@pytest.mark.case("U3")
@pytest.mark.long
def test_an_api_that_never_answers_is_given_up(
    visit: Callable[..., Visitor], served: tuple[str, ScriptedApi], script: ScriptedApi
) -> None:
    """After a minute without an answer the page says so, and the question can be asked again."""
    script.slow["/query"] = 60.0
    visitor = visit(f"{served[0]}/?q=Who+is+late%3F")
    plainly(visitor, "The API took too long. Try again in a moment.")
    expect(visitor.page.get_by_role("button", name="Try again")).to_be_visible()
