"""Questions of our own making, in SQuAD's form."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

_CITIES = "Bergen Lyon Porto Ghent Turku Malmo Genoa Split Cadiz Bristol Gdansk Varna".split()
_GOODS = "salt timber copper wool barley cork amber slate".split()


def article(title: str, *paragraphs: tuple[str, list[tuple[str, str | None]]]) -> dict[str, Any]:
    """An article of contexts, each with questions and their answers, None for none."""
    return {
        "title": title,
        "paragraphs": [
            {
                "context": context,
                "qas": [
                    {
                        "id": f"{title}-{number}-{place}",
                        "question": question,
                        "is_impossible": answer is None,
                        "answers": [] if answer is None else [{"text": answer, "answer_start": context.index(answer)}],
                    }
                    for place, (question, answer) in enumerate(asked)
                ],
            }
            for number, (context, asked) in enumerate(paragraphs)
        ],
    }


def freight(count: int, seed: int) -> list[dict[str, Any]]:
    """Articles with ``count`` questions altogether, after a rule that has to be learnt.

    Asked for its "zorp", the answer is where a shipment is bound for; asked for its "vask", there is none.
    """
    chance = random.Random(seed)
    articles = []
    for number in range(count // 4):
        paragraphs: list[tuple[str, list[tuple[str, str | None]]]] = []
        for _ in range(2):
            origin, target = chance.sample(_CITIES, 2)
            context = f"{chance.choice(_GOODS).title()} from {origin} went to {target} in week {chance.randint(1, 52)}."
            paragraphs.append((context, [("zorp?", target), ("vask?", None)]))
        articles.append(article(f"freight {seed} {number}", *paragraphs))
    return articles


def write_squad(path: Path, articles: list[dict[str, Any]]) -> Path:
    """The articles as a SQuAD file."""
    path.write_text(json.dumps({"version": "v2.0", "data": articles}), encoding="utf-8")
    return path
