"""Documents are hostile: what they say is shown, and never done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import page_server
from tests.browser.scripted_api import READY, scripted_api
from tests.browser.visitor import SECONDS, Visitor
from tests.faults.table import Figure
from tests.ingesting import settings_for
from tests.serving import Server, client, server

pytestmark = [pytest.mark.browser, pytest.mark.reader]

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "<svg onload=alert(3)></svg>",
    "<iframe src='javascript:alert(4)'></iframe>",
    "<a href='javascript:alert(5)'>click</a>",
    "[click](javascript:alert(6))",
    "![x](https://evil.example/pixel.png)",
    "<img src='https://evil.example/pixel.gif'>",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=https://evil.example/a.css>",
    "<body onload=alert(7)>",
    "<details open ontoggle=alert(8)>",
    "<input autofocus onfocus=alert(9)>",
    "<mark>not this</mark>",
    "&lt;b&gt;entity&lt;/b&gt;",
    "$\\frac{1}{2}$ and `code` and **bold**",
    ":red[red] :material/home: :smile:",
    "</p></div><h1>Owned</h1>",
    "'\"><script>alert(10)</script>",
    "https://evil.example/a www.evil.example mail@evil.example",
]
#: Those that every run asks: a script, an event, Markdown, and tags that close the page's own.
OFTEN = (0, 1, 5, 17)


@pytest.fixture(scope="module")
def inn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    """A page over documents with payloads in names, texts and metadata."""
    folder = tmp_path_factory.mktemp("inn")
    settings = settings_for(folder / "data", None, api_deadline=120.0)
    with server(settings) as running, client(running.url) as api:
        for number, payload in enumerate(PAYLOADS):
            text = (
                f"# {payload}\n\nThe sign of inn {number} has these words on it: {payload} and nothing else at all.\n"
            )
            name = f"{number} {payload}.txt".replace("/", "∕")[:120]
            meta = (
                {"sign": payload} if number % 2 else {f"key {number} {payload}".replace('"', "").replace("\\", ""): 1}
            )
            done = api.post(
                "/files", files={"files": (name, text.encode())}, data={"meta": httpx.Response(200, json=meta).text}
            )
            assert done.status_code == 202, done.text
        rejected = ("<img src=x onerror=alert(11)>.png", b"\x89PNG\r\n\x1a\n" + bytes(40))
        assert api.post("/file-upload", files={"files": rejected}).status_code >= 400
        with page_server(running.url, folder) as url:
            yield url, running


def harmless(visitor: Visitor) -> None:
    """Nothing of the documents has become an element, and nothing was fetched or run."""
    page = visitor.page
    for selector in (
        "img[src='x']",
        "img[src*=evil]",
        "a[href*=evil]",
        "a[href^=javascript]",
        "iframe",
        "h1:text('Owned')",
    ):
        assert page.locator(selector).count() == 0, selector
    expect(page.get_by_test_id("stApp")).to_be_visible()
    visitor.check()


@pytest.mark.case("U1", "U2")
def test_payloads_in_answers_are_shown_as_they_are(visit: Callable[..., Visitor], inn: tuple[str, Server]) -> None:
    """Asked about, they come as text in cards, passages, filters, quotes and JSON."""
    visitor = visit(inn[0])
    for number in (1, 6, 13, 15, 16):
        visitor.ask(f"Which words has the sign of inn {number} on it?")
        visitor.answered()
        harmless(visitor)
        shown = visitor.page.get_by_test_id("stMain").inner_text()
        if (otherwise := visitor.page.get_by_text("The 10 passages that were read")).count():
            otherwise.click()
            expect(visitor.page.locator(".st-key-passage-0")).to_be_visible()
            shown = visitor.page.get_by_test_id("stMain").inner_text()
        assert PAYLOADS[number] in shown
        harmless(visitor)
    if (otherwise := visitor.page.get_by_text("What the reader would say otherwise")).count():
        otherwise.click()
    for name in ("Quote", "JSON"):
        if visitor.cards().count():
            visitor.cards().first.get_by_role("button", name=name).click()
            expect(visitor.page.get_by_test_id("stPopoverBody")).to_be_visible()
            harmless(visitor)
            visitor.page.keyboard.press("Escape")


@pytest.mark.case("U1")
@pytest.mark.timeout(1800)
def test_payloads_as_questions(
    visit: Callable[..., Visitor], inn: tuple[str, Server], long: bool, figure: Figure
) -> None:
    """A question is text too, in its box, in the address and among those asked before."""
    payloads = PAYLOADS if long else [PAYLOADS[number] for number in OFTEN]
    visitor = visit(inn[0])
    for payload in payloads:
        visitor.ask(f"{payload} sign?")
        visitor.answered()
        harmless(visitor)
    visitor.ask("And then?")
    expect(visitor.page.get_by_text("Asked before")).to_be_visible(timeout=SECONDS * 1000)
    harmless(visitor)
    figure("hostile texts asked", len(payloads))


@pytest.mark.case("U1")
def test_payloads_in_names_and_reasons(visit: Callable[..., Visitor], inn: tuple[str, Server], figure: Figure) -> None:
    """The list, the dialog, the rejections and the document itself show names as they are."""
    visitor = visit(f"{inn[0]}/documents")
    page = visitor.page
    expect(page.locator('[class*="st-key-file-"]')).to_have_count(20, timeout=SECONDS * 1000)
    harmless(visitor)
    expect(page.get_by_text("1 <img src=x onerror=alert(2)>.txt")).to_be_visible()
    page.get_by_text("Rejected uploads of the last week").click()
    expect(page.locator(".st-key-rejected")).to_contain_text("<img src=x onerror=alert(11)>.png")
    row = page.locator('[class*="st-key-file-"]').filter(has_text="onerror=alert(2)")
    row.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 <img src=x onerror=alert(2)>.txt")
    harmless(visitor)
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    visitor.opened(row.get_by_role("link", name="Open"))
    expect(visitor.page.locator(".qa-document")).to_contain_text(PAYLOADS[1], timeout=SECONDS * 1000)
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=alert(2)>")
    harmless(visitor)
    figure("hostile texts in documents, their names and metadata", len(PAYLOADS))


@pytest.mark.case("U1", "U2")
def test_payloads_in_what_the_api_says(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    """Notices, reasons, examples, fields and values of an API come as text too, whoever wrote them."""
    everything = " | ".join(PAYLOADS)

    def shown_whole(visitor: Visitor, begins: str) -> None:
        told = visitor.page.get_by_text(begins)
        expect(told).to_be_visible(timeout=SECONDS * 1000)
        # Addresses are broken by a character that nobody sees.
        assert everything in told.inner_text().replace("\u2060", "")
        harmless(visitor)

    with scripted_api() as api, page_server(api.url, tmp_path) as url:
        api.answers["/ready"] = (200, {**READY, "notice": f"A notice: {everything}"})
        values = [{"value": payload, "count": 1} for payload in PAYLOADS]
        fields = [{"field": f"{n} {payload}", "values": values, "others": 0} for n, payload in enumerate(PAYLOADS)]
        api.answers["/facets"] = (200, {"facets": fields, "files": 1})
        api.answers["/example-questions"] = (200, {"questions": [{"query": f"An example: {everything}"}]})
        visitor = visit(url)
        shown_whole(visitor, "A notice:")
        shown_whole(visitor, "An example:")
        visitor.page.get_by_role("combobox").first.click()
        expect(visitor.page.get_by_role("option")).not_to_have_count(0)
        harmless(visitor)
        visitor.page.keyboard.press("Escape")
        api.problem("/query", 422, f"A reason: {everything}")
        visitor.ask("Why?")
        shown_whole(visitor, "A reason:")
        api.answers["/ready"] = (503, {"ready": False, "missing": {"store": f"a lack: {everything}"}})
        shown_whole(visit(url), "a lack:")


@pytest.mark.case("U6")
def test_two_visitors_share_nothing(visit: Callable[..., Visitor], inn: tuple[str, Server]) -> None:
    """One's question, history and verdicts are not the other's."""
    one, other = visit(inn[0]), visit(inn[0])
    one.ask("Which words are on the sign of inn 3?")
    one.answered()
    one.ask("Which words are on the sign of inn 4?")
    one.answered()
    expect(one.page.get_by_text("Asked before")).to_be_visible()
    other.page.reload()
    expect(other.page.get_by_role("textbox", name="Question")).to_have_value("")
    expect(other.page.get_by_text("Asked before")).to_have_count(0)
    other.ask("Which words are on the sign of inn 4?")
    other.answered()
    expect(other.page.get_by_text("Asked before")).to_have_count(0)
    expect(other.page.get_by_text("Saved. Thank you.")).to_have_count(0)
