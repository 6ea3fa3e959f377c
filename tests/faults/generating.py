"""Random files, the same for the same seed: good ones with pieces changed, and ones grown from a format's own parts."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile
from collections.abc import Callable

from lxml import etree

from tests import make_bad
from tests.faults.seeds import SEEDS, WORDS, bare_pdf, stream

_NUMBERS = [b"0", b"-1", b"255", b"65536", b"2147483648", b"99999999999999999999"]
_MARKS = [0x00, 0x0C, 0x85, 0xA0, 0x301, 0x200D, 0x202E, 0xD7FF, 0xE000, 0xFDD0, 0xFEFF, 0xFFFF, 0x1F469, 0x10FFFF]


def changed(suffix: str, seed: int) -> bytes:
    """A good file with up to ten pieces changed; in Word files mostly within a part, which is packed again."""
    chance = random.Random(f"{suffix} {seed}")
    data = chance.choice(SEEDS[suffix])
    if suffix != "docx" or chance.random() < 0.2:
        return _change(data, suffix, chance)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist() if name[0] != "["}
    read = [name for name in parts if name.startswith(("word/document", "word/styles", "word/foot", "docProps/core"))]
    name = chance.choice(read)
    part = parts[name]
    assert isinstance(part, bytes)
    part = _change(part, suffix, chance)
    if chance.random() < 0.8:
        # Mended, so that more than the first parser gets to see it.
        parser = etree.XMLParser(recover=True, resolve_entities=False, huge_tree=True, encoding="utf-8")
        with contextlib.suppress(etree.XMLSyntaxError):
            mended = etree.fromstring(part, parser)
            part = part if mended is None else etree.tostring(mended, encoding="utf-8")
    return make_bad.package(parts | {name: part})


def _change(data: bytes, suffix: str, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 10)):
        at = chance.randrange(len(changed) + 1)
        to = min(len(changed), at + int(chance.expovariate(0.05)))
        how = chance.randrange(7)
        if how == 0 and at < len(changed):
            changed[at] = chance.randrange(256)
        elif how == 1:
            changed[at:at] = chance.choice(WORDS[suffix])
        elif how == 2:
            changed[at:to] = chance.choice(WORDS[suffix])
        elif how == 3:
            del changed[at:to]
        elif how == 4:
            changed[at:at] = changed[at:to] * chance.choice([1, 2, 50])
        elif how == 5:
            changed[at:to] = chance.choice(_NUMBERS)
        elif how == 6 and chance.random() < 0.2:
            other = chance.choice(SEEDS[suffix])
            changed[at:] = other[chance.randrange(len(other)) :]
    return bytes(changed)


def grown(suffix: str, seed: int) -> bytes:
    """A file made of the format's own parts, in no order that makes sense."""
    return _GROWERS[suffix](random.Random(f"grown {suffix} {seed}"))


def _text(chance: random.Random) -> str:
    """A few words in any script, with what cutting and counting may stumble over."""
    kinds: list[Callable[[], str]] = [
        lambda: chance.choice("the tower was built by Ada in 1904. Is it? Dr. Berg e.g. said".split()),
        lambda: chr(chance.choice(_MARKS)),
        lambda: chr(chance.randrange(0x20, 0xD800)),
        lambda: chr(chance.randrange(0x10000, 0x110000)),
        lambda: chance.choice(["👩‍👩‍👧", "e\u0301", "塔は高い。", "הוא בנה", "\r\n", "\n\n", " "]),
    ]
    return " ".join(chance.choices(kinds, weights=[9, 1, 1, 1, 3])[0]() for _ in range(chance.randint(1, 20)))


def _grown_text(chance: random.Random) -> bytes:
    text = "\n".join(_text(chance) for _ in range(chance.randint(1, 20)))
    codecs = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "cp1252", "cp932", "koi8_r", "gb18030"]
    return text.encode(chance.choice(codecs), "ignore") + chance.choice([b"", b"", b"\xff", b"\0", b"\x80\x81"])


def _grown_markdown(chance: random.Random) -> bytes:
    lines = []
    for _ in range(chance.randint(1, 40)):
        starts = ["# ", "- ", "1. ", "> ", "    ", "\t", "| ", "```", "<div>", "[a]: ", "---", "***", "<!-- ", ""]
        lines.append("".join(chance.choices(starts, k=chance.randint(0, 4))) + _text(chance))
        lines.append(chance.choice(["", "|-|-|", "===", "**", "`", "](", "![x](y", "<b>", "&#x41;", "\\"]))
    kind = chance.choice(["!!bool ", "!!int ", "[", "2024-13-01", "1e999", "|\n  "])
    front = f"---\n{_text(chance)}: {kind}{_text(chance)}\n---\n"
    return ((front if chance.random() < 0.3 else "") + "\n".join(lines)).encode()


