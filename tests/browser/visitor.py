"""What a person does with the page, and what their browser notes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Dialog, Locator, Page, Request, expect

#: Answers come from a real reader on a machine that may be busy.
SECONDS = 60
#: Where a test says nothing else; what is awaited without an answer is there at once, even on such a machine.
expect.set_options(timeout=20_000)


class Visitor:
    """A person with one browser window; ``page`` is the tab that they look at."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.dialogs: list[str] = []
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.question = ""
        context.on("request", self._requested)
        context.on("page", self._watch)
        self.page = context.new_page()

    def _watch(self, page: Page) -> None:
        page.on("dialog", self._asked)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _requested(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob") and urlsplit(request.url).hostname != "127.0.0.1":
            self.outside.append(request.url)

    def _asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def check(self) -> None:
        """Fails where a script of a document ran, or anything went to or came from outside."""
        assert self.dialogs == []
        assert self.outside == []
        assert self.errors == []

    # -- what they do --------------------------------------------------------------------------------------------------

    def go(self, url: str) -> None:
        """Opens an address in the tab."""
        self.page.goto(url)
        self.question = ""
        expect(self.page.get_by_role("heading", level=1)).to_be_visible(timeout=SECONDS * 1000)

    def ask(self, question: str) -> None:
        """Types a question and presses Enter."""
        box = self.page.get_by_role("textbox", name="Question")
        box.fill(question)
        box.press("Enter")
        self.question = " ".join(question.split())

    def asked(self, question: str) -> Locator:
        """The cards of a question, once the reader has answered it."""
        self.ask(question)
        self.answered()
        return self.cards()

    def answered(self) -> None:
        """Waits for the answers to the last question, or that there is none."""
        said = self.page.locator(".qa-unseen")
        expect(said).to_contain_text(f"Answered: {self.question}", timeout=SECONDS * 1000)

    def cards(self) -> Locator:
        """The cards of answers."""
        return self.page.locator('[class*="st-key-card-"]')

    def opened(self, link: Locator) -> Page:
        """The tab that a link opens, which they look at now."""
        with self.context.expect_page() as opening:
            link.click()
        self.page = opening.value
        expect(self.page.get_by_role("heading", level=1)).to_be_visible(timeout=SECONDS * 1000)
        return self.page

    def picture(self, path: Path) -> None:
        """Saves what they see, from top to bottom."""
        height = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        size = self.page.viewport_size
        assert size is not None
        self.page.set_viewport_size({"width": size["width"], "height": min(max(size["height"], height), 4000)})
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=path)
        self.page.set_viewport_size(size)
