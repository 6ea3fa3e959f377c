"""Reads parts of a ZIP file that may have been made to overwhelm whoever unpacks it.

Python's ``zipfile`` lists the entries; the bytes are unpacked here, because versions before 3.11.8 let entries overlap,
and a size in a header is a claim until it is counted.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from qa_app.errors import FileRejectedError

MAX_ENTRIES = 10_000
MAX_UNPACKED = 200 * 2**20
MAX_RATIO = 100
#: Small entries of one repeated word may be packed far better than by MAX_RATIO, and do no harm.
RATIO_COUNTS_FROM = 2**20

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED_FLAG = 0x1


class Archive:
    """A checked view of the entries of a ZIP file in memory.

    Raises :class:`FileRejectedError`: ``corrupt``; ``encrypted``; ``archive_limit`` for too many entries, entries that
    overlap, or sizes and ratios over the limits.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts: dict[str, int] = {}
        self._infos: dict[str, zipfile.ZipInfo] = {}
        infos = _listed(data)
        if any(info.flag_bits & _ENCRYPTED_FLAG for info in infos):
            raise FileRejectedError("encrypted", "parts of the file need a password; save it without one")
        self._check_sizes(infos)
        self._check_overlaps(infos)
        for info in infos:
            self._infos.setdefault(info.filename, info)

    @property
    def names(self) -> list[str]:
        """The names of all entries."""
        return list(self._infos)

    def read(self, name: str) -> bytes:
        """Unpacks one entry, never further than its declared size; raises KeyError and FileRejectedError."""
        info = self._infos[name]
        start = self._starts[name]
        raw = self._data[start : start + info.compress_size]
        if info.compress_type == zipfile.ZIP_STORED:
            unpacked = raw
        elif info.compress_type == zipfile.ZIP_DEFLATED:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                unpacked = unpacker.decompress(raw, info.file_size + 1)
            except zlib.error as error:
                raise FileRejectedError("corrupt", f"{name} inside the file is damaged ({error})") from error
        else:
            raise FileRejectedError("corrupt", f"{name} inside the file is packed in a way Word does not use")
        if len(unpacked) > info.file_size:
            raise FileRejectedError("archive_limit", f"{name} inside the file unpacks to more than it declares")
        if len(unpacked) < info.file_size or zlib.crc32(unpacked) != info.CRC:
            raise FileRejectedError("corrupt", f"{name} inside the file is damaged")
        return unpacked

    def _check_sizes(self, infos: list[zipfile.ZipInfo]) -> None:
        total = sum(info.file_size for info in infos)
        if total > MAX_UNPACKED:
            raise FileRejectedError(
                "archive_limit", f"the file would unpack to {total >> 20} MB; the limit is {MAX_UNPACKED >> 20} MB"
            )
        for info in infos:
            if info.file_size > RATIO_COUNTS_FROM and info.file_size > MAX_RATIO * max(info.compress_size, 1):
                raise FileRejectedError(
                    "archive_limit", f"{info.filename} inside the file is packed more than {MAX_RATIO} to 1"
                )

    def _check_overlaps(self, infos: list[zipfile.ZipInfo]) -> None:
        end_of_last = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            header = self._data[info.header_offset : info.header_offset + _LOCAL_HEADER.size]
            if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
                raise FileRejectedError("corrupt", f"{info.filename} inside the file has no header")
            name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
            start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
            if info.header_offset < end_of_last:
                raise FileRejectedError("archive_limit", f"{info.filename} inside the file overlaps another part")
            end_of_last = start + info.compress_size
            if end_of_last > len(self._data):
                raise FileRejectedError("corrupt", f"{info.filename} inside the file breaks off")
            self._starts.setdefault(info.filename, start)


def _listed(data: bytes) -> list[zipfile.ZipInfo]:
    # Counted first: zipfile builds an object for every entry, and 50 MB hold a million of them.
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise FileRejectedError("archive_limit", f"the file packs more than {MAX_ENTRIES} parts")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as listing:
            return listing.infolist()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, ValueError, struct.error, EOFError) as error:
        raise FileRejectedError("corrupt", f"the ZIP container is damaged or cut off ({error})") from error


def word_document(parts: list[str]) -> str | None:
    """Gives the name of the part that holds a Word document's text, or None where there is none."""
    if "word/document.xml" in parts:
        return "word/document.xml"
    # Some writers number it.
    return next((name for name in parts if name.startswith("word/document") and name.endswith(".xml")), None)
