"""Which cases of the catalogue hold: a pytest plugin that reads the ``case`` markers and prints a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.cases import CASES, GROUPS

RESULTS = Path(__file__).with_name("RESULTS.md")

Figure = Callable[[str, object], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the cases at full length; writes tests/faults/RESULTS.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        codes = [code for mark in item.iter_markers("case") for code in mark.args]
        if unknown := set(codes) - set(CASES):
            raise pytest.UsageError(
                f"{item.nodeid} is marked with {sorted(unknown)}, which tests/faults/cases.py lacks"
            )
        item.user_properties += [("case", code) for code in codes]
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; make faults runs it"))


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the cases run at full length."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Called with a name and a number that belongs into the table, as ``figure("inputs tried", 20_000)``."""

    def keep(name: str, value: object) -> None:
        record_property("figure", f"{value:,} {name}" if isinstance(value, int) else f"{value} {name}")

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--long"):
        return
    outcomes: dict[str, list[str]] = defaultdict(list)
    figures: dict[str, list[str]] = defaultdict(list)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            if outcome == "passed" and report.when != "call":
                continue
            codes = [str(value) for name, value in report.user_properties if name == "case"]
            for code in codes:
                outcomes[code].append(outcome)
                figures[code] += [str(value) for name, value in report.user_properties if name == "figure"]
    lines = ["# Which faults are borne", "", "Made by `make faults`.", ""]
    for group, title in GROUPS.items():
        lines += [f"## {title}", "", "| | what holds | tests | seen |", "|---|---|---|---|"]
        for code, text in CASES.items():
            if code[0] == group:
                seen = "; ".join(dict.fromkeys(figures[code]))
                lines.append(f"| {code} | {text} | {_verdict(outcomes[code])} | {seen} |")
        lines.append("")
    held = sum(1 for code in CASES if outcomes[code] and set(outcomes[code]) == {"passed"})
    lines.append(f"{held} of {len(CASES)} cases hold.")
    terminalreporter.section("faults")
    terminalreporter.write_line("\n".join(lines))
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _verdict(outcomes: list[str]) -> str:
    if not outcomes:
        return "**not run**"
    if set(outcomes) == {"passed"}:
        return f"{len(outcomes)} hold"
    return ", ".join(f"**{outcomes.count(one)} {one}**" for one in dict.fromkeys(outcomes))
