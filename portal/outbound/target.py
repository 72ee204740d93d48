"""Is this text exactly one host, or exactly one URL, however it is read?

What two parsers could read differently is refused, not interpreted: the name that is checked must be the name dialled.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class SplitURL:
    """A checked URL. ``host`` is ASCII, lower case, without brackets; ``url`` is the normal form without fragment."""

    scheme: str
    host: str
    port: int
    target: str
    url: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


# --- host names ------------------------------------------------------------------------------------------------------

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_DOTTED_QUAD: Final = re.compile(
    r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)", re.ASCII
)
LETTERS: Final = frozenset(("Ll", "Lo", "Lm", "Mn", "Mc", "Nd"))  # Unicode categories a name may be made of
_NUMERIC_LABEL: Final = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)


@lru_cache(maxsize=16384)
def parse_host(host: str) -> str:
    """The host in the one form everything else uses: ASCII lower-case name, dotted quad or compressed IPv6.

    Raises ValueError with a plain sentence for anything that is not exactly a host name or an IP literal.
    """
    if not host:
        raise ValueError("The host is missing.")
    if len(host) > 255:
        raise ValueError("The host name is too long.")
    if ":" in host:
        return _ipv6(host)
    name = host if host.isascii() else _to_ascii(host)
    name = name.lower()
    bare = name.removesuffix(".")
    last = bare.rpartition(".")[2]
    if _NUMERIC_LABEL.fullmatch(last):
        # Resolvers read 127.1, 2130706433, 0x7f.1 and 0177.0.0.1 as addresses: only the plain form is let through.
        if _DOTTED_QUAD.fullmatch(name):
            return name
        raise ValueError("Write the IP address as four plain decimal numbers, such as 192.0.2.7.")
    if len(bare) > 253 or not _NAME.fullmatch(bare):
        raise ValueError("This is not a valid host name.")
    return bare


def _ipv6(host: str) -> str:
    if "%" in host:
        raise ValueError("IPv6 zone ids are not accepted.")
    try:
        return IPv6Address(host).compressed
    except ValueError:
        raise ValueError("This is not a valid IPv6 address.") from None


def _to_ascii(host: str) -> str:
    """An international name as IDNA writes it. Only letters, marks and digits that mean themselves are accepted.

    A character that compatibility mapping would turn into another (circled digits, full-width letters and dots, the
    Kelvin sign) is refused: what the person sees must be what is asked. The name still has to pass the guard as an
    address after the look-up, so the finer rules of IDNA are the registry's business.
    """
    lowered = host.lower()
    mapped = unicodedata.normalize("NFC", lowered) != unicodedata.normalize("NFKC", host).lower()
    if mapped or any(not char.isascii() and char.lower().isascii() for char in host):
        raise ValueError("The host name contains look-alike characters.")
    labels = []
    for label in unicodedata.normalize("NFC", lowered).split("."):
        if label.isascii():
            labels.append(label)
            continue
        kinds = [unicodedata.category(char) for char in label if char != "-"]
        if label.isdecimal() or kinds[:1] in (["Mn"], ["Mc"]) or not LETTERS.issuperset(kinds):
            raise ValueError("The host name contains characters that names cannot have.")
        labels.append("xn--" + label.encode("punycode").decode("ascii"))
    return ".".join(labels)


# --- URLs ------------------------------------------------------------------------------------------------------------

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
# Kept as written when the rest of the URL is percent-encoded: reserved and unreserved characters and '%' itself.
_SAFE: Final = "%/:?@!$&'()*+,;=-._~[]|^`{}\""


@lru_cache(maxsize=16384)
def check_url(url: str, *, schemes: tuple[str, ...] = ("http", "https")) -> SplitURL:
    """The parts of an absolute URL, or ValueError with a plain sentence. Syntax only: no look-up is made."""
    if len(url) > 8192:
        raise ValueError("The URL is too long.")
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in url):
        raise ValueError("The URL contains spaces, control characters or a backslash.")
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"The URL must start with {' or '.join(f'{s}://' for s in schemes)}.")
    scheme = match["scheme"].lower()
    if scheme not in schemes:
        raise ValueError(f"Only {' and '.join(schemes)} URLs are accepted.")
    authority = match["authority"]
    if "@" in authority:
        raise ValueError("The URL must not contain a user name or password.")
    host, port = split_authority(authority)
    name = parse_host(host)
    number = parse_port(port) if port is not None else DEFAULT_PORTS.get(scheme, 0)
    if not number:
        raise ValueError("The URL needs a port.")
    target = quote((match["path"] or "/") + (match["query"] or ""), safe=_SAFE)
    netloc = f"[{name}]" if ":" in name else name
    if number != DEFAULT_PORTS.get(scheme):
        netloc = f"{netloc}:{number}"
    return SplitURL(scheme, name, number, target, f"{scheme}://{netloc}{target}")


def split_authority(authority: str) -> tuple[str, str | None]:
    """(host as written, port as written or None) of what stands between // and the next slash. ValueError with a sentence."""
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError("The IPv6 address in the URL is not valid.")
        return host, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    if ":" in port:
        raise ValueError("Write an IPv6 address in brackets.")
    return host, port if colon else None


def parse_port(text: str) -> int:
    """The port's number, 1 to 65535, or ValueError with a sentence."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("The port must be a number from 1 to 65535.")
    return int(text)
