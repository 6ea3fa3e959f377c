from __future__ import annotations

import io
import zipfile

import pytest

from qa_app.converters.archives import Archive
from qa_app.errors import FileRejectedError
from tests import make_bad


def _reason(data: bytes, read: str | None = None) -> str:
    try:
        archive = Archive(data)
        if read is not None:
            archive.read(read)
    except FileRejectedError as rejected:
        return rejected.reason
    return "taken"


def test_entries_are_unpacked_exactly() -> None:
    """Packed and stored entries come out as they went in, and unknown names are a KeyError."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("stored.xml", b"stored")
        made.writestr("packed.xml", b"packed" * 1000, zipfile.ZIP_DEFLATED)
        made.writestr("empty.xml", b"", zipfile.ZIP_DEFLATED)
    archive = Archive(out.getvalue())
    assert archive.names == ["stored.xml", "packed.xml", "empty.xml"]
    assert [archive.read(name) for name in archive.names] == [b"stored", b"packed" * 1000, b""]
    with pytest.raises(KeyError):
        archive.read("other.xml")


@pytest.mark.case("F5")
def test_limits_are_kept_before_anything_is_unpacked() -> None:
    """Sizes in sum, sizes in relation, overlaps and the number of entries each have a limit."""
    assert _reason(make_bad.zip_bomb("a.xml", 4095)) == "archive_limit"
    assert _reason(make_bad.zip_bomb("a.xml", 100)) == "archive_limit"
    assert _reason(make_bad.overlapping_zip(["a.xml", "b.xml"])) == "archive_limit"
    assert _reason(make_bad.package({f"{number}.xml": "" for number in range(10_001)})) == "archive_limit"


@pytest.mark.case("F5")
def test_a_size_is_a_claim_until_counted() -> None:
    """An entry that unpacks to more than its header says stops at what it said."""
    assert _reason(make_bad.lying_zip_bomb("a.xml", 10_240, 500), "a.xml") == "archive_limit"


def test_small_entries_may_be_packed_well() -> None:
    """The ratio limit spares entries of under a megabyte, such as empty forms."""
    assert Archive(make_bad.package({"a.xml": " " * 500_000})).read("a.xml") == b" " * 500_000


def test_damage_and_passwords_are_told_apart() -> None:
    """A cut container, a wrong checksum and the encryption flag each have their own reason."""
    good = make_bad.package({"a.xml": "text " * 100})
    assert _reason(good[: len(good) // 2]) == "corrupt"
    at = good.index(b"a.xml") + 5
    assert _reason(good[:at] + b"\0\0" + good[at + 2 :], "a.xml") == "corrupt"
    flagged = bytearray(good)
    flagged[good.index(b"PK\x01\x02") + 8] |= 1
    assert _reason(bytes(flagged)) == "encrypted"
