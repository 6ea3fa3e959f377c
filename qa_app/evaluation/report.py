"""A run as one page of HTML that needs no network, no script and no particular light."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from qa_app.evaluation.confidence import risk_coverage
from qa_app.evaluation.outcomes import Miss, latency, marks, metrics, misses, reliability
from qa_app.evaluation.pipeline import Outcome
from qa_app.evaluation.plots import latency_plot, recall_plot, reliability_plot, risk_coverage_plot

#: Misses that are listed; a page with thousands of them is slow to open, and --json has them all.
LISTED = 200

_NUMBER = ' class="number"'
_OF_NUMBERS = ("value", "sure", "F1")
_MEANING = {
    "exact": "first answers that are word for word a right one",
    "f1": "words that first answers share with right ones",
    "top_k_exact": "questions with a right one among all answers given",
    "top_k_f1": "the same by words",
    "HasAns_exact": "of questions that have an answer",
    "HasAns_f1": "the same by words",
    "NoAns_exact": "of questions without one: said to have none",
    "no_answer_precision": "of those said to have no answer: have none",
    "no_answer_recall": "of those that have none: said to have none",
    "no_answer_f1": "the harmonic mean of these two",
    "recall@1": "questions whose first passage holds the answer",
    "recall@5": "the same among the first five",
    "recall@10": "among the first ten",
    "recall@20": "among the first twenty",
    "mrr": "mean of 1/rank of the first passage that holds the answer",
    "ndcg@10": "how near the top all such passages are",
    "ece": "how far confidence is from the share that is right, on average; less is better",
}
_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1d2127; --soft: #565e69; --line: #d9dde2; --card: #f5f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --ink: #e4e7eb; --soft: #a3acb8; --line: #353b43; --card: #1d2228; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 2.75rem 0 0.75rem; font-size: 1.2rem; }
p, figcaption, dt { color: var(--soft); }
p { margin: 0.4rem 0; max-width: 60rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.75rem; margin: 1.5rem 0 0; }
dl div { background: var(--card); border-radius: 0.5rem; padding: 0.75rem 1rem; }
dt { font-size: 0.85rem; }
dd { margin: 0; font-size: 1.6rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 2rem 1.5rem; }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-size: 0.9rem; margin-bottom: 0.5rem; }
b { color: var(--ink); font-weight: 600; }
figcaption b { display: block; font-size: 1rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.4rem 1.25rem 0.4rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures td:first-child { white-space: nowrap; }
.misses table { min-width: 52rem; }
.misses td { min-width: 6rem; }
.misses td:first-child { width: 26%; }
.misses td:last-child { width: 22%; color: var(--soft); }
.none { color: var(--soft); font-style: italic; }
"""


def report(outcomes: Sequence[Outcome], about: Mapping[str, object]) -> str:
    """The page; ``about`` says what was run on what, each name with its value."""
    figures, times, missed = metrics(outcomes), latency(outcomes), misses(outcomes)
    parts = [
        f"<h1>How good are the answers?</h1>\n<p>{_about(about)}</p>",
        _highlights(figures, times),
        "<h2>Plots</h2>",
        f'<div class="plots">{"".join(_plots(outcomes, figures, times))}</div>',
        "<h2>All figures</h2>",
        _figures(figures, times),
        "<h2>Misses</h2>",
        _missed(missed, len(outcomes)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>How good are the answers?</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _about(about: Mapping[str, object]) -> str:
    return " · ".join(f"{escape(name)} <b><bdi>{escape(str(value))}</bdi></b>" for name, value in about.items())


def _highlights(figures: Mapping[str, float], times: Mapping[str, float]) -> str:
    chosen = {
        "questions": f"{figures['total']:,}",
        "exact": _percent(figures["exact"]),
        "F1": _percent(figures["f1"]),
        **({"recall@10": _percent(figures["recall@10"])} if "recall@10" in figures else {}),
        **({"no-answer F1": _percent(figures["no_answer_f1"])} if "no_answer_f1" in figures else {}),
        "calibration error": _percent(figures["ece"]),
        "median time": f"{times['p50']:.0f} ms",
    }
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{value}</dd></div>' for name, value in chosen.items())}</dl>"


def _plots(outcomes: Sequence[Outcome], figures: Mapping[str, float], times: Mapping[str, float]) -> Iterable[str]:
    confidences, right = [o.confidence for o in outcomes], marks(outcomes)
    yield _figure(
        "Risk and coverage",
        "Were only the surest answers given, so many of them would be wrong: less than half the words of a right one.",
        risk_coverage_plot(risk_coverage(confidences, right)),
    )
    yield _figure(
        "Reliability",
        "The share of right answers in ten equal parts, by confidence.",
        reliability_plot(reliability(outcomes), figures["ece"]),
    )
    if ranks := [outcome.gold_rank for outcome in outcomes if outcome.question.answers]:
        yield _figure(
            "Recall",
            "Questions with a passage that holds the answer among the first k found.",
            recall_plot(ranks, max(1, *(outcome.read for outcome in outcomes))),
        )
    yield _figure(
        "Time",
        "From the question to the answer, one question after the other.",
        latency_plot([outcome.seconds for outcome in outcomes], times),
    )


def _figure(title: str, caption: str, svg: str) -> str:
    return f"<figure><figcaption><b>{title}</b>{caption}</figcaption>{svg}</figure>\n"


def _figures(figures: Mapping[str, float], times: Mapping[str, float]) -> str:
    rows = [(name, _percent(figures[name]), meaning) for name, meaning in _MEANING.items() if name in figures] + [
        (name, f"{value:.0f} ms", f"{name[1:]} % of the questions were answered within")
        for name, value in times.items()
    ]
    cells = [(f"<td>{name}</td>", _number(value), f"<td>{meaning}</td>") for name, value, meaning in rows]
    return _table("All figures", ("figure", "value", "meaning"), cells)


def _missed(missed: Sequence[Miss], total: int) -> str:
    if not missed:
        return "<p>There are none.</p>"
    by = Counter(miss.missed_by for miss in missed)
    partly = sum(miss.f1 > 0 for miss in missed)
    listed = sorted(missed, key=lambda miss: -miss.confidence)[:LISTED]
    told = (
        f"<p>{len(missed):,} of {total:,} first answers are not word for word a right one: {by['retriever']:,} because "
        f"the retriever missed the passage, {by['reader']:,} by the reader. {partly:,} of them are right in part. "
        f"The surest are first{f'; {LISTED} of them are shown' if len(missed) > LISTED else ''}.</p>"
    )
    return told + _table("Misses", ("question", "right", "given", "sure", "F1", "why"), map(_row, listed))


def _row(miss: Miss) -> tuple[str, ...]:
    expected = "<br>".join(map(_words, miss.expected)) or _words("")
    return (
        f"<td>{_words(miss.question)}</td>",
        f"<td>{expected}</td>",
        f"<td>{_words(miss.answer)}</td>",
        _number(_percent(100 * miss.confidence)),
        _number(_percent(miss.f1)),
        f"<td>{escape(miss.why)}</td>",
    )


def _table(name: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col"{_NUMBER if title in _OF_NUMBERS else ""}>{title}</th>' for title in heads)
    lines = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    # What is wider than the screen can be scrolled, also from the keyboard.
    return (
        f'<div class="table {name.split()[-1].lower()}" tabindex="0" role="region" aria-label="{name}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{lines}\n</tbody></table></div>"
    )


def _number(value: str) -> str:
    return f"<td{_NUMBER}>{value}</td>"


def _words(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>" if text else '<span class="none">no answer</span>'


def _percent(value: float) -> str:
    return f"{value:.1f} %"
