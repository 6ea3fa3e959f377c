from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_app.converters.decoding import decode
from qa_app.converters.extraction import normalise
from qa_app.errors import FileRejectedError
from tests import make_bad

_TEXTS = {
    "cp1252": [
        "Café",
        "Größe und Übermut – naïve “Anführung”",
        "The café’s menu costs €5.",
        "Temperature 25°C, ½ cup £20",
        "Le château est très élevé, où l’on déjeune à l’été.\n" * 5,
        "La mañana pasó rápido; el niño comió jamón.\n" * 5,
        "Perché no? È così, la città è più bella.\n" * 5,
        "Não há avião amanhã, coração.\n" * 5,
    ],
    "cp932": ["日本語のテキスト", "富士山は日本で一番高い山です。", "Tokyo Tower (東京タワー) is 333 m high."],
    "euc_jp": ["こんにちは、世界。これは日本語の文章です。吾輩は猫である。名前はまだ無い。"],
    "big5": ["長江是中國最長的河流，也是世界第三長河。"],
    "cp949": ["한강은 대한민국의 강이다. 서울을 지난다."],
    "cp1251": ["Волга — река в Европейской части России.", "Привет, мир"],
    "koi8_r": ["Волга - река в Европейской части России. Одна из крупнейших рек."],
    "cp1250": ["Příliš žluťoučký kůň úpěl ďábelské ódy.", "Zażółć gęślą jaźń. Wisła jest najdłuższą rzeką."],
    "cp1253": ["Ο Δούναβης είναι ο δεύτερος μεγαλύτερος ποταμός της Ευρώπης."],
    "cp1254": ["Türkiye'nin en uzun ırmağı Kızılırmak'tır. Şimdi değil."],
    "cp1256": ["النيل هو أطول نهر في أفريقيا"],
    "iso2022_jp": ["富士山は日本で一番高い山です。"],
}


@pytest.mark.case("F14")
@pytest.mark.parametrize(("encoding", "text"), [(encoding, text) for encoding in _TEXTS for text in _TEXTS[encoding]])
def test_legacy_encodings_are_recognised(encoding: str, text: str) -> None:
    """A sentence in an encoding that is common on the web is read in it, and the encoding is recorded."""
    assert decode(text.encode(encoding)) == (text, encoding)


def test_a_late_accent_decides_for_the_whole_file() -> None:
    """One accented letter behind a megabyte of ASCII is found and read as cp1252."""
    text = "Plain words only.\n" * 60_000 + "À la fin un café.\n"
    assert decode(text.encode("cp1252")) == (text, "cp1252")


@pytest.mark.case("F14")
@pytest.mark.parametrize(
    "text", ["Hello", "Zürich, 3 Türme.\nÜber", "一 二。三、四\n", "Привет, мир", "a", "नमस्ते दुनिया।"]
)
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_need_no_mark(codec: str, text: str) -> None:
    """UTF-16 and UTF-32 without a byte order mark are recognised in any script that has blanks or stops."""
    assert decode(text.encode(codec))[0] == text


@pytest.mark.case("F14")
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks_are_obeyed_and_removed(codec: str) -> None:
    """A byte order mark decides the encoding and is not part of the text."""
    assert decode("Größe 😀".encode(codec)) == ("Größe 😀", codec)


@given(st.text())
def test_every_text_survives_utf8(text: str) -> None:
    """Any text written as UTF-8 with a mark comes back as itself, but for controls and line ends."""
    assert decode(text.encode("utf-8-sig")) == (normalise(text), "utf-8-sig")


@given(st.binary(max_size=200))
def test_any_bytes_give_text_or_a_reason(data: bytes) -> None:
    """Arbitrary bytes are decoded into text that can be stored, or refused with the reason that fits."""
    reason, text = "", ""
    try:
        text, _ = decode(data)
    except FileRejectedError as rejected:
        reason = rejected.reason
    assert reason in {"", "encoding"}
    assert text.encode("utf-8").decode("utf-8") == text


@pytest.mark.parametrize("text", ["a\0b", "name\0\0\0\0value, and more", "é\0 a. b", "\0"])
def test_stray_zero_bytes_do_not_make_utf16(text: str) -> None:
    """A zero byte in ordinary text is dropped, and the text around it stays what it is."""
    assert decode(text.encode()) == (text.replace("\0", ""), "utf-8")


def test_stray_cp1252_bytes_in_utf8_are_kept() -> None:
    """UTF-8 into which cp1252 was pasted keeps both, each read in its own encoding."""
    data = "Zürich, Köln und Düsseldorf – größer.\n".encode() * 3 + "Café\n".encode("cp1252")
    assert decode(data) == ("Zürich, Köln und Düsseldorf – größer.\n" * 3 + "Café\n", "utf-8+cp1252")


def test_a_few_damaged_bytes_do_not_cost_a_text() -> None:
    """Plain words with random bytes here and there are always text, as stray bytes in ASCII where no encoding fits."""
    encodings = set()
    for seed in range(200):
        text, encoding = decode(make_bad.mutated(b"plain words " * 40, 10, seed))
        encodings.add(encoding)
        assert "plain words plain words" in text
    assert "ascii+cp1252" in encodings


@pytest.mark.case("F14")
def test_overlong_utf8_is_not_taken_for_a_slash() -> None:
    """The forbidden two-byte form of a slash never becomes one."""
    text, encoding = decode(b"path \xc0\xaf here, a Western text")
    assert "/" not in text
    assert encoding != "utf-8"


@pytest.mark.case("F15")
@pytest.mark.parametrize(
    "data",
    [
        "half \ud800 pair".encode("utf-8", "surrogatepass"),
        "pair \ud83d\ude00 as CESU".encode("utf-8", "surrogatepass"),
        "\ufeffhalf \udc00 pair".encode("utf-16-le", "surrogatepass"),
        b"\xff\xfea\x00b",
    ],
)
def test_halves_of_characters_are_refused(data: bytes) -> None:
    """Lone surrogates and a UTF-16 file cut within a character have no text that could be stored."""
    with pytest.raises(FileRejectedError) as caught:
        decode(data)
    assert caught.value.reason == "encoding"
