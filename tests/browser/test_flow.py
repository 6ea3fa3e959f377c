"""A person asks, follows an answer into its document, keeps documents, and teaches."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import page_server
from tests.browser.visitor import SECONDS, Visitor
from tests.conftest import REPOSITORY
from tests.faults.table import Figure
from tests.ingesting import ingesting, settings_for, write
from tests.serving import Server, client, server

pytestmark = [pytest.mark.browser, pytest.mark.reader]

PRICE = "How much did the PDP-8 cost?"
DOCUMENTS = {
    "keeper.txt": "The keeper of Skerry Rock was called Anna Vik. She kept the light for forty years.\n",
    "again.txt": "In winter nobody came. The keeper of Skerry Rock was called Anna Vik, and she wrote letters.\n",
    # The answer's words stand here twice, and only the second time do they answer.
    "twice.txt": "Blue is no colour of the Skerry boat in old pictures. The Skerry boat was painted blue in 1931.\n",
    "emoji.txt": "🚢🌊 Log of the Skerry.\nשלום\nThe Skerry bell 🔔 was cast in Bergen in 1888.\n",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    """A page over an API with documents of its own, which tests may change."""
    folder = tmp_path_factory.mktemp("own")
    settings = settings_for(folder / "data", None, api_deadline=120.0)
    with ingesting(settings) as ingest:
        ingest(write(folder / "documents", dict(DOCUMENTS)))
    with server(settings) as running, page_server(running.url, folder) as url:
        yield url, running


def labels(api: Server) -> list[dict[str, object]]:
    """The labels that the API keeps."""
    with client(api.url) as asking:
        return list(asking.get("/feedback").json())


def forget(api: Server) -> None:
    """Removes all labels."""
    with client(api.url) as asking:
        assert asking.delete("/feedback").status_code == 200


def sidebar(page: Page) -> Locator:
    return page.get_by_test_id("stSidebar")


# -- ask ---------------------------------------------------------------------------------------------------------------


def test_the_box_is_ready_and_enter_asks(visit: Callable[..., Visitor], url: str) -> None:
    """Typing begins without a click, Enter asks, and the answer is marked in its sentence with its source."""
    visitor = visit(url)
    box = visitor.page.get_by_role("textbox", name="Question")
    expect(box).to_be_focused(timeout=SECONDS * 1000)
    visitor.page.keyboard.type(PRICE)
    visitor.page.keyboard.press("Enter")
    visitor.answered()
    card = visitor.cards().first
    expect(card.get_by_role("heading")).to_have_text("18,000 dollars")
    expect(card.locator("mark")).to_have_text("18,000 dollars")
    expect(card).to_contain_text("Digital Equipment sold its small PDP-8 from 1965 for 18,000 dollars.")
    expect(card).to_contain_text("computing/short-history-of-computing.pdf · page 8 · “From valves to silicon” · 2024")
    expect(card).to_contain_text(re.compile(r"(Quite sure|Likely) · \d\d%"))


def test_the_button_asks(visit: Callable[..., Visitor], url: str) -> None:
    """Without Enter, the button asks."""
    visitor = visit(url)
    visitor.page.get_by_role("textbox", name="Question").fill(PRICE)
    visitor.page.get_by_role("button", name="Ask", exact=True).click()
    visitor.answered()
    expect(visitor.cards().first.get_by_role("heading")).to_have_text("18,000 dollars")


def test_examples_are_questions_that_are_answered(visit: Callable[..., Visitor], url: str) -> None:
    """A first look offers questions from the documents; a click asks one, and there is an answer."""
    visitor = visit(url)
    example = visitor.page.locator(".st-key-example-0 button")
    expect(example).to_be_visible(timeout=SECONDS * 1000)
    question = example.inner_text().split("\n")[-1]
    example.click()
    visitor.answered()
    expect(visitor.page.get_by_role("textbox", name="Question")).to_have_value(question)
    assert visitor.cards().count() > 0
    expect(visitor.page.locator(".st-key-no-answer")).to_have_count(0)


def test_passages_show_while_the_reader_works(
    visit: Callable[..., Visitor], own: tuple[str, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the answers come the passages; the page takes another question meanwhile, and only that is answered."""
    url, api = own
    work = api.services._work

    def slow(kind: object, payloads: list[object], until: float) -> list[object]:
        while holding:
            holding[0].wait(0.05)
        return work(kind, payloads, until)  # type: ignore[arg-type]

    holding = [threading.Event()]
    monkeypatch.setattr(api.services.queue, "_work", slow)
    try:
        visitor = visit(url)
        visitor.ask("What was the colour of the Skerry boat?")
        expect(visitor.page.get_by_text("Reading 4 passages…")).to_be_visible(timeout=SECONDS * 1000)
        expect(visitor.page.get_by_role("heading", name="Passages that fit best")).to_be_visible()
        expect(visitor.page.get_by_text("The Skerry boat was painted blue in 1931.")).to_be_visible()
        visitor.ask("Who was the keeper of Skerry Rock?")
        expect(visitor.page.get_by_text("The keeper of Skerry Rock was called Anna Vik").first).to_be_visible()
    finally:
        holding.clear()
    visitor.answered()
    expect(visitor.cards().first.get_by_role("heading")).to_have_text("Anna Vik", timeout=SECONDS * 1000)
    metrics = httpx.get(f"{api.url}/metrics").text
    assert "qa_app_queue_waiting 0.0" in metrics