def _grown_markup(chance: random.Random, tags: list[str], attributes: list[str], text: str = "{}") -> str:
    """Elements within each other; some are not closed, some closed twice."""
    out, open_ = [], []
    for _ in range(chance.randint(1, 120)):
        choice = chance.random()
        if choice < 0.5:
            tag = chance.choice(tags)
            out.append(f"<{tag}{chance.choice(attributes)}>")
            open_.append(tag)
        elif choice < 0.8:
            out.append(text.format(_text(chance).replace("&", "&amp;").replace("<", "&lt;")))
        elif open_:
            out.append(f"</{open_.pop()}>")
    return "".join(out) + "".join(f"</{tag}>" for tag in reversed(open_))


def _grown_html(chance: random.Random) -> bytes:
    tags = "html head title body h1 h2 p div span table tr td th ul ol li pre br main article nav script svg a".split()
    attributes = ["", "", ' hidden=""', ' href="x"', " x=1 x=2", ' charset="utf-16"', " name=author content=x"]
    page = "<html>" + _grown_markup(chance, tags, attributes)
    if chance.random() < 0.3:
        page = page.replace("</", "<", chance.randint(1, 9))
    return page.encode(chance.choice(["utf-8", "utf-16", "cp1252"]), "ignore")


#: Of XML's characters those are left out that it knows none of.
_NO_XML = dict.fromkeys([*range(9), 0xB, 0xC, *range(0xE, 0x20), 0xFFFE, 0xFFFF])


def _grown_word(chance: random.Random) -> bytes:
    tags = (
        "p r t tbl tr tc sdt sdtContent ins del hyperlink drawing txbxContent pPr rPr vanish sectPr br tab sym".split()
    )
    attributes = ["", "", "", ' w:val="H"', ' w:type="page"', ' w:char="41"', ' w:char="x"', ' w:val="99"', ' w:id="1"']
    body, notes = (
        _grown_markup(
            chance,
            [f"w:{tag}" for tag in [*tags, "numPr", "pStyle", "outlineLvl"]],
            attributes,
            "<w:r><w:t>{}</w:t></w:r>",
        )
        for _ in range(2)
    )
    space = make_bad.WORD_NAMESPACE
    style = (
        f'<w:style w:styleId="H">{_grown_markup(chance, ["w:name", "w:basedOn", "w:outlineLvl"], attributes)}</w:style>'
    )
    return make_bad.word(
        body.translate(_NO_XML),
        word__styles__xml=f'<w:styles xmlns:w="{space}">{style}</w:styles>'.translate(_NO_XML),
        word__footnotes__xml=f'<w:footnotes xmlns:w="{space}"><w:footnote>{notes}</w:footnote></w:footnotes>'.translate(
            _NO_XML
        ),
    )


def _value(chance: random.Random, leaves: list[bytes], depth: int = 0) -> bytes:
    """A number, name or text of a PDF, or an array or dictionary of them."""
    kind = chance.random() if depth < 3 else 1
    if kind < 0.1:
        return b"[ " + b" ".join(_value(chance, leaves, depth + 1) for _ in range(chance.randint(0, 4))) + b" ]"
    if kind < 0.2:
        keys = b"/Type /Kids /Length /Filter /Parent /Encoding /W /Widths /Differences /ToUnicode".split()
        entries = (chance.choice(keys) + b" " + _value(chance, leaves, depth + 1) for _ in range(chance.randint(0, 4)))
        return b"<< " + b" ".join(entries) + b" >>"
    return chance.choice(leaves)


def _grown_pdf(chance: random.Random) -> bytes:
    leaves = [b"(a\\(b)", b"<41>", b"/F1", b"/X", b"1", b"-2.5", b"null", b"true", *_NUMBERS]
    verbs = b"BT ET Tj TJ ' \" Td TD T* Tm Tf Tc Tw Tz TL Ts Tr q Q cm Do re f S W n g rg gs BDC EMC".split()
    content = b"BT /F1 9 Tf (words) Tj " + b" ".join(
        b" ".join(_value(chance, leaves) for _ in range(chance.choice([0, 1, 1, 2, 6]))) + b" " + chance.choice(verbs)
        for _ in range(chance.randint(0, 30))
    )
    cmap = [b"begincmap 1 beginbfchar <41> <0041> endbfchar"]
    if chance.random() < 0.3:
        words = [b"beginbfchar", b"endbfchar", b"beginbfrange", b"endbfrange", b"<41>", b"<D83D>", b"[", b"]"]
        cmap += chance.choices(words, k=chance.randint(0, 40))
    leaves += [b"%d 0 R" % number for number in range(1, 10)]
    more = [stream(b" ".join(cmap)), *(_value(chance, leaves) for _ in range(3))]
    page = b"/Annots " + _value(chance, leaves) + b" /Rotate " + _value(chance, leaves)
    return bare_pdf(content, *more, page=page if chance.random() < 0.5 else b"")


_GROWERS: dict[str, Callable[[random.Random], bytes]] = {
    "txt": _grown_text,
    "md": _grown_markdown,
    "html": _grown_html,
    "pdf": _grown_pdf,
    "docx": _grown_word,
}
