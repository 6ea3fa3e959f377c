"""Which paragraphs of a Word file are headings, and of which level."""

from __future__ import annotations

import re
from typing import Any

#: Outline level 9 is body text; styles may be based on each other in a circle.
_BODY_TEXT = 9
_MAX_CHAIN = 20


class HeadingLevels:
    """Looks up the heading level of a paragraph: its own, else its style's, else that of the style below."""

    def __init__(self, styles: Any | None) -> None:
        self._levels: dict[str, int | None] = {}
        self._based_on: dict[str, str] = {}
        for style in () if styles is None else styles:
            identity = attribute(style, "styleId")
            if identity is not None:
                self._levels[identity] = _style_level(style)
                parent = _descendant(style, "basedOn")
                if parent is not None:
                    self._based_on[identity] = attribute(parent) or ""

    def of(self, properties: Any | None) -> int | None:
        """Gives the level of the paragraph with ``properties``, 1 being the highest, or None for body text."""
        if properties is None:
            return None
        own = _outline_level(properties)
        if own is not None:
            return own or None
        named = _descendant(properties, "pStyle")
        identity = None if named is None else attribute(named)
        for _ in range(_MAX_CHAIN):
            if identity is None:
                return None
            level = self._levels.get(identity)
            if level is not None:
                return level or None
            identity = self._based_on.get(identity)
        return None


def _style_level(style: Any) -> int | None:
    """Gives the level a style says itself, 0 for body text, None where it leaves that to what it is based on."""
    level = _outline_level(style)
    if level is not None:
        return level
    name = _descendant(style, "name")
    title = "" if name is None else (attribute(name) or "").lower()
    if title == "title":
        return 1
    numbered = re.fullmatch(r"heading ([1-9])", title)
    return int(numbered.group(1)) if numbered else None


def _outline_level(element: Any) -> int | None:
    found = _descendant(element, "outlineLvl")
    value = None if found is None else attribute(found)
    if value is None or not value.isdecimal() or len(value) > 1:
        return None
    return 0 if int(value) == _BODY_TEXT else int(value) + 1


def _descendant(element: Any, name: str) -> Any | None:
    return next((found for found in element.iter("{*}" + name)), None)


def attribute(element: Any, name: str = "val") -> str | None:
    """Gives an attribute by its name without namespace, which differs between the two variants of the format."""
    return next((str(value) for key, value in element.items() if key.rpartition("}")[2] == name), None)