@pytest.mark.case("U2")
def test_the_mark_stands_where_the_answer_does(visit: Callable[..., Visitor], own: tuple[str, Server]) -> None:
    """Of words that stand twice in a passage, those that are the answer are marked."""
    visitor = visit(own[0])
    card = visitor.asked("In which year was the Skerry boat painted, and in which colour?").first
    expect(card.locator("mark")).to_have_count(1)
    marked = card.locator("mark").inner_text()
    before = card.locator(".qa-sentence").inner_text().split(marked)[0]
    assert "The Skerry boat was painted" in before
    shown = json.loads(_json_of(visitor, 0))[0]
    assert shown["answer"] == marked


@pytest.mark.case("U2", "F17")
def test_the_mark_stands_behind_emoji_and_right_to_left_text(
    visit: Callable[..., Visitor], own: tuple[str, Server]
) -> None:
    """Where a browser counts otherwise, the mark still holds just the answer, on the card and in the document."""
    visitor = visit(own[0])
    card = visitor.asked("In which town was the Skerry bell cast?").first
    expect(card.locator("mark")).to_have_text("Bergen")
    page = visitor.opened(card.get_by_role("link", name="Show in emoji.txt"))
    expect(page.locator("#qa-mark")).to_have_text("Bergen", timeout=SECONDS * 1000)
    shown = page.locator(".qa-document").inner_text()
    assert shown.split("Bergen")[0].endswith("The Skerry bell 🔔 was cast in ")


def test_equal_answers_are_one_card(visit: Callable[..., Visitor], own: tuple[str, Server]) -> None:
    """The same answer of two documents is given once, with both places."""
    visitor = visit(own[0])
    cards = visitor.asked("What was the keeper of Skerry Rock called?")
    card = cards.first
    expect(card.get_by_role("heading")).to_have_text("Anna Vik")
    expect(card.get_by_role("link", name="Show in keeper.txt")).to_be_visible()
    expect(card.get_by_role("link", name="Show in again.txt")).to_be_visible()
    expect(card).to_contain_text("Also in 1 place")
    expect(card.locator("mark")).to_have_text(["Anna Vik", "Anna Vik"])


