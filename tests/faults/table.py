"""Which cases of the catalogue hold: a pytest plugin that reads the ``case`` markers and prints a table.

Asked for the whole catalogue, it also keeps the table, and fails the run where a case does not hold or was not tried.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import pytest

from tests.faults.cases import CASES, GROUPS

#: Below the root of the repository.
RESULTS = "tests/faults/RESULTS.md"
#: Whether a test that bears a case was left out, as ``-k`` does.
_NARROWED = pytest.StashKey[bool]()

Figure = Callable[[str, object], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the cases at full length; writes tests/faults/RESULTS.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        codes = _codes(item)
        if unknown := set(codes) - set(CASES):
            raise pytest.UsageError(
                f"{item.nodeid} is marked with {sorted(unknown)}, which tests/faults/cases.py lacks"
            )
        item.user_properties += [("case", code) for code in codes]
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; make faults runs it"))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if _codes(item):
            item.config.stash[_NARROWED] = True


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


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Figure:
    """Called as ``figure`` is, with numbers of one name that are added up over the tests of a case."""
    return lambda name, value: record_property("tally", (name, value))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that was skipped fails nothing by itself; a case that was not tried does not hold."""
    config = session.config
    if _is_whole(config) and session.exitstatus == pytest.ExitCode.OK:
        outcomes, _ = _seen(config.pluginmanager.get_plugin("terminalreporter"))
        if not all(_holds(outcomes[code]) for code in CASES):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode, config: pytest.Config
) -> None:
    if not config.getoption("--long") or config.getoption("--collect-only"):
        return
    outcomes, figures = _seen(terminalreporter)
    whole = _is_whole(config)
    lines = ["# Which faults are borne", "", "Made by `make faults`.", ""]
    for group, title in GROUPS.items():
        codes = [code for code in CASES if code[0] == group and (whole or outcomes[code])]
        if codes:
            lines += [f"## {title}", "", "| | what holds | tests | seen |", "|---|---|---|---|"]
            for code in codes:
                seen = "; ".join(dict.fromkeys(figures[code]))
                lines.append(f"| {code} | {CASES[code]} | {_verdict(outcomes[code])} | {seen} |")
            lines.append("")
    asked = [code for code in CASES if whole or outcomes[code]]
    held = [code for code in asked if _holds(outcomes[code])]
    lines.append(f"{len(held)} of {len(asked)} cases hold." + ("" if whole else " Others were not asked for."))
    terminalreporter.section("faults")
    terminalreporter.write_line("\n".join(lines))
    if whole and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        results = config.rootpath / RESULTS
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _codes(item: pytest.Item) -> list[str]:
    return [code for mark in item.iter_markers("case") for code in mark.args]


def _is_whole(config: pytest.Config) -> bool:
    """Whether every test of every case was to run, at full length."""
    return (
        config.getoption("--long")
        and not config.getoption("--collect-only")
        and not config.getoption("lf", default=False)
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not config.stash.get(_NARROWED, False)
    )


def _seen(reporter: pytest.TerminalReporter) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """How the tests of each case ended, and their figures."""
    outcomes: dict[str, list[str]] = defaultdict(list)
    figures: dict[str, list[str]] = defaultdict(list)
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in reporter.getreports(outcome):
            if outcome == "passed" and report.when != "call":
                continue
            codes = [str(value) for name, value in report.user_properties if name == "case"]
            for code in codes:
                outcomes[code].append(outcome)
                figures[code] += [str(value) for name, value in report.user_properties if name == "figure"]
                for name, value in report.user_properties:
                    if name == "tally":
                        what, number = value
                        tallies[code][what] += number
    for code, tally in tallies.items():
        figures[code] = [*(f"{number:,} {what}" for what, number in tally.items()), *figures[code]]
    return outcomes, figures


def _holds(outcomes: list[str]) -> bool:
    return set(outcomes) == {"passed"}


def _verdict(outcomes: list[str]) -> str:
    if not outcomes:
        return "**not run**"
    if _holds(outcomes):
        return f"{len(outcomes)} hold"
    return ", ".join(f"**{outcomes.count(one)} {one}**" for one in dict.fromkeys(outcomes))
