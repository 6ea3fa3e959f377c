"""Makes files, good and bad, at the moment a test needs them; nothing dangerous is kept in the repository."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Sequence

from pypdf import PdfReader, PdfWriter

WORD_NAMESPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"

_CONTENT_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)


def pdf(pages: Sequence[str], *, bookmarks: Sequence[tuple[str, int]] = (), title: str = "") -> bytes:
    """A PDF whose pages show the lines of the given texts; bookmarks are (title, page index)."""
    objects: list[bytes] = []
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    outlines = 4 + 2 * len(pages)
    root = "<< /Type /Catalog /Pages 2 0 R"
    root += f" /Outlines {outlines} 0 R >>" if bookmarks else " >>"
    objects.append(root.encode())
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for number, page in enumerate(pages):
        lines = [f"({_escaped(line)}) Tj T*" for line in page.splitlines()]
        content = ("BT /F1 11 Tf 14 TL 72 720 Td " + " ".join(lines) + " ET").encode("cp1252")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        packed = zlib.compress(content)
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream")
    if bookmarks:
        first, last = outlines + 1, outlines + len(bookmarks)
        objects.append(f"<< /Type /Outlines /First {first} 0 R /Last {last} 0 R /Count {len(bookmarks)} >>".encode())
        for number, (name, page_index) in enumerate(bookmarks):
            following = f" /Next {first + number + 1} 0 R" if first + number < last else ""
            place = f"/Parent {outlines} 0 R /Dest [{4 + 2 * page_index} 0 R /Fit]{following}"
            objects.append(f"<< /Title ({_escaped(name)}) {place} >>".encode("cp1252"))
    if title:
        objects.append(f"<< /Title ({_escaped(title)}) /CreationDate (D:20240229120000Z) >>".encode())
    return pdf_of_objects(objects, info=len(objects) if title else None)


def unicode_pdf(text: str) -> bytes:
    """A PDF of one page that shows the lines of ``text``, in any script, by a font that says what its signs mean."""
    signs = {sign: b"%04X" % number for number, sign in enumerate(dict.fromkeys(text), 1)}
    meanings = b" ".join(b"<%s> <%s>" % (code, sign.encode("utf-16-be").hex().encode()) for sign, code in signs.items())
    lines = (b"<%s> Tj T*" % b"".join(signs[sign] for sign in line) for line in text.split("\n"))
    streams = [
        b"BT /F1 11 Tf 14 TL 72 720 Td %s ET" % b" ".join(lines),
        b"begincmap 1 beginbfchar %s endbfchar" % meanings,
    ]
    return pdf_of_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
            b"/Resources << /Font << /F1 6 0 R >> >> >>",
            *(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content) for content in streams),
            b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 5 0 R "
            b"/DescendantFonts [7 0 R] >>",
            b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 500 >>",
        ]
    )


def pdf_of_objects(objects: Sequence[bytes], info: int | None = None) -> bytes:
    """A PDF of the given objects, numbered from 1, the first being the catalog."""
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    extra = b" /Info %d 0 R" % info if info else b""
    out += b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, extra, start)
    return bytes(out)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def encrypted_pdf(text: str, password: str) -> bytes:
    """A PDF with AES encryption that opens with ``password``."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf([text]))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def flate_bomb_pdf(megabytes: int) -> bytes:
    """A PDF whose one page unpacks to that many megabytes of blanks."""
    packed = zlib.compress(b" " * (megabytes * 2**20), 9)
    return pdf_of_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << >> >> >>",
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream",
        ]
    )


def word(body: str, **parts: str | bytes) -> bytes:
    """A Word file with ``body`` inside w:body; other parts by name, ``word__styles__xml`` for the one of that path."""
    document = f'<w:document xmlns:w="{WORD_NAMESPACE}"><w:body>{body}</w:body></w:document>'
    return package(
        {"word/document.xml": document}
        | {name.replace("__", "/", 1).replace("__", "."): part for name, part in parts.items()}
    )


def package(parts: dict[str, str | bytes]) -> bytes:
    """A ZIP container with the content types every Office file begins with, and ``parts``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _CONTENT_TYPES)
        for name, part in parts.items():
            archive.writestr(name, part)
    return out.getvalue()


def paragraph(text: str) -> str:
    """A Word paragraph."""
    return f'<w:p><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def zip_bomb(name: str, megabytes: int) -> bytes:
    """A ZIP whose entry ``name`` unpacks to that many megabytes of zeros, and says so."""
    return _raw_zip([(name, _deflated_zeros(megabytes), megabytes * 2**20, 0)])


def lying_zip_bomb(name: str, megabytes: int, claimed: int) -> bytes:
    """A ZIP whose entry unpacks to that many megabytes while its headers claim ``claimed`` bytes."""
    return _raw_zip([(name, _deflated_zeros(megabytes), claimed, 0)])


def _deflated_zeros(megabytes: int) -> bytes:
    # Fully flushed blocks stand for themselves, so that one is made and the rest are copies.
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + packer.flush()


def overlapping_zip(names: Sequence[str]) -> bytes:
    """A ZIP whose directory gives every name the bytes of one and the same entry."""
    content = b"<w/>" * 1000
    return _raw_zip([(name, _deflated(content), len(content), zlib.crc32(content)) for name in names], shared=True)


def quoting_zip(names: Sequence[str]) -> bytes:
    """A ZIP in which each entry but the last reaches to the end of the last, over the headers of those between."""
    content = _deflated(b"<w/>" * 1000)
    out = bytearray(_raw_zip([(name, content, 4000, 0) for name in names]))
    ends = out.index(b"PK\x01\x02")
    at = ends
    for name in names:
        (start,) = struct.unpack_from("<L", out, at + 42)
        struct.pack_into("<L", out, at + 20, ends - start - 30 - len(name))
        at += 46 + len(name)
    return bytes(out)


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _raw_zip(entries: Sequence[tuple[str, bytes, int, int]], *, shared: bool = False) -> bytes:
    out = bytearray()
    directory = bytearray()
    offset = 0
    for number, (name, packed, size, crc) in enumerate(entries):
        fields = struct.pack("<5H3L2H", 20, 0, 8, 0, 33, crc, len(packed), size, len(name), 0)
        if number == 0 or not shared:
            offset = len(out)
            out += b"PK\x03\x04" + fields + name.encode() + packed
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields
        directory += struct.pack("<3H2L", 0, 0, 0, 0, offset) + name.encode()
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), len(out), 0)
    return bytes(out + directory + end)


def junk(size: int, seed: int) -> bytes:
    """Random bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def mutated(data: bytes, flips: int, seed: int) -> bytes:
    """``data`` with some bytes replaced at random, the same ones for the same seed."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(flips):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)