def test_no_answer_is_an_answer(visit: Callable[..., Visitor], url: str) -> None:
    """What the documents do not say is said to be missing, with the passages that fit best below."""
    visitor = visit(url)
    visitor.ask("Which team won the volleyball final in Ulan Bator?")
    visitor.answered()
    expect(visitor.page.get_by_role("heading", name="No answer in these documents")).to_be_visible()
    expect(visitor.page.get_by_role("heading", name="Passages that fit best")).to_be_visible()
    expect(visitor.page.locator(".st-key-passage-0")).to_be_visible()
    visitor.ask("zyzzyvaxx quuxol?")
    expect(visitor.page.get_by_text("No document has any word of this question.")).to_be_visible(timeout=SECONDS * 1000)


def test_filters_settings_and_history(visit: Callable[..., Visitor], url: str) -> None:
    """Filters name counts and narrow, settings take effect, a link brings it all, and what was asked is asked again."""
    visitor = visit(f"{url}/?q=When+was+Ada+Lovelace+born%3F")
    visitor.answered()
    expect(visitor.cards().first.get_by_role("heading")).to_have_text("10 December 1815")
    topic = sidebar(visitor.page).get_by_role("combobox", name="Topic")
    topic.click()
    option = visitor.page.get_by_role("option", name="inventions (1)")
    option.click()
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.locator(".st-key-no-answer")).to_be_visible(timeout=SECONDS * 1000)
    expect(visitor.page.locator(".st-key-passage-0")).to_contain_text("inventions/")
    slider = sidebar(visitor.page).get_by_role("slider", name="Answers")
    for answers in (2, 1):  # a key pressed while the page is drawn anew may be lost
        slider.focus()
        slider.press("ArrowLeft")
        visitor.page.wait_for_url(f"**answers={answers}**")
        visitor.answered()

    colleague = visit(visitor.page.url)
    expect(colleague.page.locator(".st-key-no-answer")).to_be_visible(timeout=SECONDS * 1000)
    expect(sidebar(colleague.page)).to_contain_text("inventions (1)")
    expect(colleague.page.get_by_role("textbox", name="Question")).to_have_value("When was Ada Lovelace born?")
    expect(sidebar(colleague.page).get_by_role("slider", name="Answers")).to_have_value("1")
    expect(sidebar(colleague.page).get_by_text("Asked before")).to_have_count(0)

    again = sidebar(visitor.page).locator('[class*="st-key-history-"] button').last
    again.click()
    expect(visitor.cards().first.get_by_role("heading")).to_have_text("10 December 1815", timeout=SECONDS * 1000)
    expect(sidebar(visitor.page)).not_to_contain_text("inventions (1)")


def test_quote_and_json(visit: Callable[..., Visitor], url: str) -> None:
    """The copy button copies the sentence with its source; the JSON is that of the API."""
    visitor = visit(url)
    card = visitor.asked(PRICE).first
    card.get_by_role("button", name="Quote").click()
    quote = visitor.page.get_by_test_id("stPopoverBody")
    expect(quote).to_contain_text("“At the other end of the market Digital Equipment sold its small PDP-8")
    quote.get_by_test_id("stCode").hover()
    quote.get_by_role("button").first.click()
    _until(lambda: bool(visitor.page.evaluate("navigator.clipboard.readText()")), visitor)
    copied = visitor.page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith(
        "for 18,000 dollars.”\n— computing/short-history-of-computing.pdf · page 8 · “From valves to silicon” · "
        "2024-03-01, characters 16296–16310"
    )
    visitor.page.keyboard.press("Escape")
    [answer] = json.loads(_json_of(visitor, 0))
    assert (answer["answer"], answer["meta"]["answer_start"]) == ("18,000 dollars", 16296)


def _json_of(visitor: Visitor, card: int) -> str:
    visitor.cards().nth(card).get_by_role("button", name="JSON").click()
    text = visitor.page.get_by_test_id("stPopoverBody").get_by_test_id("stCode")
    expect(text).to_contain_text("offsets_in_document")
    found = text.inner_text()
    visitor.page.keyboard.press("Escape")
    return found


