"""Is this a picture that may stand on a page as somebody's logo? PNG, JPEG or WebP, by its first bytes; small in bytes and in points.

What a browser would run (SVG) or what only pretends to be a picture is refused. Pure; nothing is decoded.
"""

from __future__ import annotations

import struct

MOST_BYTES = 200 * 1024
MOST_POINTS = 2_000  # on either side
SVG = "An SVG is a program that a reader's browser runs; export it as PNG and choose that."
OTHER = "This is neither PNG, JPEG nor WebP; export the logo as PNG."
BROKEN = "This picture is not whole; export it again as PNG."


class NotALogo(ValueError):
    """`str()` says why, and what to choose instead."""


def judge(data: bytes) -> str:
    """The media type of a picture that may be shown. Raises NotALogo with a sentence."""
    if len(data) > MOST_BYTES:
        raise NotALogo(f"It has {len(data) // 1024} KB; at most {MOST_BYTES // 1024} KB, a logo needs no more.")
    kind, width, height = _read(data)
    if not 1 <= width <= MOST_POINTS or not 1 <= height <= MOST_POINTS:
        raise NotALogo(f"It is {width} × {height} points; at most {MOST_POINTS:,} on either side.")
    return kind


def _read(data: bytes) -> tuple[str, int, int]:
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            if data[12:16] != b"IHDR":
                raise NotALogo(BROKEN)
            return "image/png", *struct.unpack(">II", data[16:24])
        if data.startswith(b"\xff\xd8\xff"):
            return "image/jpeg", *_jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return "image/webp", *_webp(data)
    except (struct.error, IndexError):
        raise NotALogo(BROKEN) from None
    start = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    raise NotALogo(
        SVG if start.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) or start[:2] == b"\x1f\x8b" else OTHER
    )


def _jpeg(data: bytes) -> tuple[int, int]:
    """Width and height from the frame's header, found by hopping from segment to segment."""
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            raise NotALogo(BROKEN)
        mark = data[at + 1]
        if mark == 0xFF:  # padding
            at += 1
        elif 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        elif mark in (0xD8, 0x01) or 0xD0 <= mark <= 0xD7:  # without a length
            at += 2
        else:
            (length,) = struct.unpack(">H", data[at + 2 : at + 4])
            if length < 2:
                raise NotALogo(BROKEN)
            at += 2 + length
    raise NotALogo(BROKEN)


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack("<I", data[21:25])
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    raise NotALogo(BROKEN)
