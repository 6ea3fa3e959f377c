"""``python -m benchmarks [ingestion|growth|search|reader|answers|start|load]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from benchmarks import answers, growth, ingestion, load, machine, reader, report, search, start
from benchmarks.server import server, version

RESULTS = Path(__file__).resolve().parent / "results"
_PASSAGES = {"ingestion": 100_000, "growth": 1_000_000, "search": 200_000, "answers": 3}
_QUESTIONS = {"search": 300, "reader": 100, "answers": 2000, "start": 100, "load": 10_000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints tables, and writes them where ``--output`` says or where everything was measured."""
    options = _parser().parse_args(arguments)
    parts: dict[str, Callable[[str | None], list[report.Table]]] = {
        "ingestion": lambda url: ingestion.measure(options.passages or _PASSAGES["ingestion"], url),
        "growth": lambda url: growth.measure(options.passages or _PASSAGES["growth"], url),
        "search": lambda url: search.measure(
            options.passages or _PASSAGES["search"], options.questions or _QUESTIONS["search"], url
        ),
        "reader": lambda url: reader.measure(options.questions or _QUESTIONS["reader"]),
        "answers": lambda url: answers.measure(
            options.questions or _QUESTIONS["answers"], options.passages or _PASSAGES["answers"], options.data
        ),
        "start": lambda url: start.measure(options.questions or _QUESTIONS["start"]),
        "load": lambda url: load.measure(options.questions or _QUESTIONS["load"], options.seconds),
    }
    wanted = [options.part] if options.part else list(parts)
    facts = machine.describe()
    tables: list[report.Table] = []
    needs_server = options.elasticsearch and not {"ingestion", "growth", "search"}.isdisjoint(wanted)
    with server() if needs_server else nullcontext(None) as url:
        if url:
            facts["Elasticsearch server"] = version(url)
        for name in wanted:
            tables += parts[name](url)
    print(report.markdown(facts, tables), end="")
    folder = options.output or (None if options.part else RESULTS)
    if folder:
        report.write(folder, facts, tables)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures how fast the application is.")
    parser.add_argument(
        "part",
        nargs="?",
        choices=("ingestion", "growth", "search", "reader", "answers", "start", "load"),
        help="only this",
    )
    parser.add_argument("--passages", type=int, help=f"how many; growth's largest size (default: {_listed(_PASSAGES)})")
    parser.add_argument("--questions", type=int, help=f"how many (default: {_listed(_QUESTIONS)})")
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[], help="SQuAD files for answers (default: the samples)"
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long each step of load takes (default: 60)")
    parser.add_argument(
        "--no-elasticsearch", dest="elasticsearch", action="store_false", help="leave out all that needs a server"
    )
    parser.add_argument("--output", type=Path, help="folder to write to (default: results/, where all is measured)")
    return parser


def _listed(defaults: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {count}" for part, count in defaults.items())


if __name__ == "__main__":
    sys.exit(main())