# -- the document ------------------------------------------------------------------------------------------------------


def test_a_pdf_opens_at_the_boxed_answer(visit: Callable[..., Visitor], url: str, tmp_path: Path) -> None:
    """One click shows the page with the answer boxed, within view; its text and its bytes are one more."""
    visitor = visit(url)
    link = visitor.asked(PRICE).first.get_by_role("link", name="Show in")
    page = visitor.opened(link)
    picture = page.get_by_role("img", name="Page 8 of short-history-of-computing.pdf, with the answer boxed")
    expect(picture).to_be_visible(timeout=SECONDS * 1000)
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop > 100")
    page.get_by_test_id("stMain").evaluate("element => element.scrollTo(0, 0)")
    page.get_by_role("radio", name="Text").or_(page.get_by_role("button", name="Text", exact=True)).first.click()
    expect(page.locator("#qa-mark")).to_have_text("18,000 dollars", timeout=SECONDS * 1000)
    expect(page.locator("#qa-mark")).to_be_in_viewport()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download the original").click()
    downloading.value.save_as(tmp_path / "original.pdf")
    original = REPOSITORY / "samples" / "computing" / "short-history-of-computing.pdf"
    assert (tmp_path / "original.pdf").read_bytes() == original.read_bytes()


@pytest.mark.case("U4")
def test_a_long_text_is_shown_around_its_answer(
    visit: Callable[..., Visitor], own: tuple[str, Server], figure: Figure
) -> None:
    """Of five million characters a window is shown, at the answer, and it moves."""
    url, api = own
    text = "🌊 Nothing happened that day.\n" * 170_000 + "At last the harbour of Tolvik froze in 1867.\n"
    with client(api.url) as asking:
        assert asking.post("/file-upload", files={"files": ("log.txt", text.encode())}).status_code == 200
    visitor = visit(url)
    link = visitor.asked("When did the harbour of Tolvik freeze?").first.get_by_role("link").first
    began = time.monotonic()
    page = visitor.opened(link)
    expect(page.locator("#qa-mark")).to_have_text("1867", timeout=20_000)
    figure(f"s until the answer was seen in {len(text):,} characters", f"{time.monotonic() - began:.1f}")
    expect(page.locator("#qa-mark")).to_be_in_viewport()
    assert len(page.locator(".qa-document").inner_text()) < 20_000
    expect(page.get_by_role("button", name="Later text")).to_have_count(0)
    where = page.get_by_text("Characters ")
    before = where.inner_text()
    page.get_by_role("button", name="Earlier text").click()
    expect(where).not_to_have_text(before, timeout=SECONDS * 1000)
    before = where.inner_text()
    page.get_by_role("button", name="Earlier text").click()
    expect(where).not_to_have_text(before, timeout=SECONDS * 1000)
    expect(page.get_by_role("button", name="Later text")).to_be_visible()
    expect(page.locator(".qa-document")).to_contain_text("Nothing happened that day.")


# -- documents ---------------------------------------------------------------------------------------------------------


