"""How is the body of an answer read as text? Bounded, whatever the server claims about it. Pure."""

import codecs
import re
import zlib

_CHARSET = re.compile(r"""charset=["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
# Only plain tables: Python knows stranger "charsets" that are costly or are not about text at all.
CHARSETS = frozenset(
    ("iso8859-1", "iso8859-15", "cp1250", "cp1251", "cp1252", "koi8-r")
    + ("utf-16", "shift_jis", "euc_jp", "euc_kr", "gb18030", "big5")
)
GZIP_OR_ZLIB = 47  # zlib's wbits for "look which of the two it is"


def unpacked(data: bytes, encoding: str, most: int) -> bytes:
    """The content of a body that came compressed although we asked for it plain; at most `most` bytes of it.

    Raises ValueError with a sentence for an encoding that is not read here or a body that is not in it.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return data
    if name not in ("gzip", "x-gzip", "deflate"):
        raise ValueError("The answer came compressed in a way that is not read here")
    try:
        return zlib.decompressobj(wbits=GZIP_OR_ZLIB).decompress(data, most)
    except zlib.error:
        raise ValueError("The answer is not compressed as it claims") from None


def decoded(data: bytes, content_type: str) -> str:
    """The body as text: UTF-8 unless the server names another well-known charset; unreadable bytes become \ufffd."""
    match = _CHARSET.search(content_type)
    name = "utf-8"
    if match:
        try:
            name = codecs.lookup(match[1]).name
        except LookupError:
            name = "utf-8"
    return data.decode(name if name in CHARSETS else "utf-8", "replace")
