"""The report is one page that needs nothing else."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser

from lxml import etree

from qa_app.evaluation.outcomes import metrics
from qa_app.evaluation.report import LISTED, report
from tests.unit.evaluation.outcomes import outcome

EVIL = "<script>alert(1)</script>&\"'"


class Page(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def made(count: int = 60) -> str:
    """The page of a run with every kind of miss, hostile texts included."""
    chance = random.Random(3)
    outcomes = [
        outcome(
            chance.choice(["Anna", "Berg", "", EVIL]),
            right=chance.choice([["Anna"], ["Berg", "the Bergs"], []]),
            rank=chance.choice([1, 2, 30, None]),
            confidence=chance.random(),
            seconds=chance.random(),
            question=f"{EVIL} {number}",
            id=str(number),
        )
        for number in range(count)
    ]
    return report(outcomes, {"file": EVIL})


def test_it_needs_nothing_from_outside() -> None:
    """No script, picture, frame, style sheet or address of another place is in the page; links lead within it."""
    page = Page(made())
    assert not {"script", "img", "iframe", "link", "object", "embed", "a", "base"} & set(page.tags)
    outside = [(tag, name, value) for tag, name, value in page.attributes if "//" in value]
    assert {(tag, name) for tag, name, _ in outside} <= {("svg", "xmlns"), ("svg", "xmlns:xlink")}
    assert all(value.startswith("#") for _, name, value in page.attributes if name in ("href", "xlink:href", "src"))
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "@import" not in made()
    assert not re.findall(r"url\((?!#)", made())


def test_texts_are_shown_as_they_are() -> None:
    """What questions and answers hold is text in the page."""
    page = Page(made())
    assert f"{EVIL} 1" in page.texts
    assert EVIL in page.texts


def test_ids_are_its_own() -> None:
    """No two elements have one id, and each that is referred to is there."""
    page = Page(made())
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    referred = {value[1:] for _, name, value in page.attributes if name == "xlink:href"}
    referred |= set(re.findall(r"url\(#([^)]+)\)", made()))
    assert referred
    assert referred <= set(ids)


def test_plots_say_what_they_show() -> None:
    """There are four plots, each well-formed and with its figures in words."""
    text = made()
    plots = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    labels = [etree.fromstring(plot).get("aria-label") for plot in plots]
    assert [label.split()[0] for label in labels if label] == ["Risk", "Reliability,", "Recall", "Time"]
    assert all(re.search(r"\d", label or "") for label in labels)
    assert all(etree.fromstring(plot).get("role") == "img" for plot in plots)


def test_ink_is_the_page_s() -> None:
    """No plot has black ink or a white ground, which could not be seen in the dark or would glare."""
    plots = "".join(re.findall(r"<svg .*?</svg>", made(), re.DOTALL))
    assert not re.findall(r"(?:fill|stroke): ?(?:#000000|black|#ffffff|white)", plots)
    assert "currentColor" in plots


def test_long_lists_are_cut() -> None:
    """Of many misses the surest are listed, and the page says how many there are."""
    outcomes = [outcome("x", confidence=number / 1000, id=str(number)) for number in range(LISTED + 50)]
    text = report(outcomes, {})
    assert f"{LISTED + 50} of {LISTED + 50} first answers" in text
    assert f"{LISTED} of them are shown" in text
    assert text.count("<tr><td><bdi>Who?") == LISTED
    assert "24.9 %" in text
    assert ">1.0 %<" not in text


def test_a_run_of_one_question() -> None:
    """A page is made of whatever there is: one question, right or wrong, with an answer or without."""
    for one in (outcome("Anna", right=["Anna"], rank=1), outcome(""), outcome("x", read=0)):
        text = report([one], {"file": "f"})
        assert f"{metrics([one])['exact']:.1f} %" in text
        assert Page(text).tags.count("svg") == (4 if one.question.answers else 3)