def test_documents_come_and_go(visit: Callable[..., Visitor], own: tuple[str, Server]) -> None:
    """Two files are added at once, one is rejected with its reason, the other answers, is a filter, and is deleted."""
    url, _ = own
    visitor = visit(f"{url}/documents")
    name = f"voyage-{uuid.uuid4().hex[:6]}.txt"
    page = visitor.page
    page.get_by_text("Metadata to filter by").click()
    page.get_by_role("textbox", name="Metadata of these files").fill("harbour=Tolvik, year=1907")
    page.locator("input[type=file]").set_input_files(
        [
            {"name": name, "mimeType": "text/plain", "buffer": b"The voyage of the Petrel was paid by Ole Brun.\n"},
            {"name": "picture.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n" + bytes(50)},
        ]
    )
    page.get_by_role("button", name="Add 2 files").click()
    box = page.locator('[class*="st-key-upload-job-"]').first
    expect(box).to_contain_text("1 of 2 files were indexed.", timeout=SECONDS * 1000)
    expect(box).to_contain_text(f"{name} – indexed, 1 passage")
    expect(box).to_contain_text("picture.png – rejected: this is a PNG image")
    page.get_by_text("Rejected uploads of the last week").click()
    expect(page.locator(".st-key-rejected")).to_contain_text("picture.png: this is a PNG image")

    find = page.get_by_role("textbox", name="Find by name")
    find.fill(name.upper())
    find.press("Enter")
    expect(page.get_by_text("1 document", exact=True)).to_be_visible(timeout=SECONDS * 1000)

    sidebar(page).get_by_role("link", name="Ask").click()
    harbour = sidebar(page).get_by_role("combobox", name="Harbour")
    expect(harbour).to_be_visible(timeout=SECONDS * 1000)
    harbour.click()
    page.get_by_role("option", name="Tolvik (1)").click()
    page.keyboard.press("Escape")
    expect(visitor.asked("Who paid the voyage of the Petrel?").first.get_by_role("heading")).to_have_text("Ole Brun")

    sidebar(page).get_by_role("link", name="Documents").click()
    find = page.get_by_role("textbox", name="Find by name")
    find.fill(name)
    find.press("Enter")
    expect(page.get_by_text("1 document", exact=True)).to_be_visible(timeout=SECONDS * 1000)
    page.get_by_role("button", name="Delete").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Delete").first.click()
    expect(page.get_by_role("dialog")).to_contain_text(name)
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("0 documents", exact=True)).to_be_visible(timeout=SECONDS * 1000)
    assert not httpx.get(f"{own[1].url}/files", params={"name": name}).json()["files"]


def test_many_documents_are_turned_page_by_page(visit: Callable[..., Visitor], url: str) -> None:
    """Of 46 documents twenty are listed at a time, in the order that is wanted."""
    visitor = visit(f"{url}/documents")
    page = visitor.page
    expect(page.locator('[class*="st-key-file-"]')).to_have_count(20, timeout=SECONDS * 1000)
    page.get_by_role("combobox", name="Order").click()
    page.get_by_role("option", name="By name").click()
    expect(page.locator('[class*="st-key-file-"]').first).to_contain_text("architecture/", timeout=SECONDS * 1000)
    page.get_by_role("button", name="Page 3").click()
    expect(page.locator('[class*="st-key-file-"]')).to_have_count(6, timeout=SECONDS * 1000)
    expect(page.locator('[class*="st-key-file-"]').last).to_contain_text("seafaring/")


# -- teach -------------------------------------------------------------------------------------------------------------


@pytest.mark.case("U7")
def test_an_answer_is_judged_once(visit: Callable[..., Visitor], own: tuple[str, Server]) -> None:
    """However often it is pressed, a verdict is one label; another verdict takes its place; both are counted."""
    url, api = own
    forget(api)
    visitor = visit(url)
    card = visitor.asked("In which town was the Skerry bell cast?").first
    expect(card.get_by_role("heading")).to_have_text("Bergen")
    right = card.get_by_role("button", name="Right", exact=True)
    right.dblclick()
    expect(card.get_by_text("Saved. Thank you.")).to_be_visible(timeout=SECONDS * 1000)
    right.click()
    [label] = labels(api)
    assert (label["is_correct_answer"], label["is_correct_document"]) == (True, True)
    assert label["query"] == "In which town was the Skerry bell cast?"
    card.get_by_role("button", name="Right passage, wrong words").click()
    expect(card.get_by_text("Saved. Thank you.")).to_be_visible(timeout=SECONDS * 1000)
    _until(lambda: [one["is_correct_answer"] for one in labels(api)] == [False], visitor)
    assert labels(api)[0]["is_correct_document"] is True
    card.get_by_role("button", name="Wrong", exact=True).click()
    _until(lambda: [one["is_correct_document"] for one in labels(api)] == [False], visitor)


