"""Light and dark, wide and narrow, by keyboard and for screen readers; every view is also saved as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import SECONDS, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.reader]

PRICE = "How much did the PDP-8 cost?"
NOWHERE = "Which team won the volleyball final in Ulan Bator?"
#: What Streamlit draws itself and gives no say in: rule and element.
STREAMLIT_OWN = {
    # The place to drop files is named, and called a presentation.
    ("presentation-role-conflict", 'data-testid="stFileUploaderDropzone"'),
}


def violations(visitor: Visitor, axe: str) -> list[str]:
    """What axe-core's rules find in the view, a line each."""
    visitor.page.evaluate(axe)
    found: list[dict[str, Any]] = visitor.page.evaluate("axe.run().then(result => result.violations)")
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]}"
        for rule in found
        for node in rule["nodes"]
        if not any(rule["id"] == known and part in node["html"] for known, part in STREAMLIT_OWN)
    ]


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_every_view_is_accessible(visit: Callable[..., Visitor], url: str, axe: str, pictures: Path, look: str) -> None:
    """axe-core finds nothing to object to, nothing scrolls sideways, and a picture is kept of each view."""
    visitor = visit(url, dark=look == "dark", narrow=look == "narrow")
    page = visitor.page
    wrong: dict[str, list[str]] = {}

    def look_at(name: str) -> None:
        visitor.picture(pictures / f"{name}-{look}.png")
        wrong[name] = violations(visitor, axe)
        wide = visitor.page.get_by_test_id("stMain").evaluate("main => main.scrollWidth - main.clientWidth")
        if wide > 0:
            wrong[name].append(f"scrolls {wide} pixels sideways")

    expect(page.locator(".st-key-example-0")).to_be_visible(timeout=2 * SECONDS * 1000)
    look_at("ask")
    visitor.asked(PRICE)
    look_at("answers")
    visitor.cards().first.get_by_role("button", name="Select the right words").click()
    expect(page.get_by_role("button", name="Use the selected words")).to_be_visible()
    look_at("select")
    page.keyboard.press("Escape")
    visitor.ask(NOWHERE)
    expect(page.locator(".st-key-no-answer")).to_be_visible(timeout=SECONDS * 1000)
    look_at("no-answer")
    visitor.asked(PRICE)
    visitor.opened(visitor.cards().first.get_by_role("link", name="Show in"))
    expect(visitor.page.get_by_role("img", name="Page 8")).to_be_visible(timeout=SECONDS * 1000)
    look_at("page")
    visitor.page.get_by_text("Text", exact=True).click()
    expect(visitor.page.locator("#qa-mark")).to_be_visible(timeout=SECONDS * 1000)
    look_at("text")
    visitor.go(f"{url}/documents")
    expect(visitor.page.locator('[class*="st-key-file-"]')).to_have_count(20, timeout=SECONDS * 1000)
    look_at("documents")
    visitor.page.get_by_role("button", name="Delete").first.click()
    expect(visitor.page.get_by_role("dialog")).to_be_visible()
    look_at("delete")
    visitor.go(f"{url}/feedback")
    expect(visitor.page.get_by_text("Right answers")).to_be_visible(timeout=SECONDS * 1000)
    look_at("feedback")
    assert not any(wrong.values()), "\n".join(f"{name}: {one}" for name, found in wrong.items() for one in found)


def test_colours_follow_the_system(visit: Callable[..., Visitor], url: str) -> None:
    """Who prefers dark gets dark."""
    colour = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    light, dark = visit(url), visit(url, dark=True)
    assert light.page.evaluate(colour) != dark.page.evaluate(colour)


def test_the_keyboard_does_everything(visit: Callable[..., Visitor], url: str) -> None:
    """Asking, judging, opening a document and keeping one from deletion need no mouse."""
    visitor = visit(url)
    page = visitor.page
    expect(page.get_by_role("textbox", name="Question")).to_be_focused(timeout=SECONDS * 1000)
    page.keyboard.type(PRICE)
    page.keyboard.press("Enter")
    visitor.answered()
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
        if "Quote" in seen[-1]:
            break
    reached = " | ".join(seen)
    for name in ("Ask", "Show in computing/short-history-of-computing.pdf", "Right", "Wrong", "Select the right words"):
        assert name in reached, reached
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stPopoverBody")).to_contain_text("18,000 dollars")
    page.keyboard.press("Escape")
    card = visitor.cards().first
    link = card.get_by_role("link", name="Show in")
    link.focus()
    with visitor.context.expect_page() as opening:
        page.keyboard.press("Enter")
    expect(opening.value.get_by_role("heading", level=1)).to_be_visible(timeout=SECONDS * 1000)
    visitor.go(f"{url}/documents")
    delete = page.get_by_role("button", name="Delete").first
    expect(delete).to_be_visible(timeout=SECONDS * 1000)
    delete.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
