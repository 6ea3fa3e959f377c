"""How commands speak: texts of documents are shown, never obeyed."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

#: Characters that reorder what stands around them, so that a name can look like another.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Those, what controls a terminal and JSON leaves as it is, and the halves that file names in no encoding consist of.
_UNSAFE = re.compile(f"[{''.join(_BIDI)}\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def shown(text: object) -> str:
    """``text`` on one line, with control characters as visible escapes, so that no document drives the terminal."""
    return "".join(
        character if character.isprintable() and character not in _BIDI else _escaped(character)
        for character in str(text).replace("\n", " ")
    )


def _escaped(character: str) -> str:
    return " " if character in "\t\r\x0b\x0c\u00a0\u2028\u2029" else ascii(character)[1:-1]


def say(message: str) -> None:
    """A message for the person, beside the result."""
    sys.stderr.write(shown(message) + "\n")


def print_json(value: Any) -> None:
    """One JSON document on standard output; what drives terminals, or is no character, is in JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=float)
    sys.stdout.write(_UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def console(*, error: bool = False) -> Console:
    """Rich's console without its own interpretation of brackets, colons and numbers in texts."""
    from rich.console import Console

    made = Console(stderr=error, markup=False, emoji=False, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = 10_000  # nothing is wrapped or cut for a file or a pipe
    return made


def quiet_libraries() -> None:
    """Leaves libraries' chatter out of commands' messages; our own warnings stay."""
    import warnings

    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    logging.getLogger("qa_app").setLevel(logging.WARNING)
    # It sets its own logger's level when it is imported, but not those below.
    logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)
    # A warning by its level, and news of no trouble; what else this logger says stays.
    logging.getLogger("transformers.pipelines.base").addFilter(
        lambda record: not str(record.msg).startswith("Device set to use")
    )