@pytest.mark.parametrize("how", ["keyboard", "mouse"])
def test_the_right_words_are_selected(visit: Callable[..., Visitor], own: tuple[str, Server], how: str) -> None:
    """Words chosen behind emoji and right-to-left text are saved at their very code points."""
    url, api = own
    forget(api)
    visitor = visit(url)
    card = visitor.asked("In which town was the Skerry bell cast?").first
    card.get_by_role("button", name="Select the right words").click()
    area = visitor.page.get_by_label("Select the right words, then press the button.")
    expect(area).to_be_visible()
    if how == "keyboard":
        area.focus()
        area.press("Control+End")
        for _ in range(5):
            area.press("ArrowLeft")
        for _ in range(4):
            area.press("Shift+ArrowRight")
    else:
        area.evaluate(
            "element => { const at = element.value.indexOf('1888'); element.focus(); "
            "element.setSelectionRange(at, at + 4); }"
        )
    chosen = area.evaluate("element => element.value.slice(element.selectionStart, element.selectionEnd)")
    visitor.page.get_by_role("button", name="Use the selected words").click()
    expect(visitor.page.get_by_text(f"Chosen: “{chosen.strip()}”")).to_be_visible(timeout=SECONDS * 1000)
    _until(lambda: len(labels(api)) == 1, visitor)
    [label] = labels(api)
    [span] = label["answer"]["offsets_in_document"]  # type: ignore[index]
    assert label["document"]["content"][span["start"] : span["end"]] == chosen.strip()  # type: ignore[index]
    assert label["is_correct_answer"] is True


def test_feedback_is_counted_and_exported(
    visit: Callable[..., Visitor], own: tuple[str, Server], tmp_path: Path
) -> None:
    """The page of its own counts the judgements, lists them, and gives them as SQuAD."""
    url, api = own
    forget(api)
    visitor = visit(f"{url}/feedback")
    expect(visitor.page.get_by_text("Nobody has judged an answer yet.")).to_be_visible(timeout=SECONDS * 1000)
    sidebar(visitor.page).get_by_role("link", name="Ask").click()
    visitor.asked("In which town was the Skerry bell cast?").first.get_by_role(
        "button", name="Right", exact=True
    ).click()
    expect(visitor.page.get_by_text("Saved. Thank you.")).to_be_visible(timeout=SECONDS * 1000)
    visitor.ask("Which boat won the volleyball final in Ulan Bator?")
    visitor.answered()
    visitor.page.get_by_role("button", name="Right, it is not there").click()
    expect(visitor.page.get_by_text("Saved. Thank you.")).to_be_visible(timeout=SECONDS * 1000)
    sidebar(visitor.page).get_by_role("link", name="Feedback").click()
    expect(visitor.page.get_by_test_id("stMetricValue").first).to_have_text("2", timeout=SECONDS * 1000)
    expect(visitor.page.get_by_text("“Bergen”")).to_be_visible()
    expect(visitor.page.get_by_text("no answer in these documents")).to_be_visible()
    with visitor.page.expect_download() as downloading:
        visitor.page.get_by_role("button", name="Export as SQuAD").click()
    downloading.value.save_as(tmp_path / "squad.json")
    squad = json.loads((tmp_path / "squad.json").read_text(encoding="utf-8"))
    asked = [one["paragraphs"][0]["qas"][0] for one in squad["data"]]
    assert [(one["is_impossible"], [a["text"] for a in one["answers"]]) for one in asked] == [
        (False, ["Bergen"]),
        (True, []),
    ]


def _until(true: Callable[[], bool], visitor: Visitor) -> None:
    """Waits for what the API will say, letting the browser go on."""
    for _ in range(SECONDS * 10):
        if true():
            return
        visitor.page.wait_for_timeout(100)
    raise AssertionError("it did not come true")
