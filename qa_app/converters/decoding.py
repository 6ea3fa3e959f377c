"""Turns bytes into text, and says which encoding they were in."""

from __future__ import annotations

import codecs
import unicodedata

from qa_app.converters.extraction import normalise
from qa_app.errors import FileRejectedError

# The UTF-32 marks first: the little-endian one begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_SAMPLE = 4096
_GUESS_SAMPLE = 65536

# What UTF-16 text of any script is full of, as UTF-16-BE: spaces, line ends, commas and stops, ASCII and ideographic.
_COMMON_UNITS = frozenset(mark.encode("utf-16-be") for mark in " \n\r,.、。，！？؛،۔।")

_PRINTABLE = bytes(range(0x20, 0x7F))
_BEYOND_ASCII = bytes(range(0x80, 0x100))
_LOW = bytes(set(range(1, 0x20)) - set(b"\n\r"))

_CANDIDATES = (
    *("cp1252", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
    *("cp1251", "koi8_r", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp874"),
)
_LATIN_PAGES = frozenset({"cp1250", "cp1252", "cp1254"})

# Languages whose code page shares nearly all its letters with cp1252, so that only the language tells them apart; and
# their letters, because French through cp1250 passes for Hungarian, but for letters that no Hungarian writes.
_PAGE_OF_LANGUAGE = {
    "Turkish": ("cp1254", frozenset("çğıöşüâîû")),
    "Hungarian": ("cp1250", frozenset("áéíóöőúüű")),
    "Polish": ("cp1250", frozenset("ąćęłńóśźż")),
    "Czech": ("cp1250", frozenset("áčďéěíňóřšťúůýž")),
    "Slovak": ("cp1250", frozenset("áäčďéíĺľňóôŕšťúýž")),
}

_WESTERN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœŠšŽžŸðþýÐÞÝ") | frozenset(
    "€‚„…‰‹›‘’“”•–—™\xa0¡¢£¥§©ª«®°±²³µ¶·º»¼½¾¿×÷´¨"
)


def decode(data: bytes) -> tuple[str, str]:
    """Gives the text of ``data`` and Python's name of its encoding, without losing a single byte silently.

    Tried in order: byte order mark, the zero bytes of UTF-16 and UTF-32, UTF-8, mostly UTF-8 with stray cp1252 bytes
    (``utf-8+cp1252``), a guess among the legacy encodings that are common on the web, and ASCII with a few stray bytes
    (``ascii+cp1252``). Raises :class:`FileRejectedError` ``encoding`` where none fits or where halves of surrogate
    pairs stand alone.
    """
    encoding = marked_encoding(data) or zero_byte_encoding(data)
    if encoding is not None:
        try:
            return normalise(data.decode(encoding)), encoding
        except UnicodeDecodeError as error:
            raise FileRejectedError(
                "encoding",
                f"the bytes are not {encoding.upper()} from byte {error.start} on ({error.reason}); save it as UTF-8",
            ) from error
    if b"\x1b$" in data or b"\x1b(" in data:
        try:
            return normalise(data.decode("iso2022_jp")), "iso2022_jp"
        except UnicodeDecodeError:
            pass  # escape sequences of a terminal, not of an encoding
    try:
        return normalise(data.decode("utf-8")), "utf-8"
    except UnicodeDecodeError:
        _refuse_surrogates(data)
    mixed = _mostly_utf8(data)
    if mixed is not None:
        return normalise(mixed), "utf-8+cp1252"
    return _guess(data)


def marked_encoding(data: bytes) -> str | None:
    """Gives the codec that the byte order mark of ``data`` names, if there is one."""
    return next((codec for mark, codec in _MARKS if data.startswith(mark)), None)


def zero_byte_encoding(data: bytes) -> str | None:
    """Recognises UTF-16 and UTF-32 without a byte order mark by where their zero bytes are."""
    sample = data[:_SAMPLE]
    sample = sample[: len(sample) // 4 * 4] or data[: len(data) // 2 * 2]
    if b"\0" not in sample or len(data) % 2 or _has_stray_zeros(sample):
        return None
    quarter = len(sample) / 4
    if len(sample) >= 8:
        zeros = [sample[lane::4].count(0) for lane in range(4)]
        # The highest byte of a character is always zero, the next one for all but emoji and rare signs.
        if zeros[3] == quarter and zeros[2] * 2 > quarter > zeros[0] and _plausible(sample, "utf-32-le"):
            return "utf-32-le"
        if zeros[0] == quarter and zeros[1] * 2 > quarter > zeros[3] and _plausible(sample, "utf-32-be"):
            return "utf-32-be"
    big = little = 0
    for at in range(0, len(sample) - 1, 2):
        unit = sample[at : at + 2]
        big += unit in _COMMON_UNITS
        little += unit[::-1] in _COMMON_UNITS
    # Short texts may hold neither space nor stop; then every second byte being zero has to do.
    high, low = sample[0::2].count(0), sample[1::2].count(0)
    if not big and not little:
        big, little = (high, 0) if low == 0 and high * 2 == len(sample) else (0, 0)
        little = low if high == 0 and low * 2 == len(sample) else 0
    if little > 2 * big:
        return "utf-16-le" if _plausible(sample, "utf-16-le") else None
    if big > 2 * little:
        return "utf-16-be" if _plausible(sample, "utf-16-be") else None
    return None


def _has_stray_zeros(sample: bytes) -> bool:
    """Whether the zero bytes are a few among bytes of another encoding."""
    if len(sample) - len(sample.translate(None, _PRINTABLE)) > len(sample) * 0.7:
        return True
    try:
        # The sample may end within a character, hence an incremental decoder.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    # The bytes of many alphabets in UTF-16 are valid UTF-8 too, but every second one is then a control character.
    low = len(sample) - len(sample.translate(None, _LOW))
    return sample.count(0) * 4 < len(sample) and low * 4 < len(sample)


def _plausible(sample: bytes, codec: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return False
    odd = sum(unicodedata.category(char) in {"Cn", "Co", "Cc"} and char not in "\t\n\r\f" for char in text)
    return odd * 20 <= len(text)


def _refuse_surrogates(data: bytes) -> None:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return
    raise FileRejectedError(
        "encoding",
        "the text holds halves of surrogate pairs, which are no characters; save the file as UTF-8 again",
    )


def _mostly_utf8(data: bytes) -> str | None:
    """Decodes UTF-8 into which bytes of cp1252 were pasted, or gives None where UTF-8 is not the rule."""
    valid = data.decode("utf-8", "ignore")
    strays = len(data) - len(valid.encode("utf-8"))
    multibyte = len(valid) - sum(map(str.isascii, valid))
    return data.decode("utf-8", _STRAY) if multibyte >= 4 * strays else None


def _stray(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    # Five byte values mean nothing in cp1252 itself; as Latin-1 they stay apart.
    return "".join(bytes((byte,)).decode("cp1252", "ignore") or chr(byte) for byte in bad), error.end


_STRAY = "qa_app.stray_cp1252"
codecs.register_error(_STRAY, _stray)


def _guess(data: bytes) -> tuple[str, str]:
    """Guesses a legacy encoding from the lines that are not ASCII."""
    from charset_normalizer import from_bytes

    sample = _telling_lines(data)
    matches = list(from_bytes(sample, cp_isolation=list(_CANDIDATES)))
    order = [match.encoding for match in matches]
    if matches:
        best = matches[0]
        by_language = _page_of_language(best.language, sample) if best.coherence > 0 else None
        share, western = _western(sample)
        if by_language is not None:
            order.insert(0, by_language)
        elif western and share <= 0.4:
            order.insert(0, "cp1252")
        elif share > 0.5 and order[0] in _LATIN_PAGES:
            # Words made of accented letters alone are another alphabet seen through the wrong code page.
            order.sort(key=lambda codec: codec in _LATIN_PAGES)
    elif _western(sample)[1]:
        order = ["cp1252"]
    for codec in order:
        try:
            return normalise(data.decode(codec)), codec
        except UnicodeDecodeError:
            continue
    if len(data.translate(None, _BEYOND_ASCII)) >= len(data) * 0.9:
        return normalise(data.decode("ascii", _STRAY)), "ascii+cp1252"
    raise FileRejectedError("encoding", "the bytes are not text in any known encoding; save the file as UTF-8")


def _telling_lines(data: bytes) -> bytes:
    """Gives up to 64 KB of the lines with bytes beyond ASCII, cut where no encoding has half a character."""
    kept: list[bytes] = []
    size = 0
    for line in data.splitlines():
        if not line.isascii():
            kept.append(line)
            size += len(line) + 1
            if size >= _GUESS_SAMPLE:
                break
    sample = b"\n".join(kept)
    if len(sample) <= _GUESS_SAMPLE:
        return sample
    # Below 0x30 no byte is the second half of a character in any of the candidates.
    cut = max(sample.rfind(bytes((byte,)), 0, _GUESS_SAMPLE) for byte in b"\n ,.!")
    return sample[:cut] if cut > 0 else sample


def _page_of_language(language: str, sample: bytes) -> str | None:
    """Gives the code page of ``language`` if its letters, or those of another language of that page, are the text's."""
    page, _ = _PAGE_OF_LANGUAGE.get(language, (None, None))
    if page is None:
        return None
    letters = [char for char in sample.decode(page, "ignore").lower() if char > "\x7f" and char.isalpha()]
    alphabets = (alphabet for other, alphabet in _PAGE_OF_LANGUAGE.values() if other == page)
    # Some are those of foreign names.
    fits = any(sum(char in alphabet for char in letters) >= 0.95 * len(letters) > 0 for alphabet in alphabets)
    return page if fits else None


def _western(sample: bytes) -> tuple[float, bool]:
    """Reads ``sample`` as cp1252: gives the share of letters beyond ASCII, and whether it looks like a Western text."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return 1.0, False
    beyond = [char for char in text if char > "\x7f"]
    letters = sum(char.isalpha() for char in text)
    share = sum(char.isalpha() for char in beyond) / max(letters, 1)
    # Three in a row is a word in another alphabet, not an accent beside a quotation mark.
    runs = sum(
        first > "\x7f" and second > "\x7f" and third > "\x7f"
        for first, second, third in zip(text, text[1:], text[2:], strict=False)
    )
    return share, _WESTERN.issuperset(beyond) and runs * 10 <= len(beyond)
