"""Whose address is this? AS numbers from a table in a file, else by DNS, else unknown; asked by the portal, after measuring.

The table is the ip2asn format (range_start, range_end, AS number, country, name; tab-separated, perhaps gzipped) or, where
the package `maxminddb` is installed, a GeoLite2-ASN file.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path as File
from typing import IO, Any, Protocol

from monitors.diagnosis.evidence import Path
from monitors.diagnosis.origins import SECONDS, Owner, owners_by_dns, readable
from monitors.diagnosis.questions import Server, local

try:
    import maxminddb  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    maxminddb = None

Address = IPv4Address | IPv6Address
TABLE, DATABASE, DNS, NONE = "table", "mmdb", "dns", "none"  # where the numbers came from


class Book(Protocol):
    """Whatever can tell an address's owner without asking anybody."""

    source: str

    def owner(self, address: str) -> Owner | None: ...


def has_owner(text: str | None) -> bool:
    """Can this address belong to anybody at all? Private and reserved ones belong to nobody."""
    try:
        return text is not None and ip_address(text).is_global and not ip_address(text).is_multicast
    except ValueError:
        return False


@dataclass(slots=True)
class _Ranges:
    """Sorted ranges of one IP version: numbers of a fixed width side by side, because there are half a million."""

    starts: array[int]
    ends: array[int]
    numbers: array[int] = field(default_factory=lambda: array("I"))

    def find(self, value: int) -> int:
        place = bisect_right(self.starts, value) - 1
        return self.numbers[place] if place >= 0 and value <= self.ends[place] else 0


class Table:
    """An ip2asn file in memory: about 10 bytes a range, and the names."""

    source = TABLE

    def __init__(self) -> None:
        self.v4 = _Ranges(array("I"), array("I"))
        self.v6 = _Ranges(array("Q"), array("Q"))  # the upper half: nobody announces less than a /64
        self.names: dict[int, str] = {}

    @classmethod
    def load(cls, path: str | File) -> Table:
        """Read the file; lines that cannot be read are left out. Raises OSError."""
        with open_text(path) as file:
            return cls.of(file)

    @classmethod
    def of(cls, lines: Iterable[str]) -> Table:
        """A table of these lines, which need not be in order."""
        table = cls()
        for line in lines:
            parts = line.rstrip("\r\n").split("\t", 4)
            if len(parts) < 5 or parts[2] == "0":
                continue  # a gap: announced by nobody
            try:
                number = int(parts[2])
                start, end = _value(parts[0]), _value(parts[1])
            except ValueError:
                continue
            ranges = table.v6 if ":" in parts[0] else table.v4
            if number >= 1 << 32 or end < start:
                continue
            ranges.starts.append(start)
            ranges.ends.append(end)
            ranges.numbers.append(number)
            if number not in table.names:
                table.names[number] = readable(parts[4])
        table.v4, table.v6 = _ordered(table.v4), _ordered(table.v6)
        return table

    def __len__(self) -> int:
        return len(self.v4.starts) + len(self.v6.starts)

    def owner(self, address: str) -> Owner | None:
        """Who announces this address, or None."""
        ranges = self.v6 if ":" in address else self.v4
        number = ranges.find(_value(address))
        return Owner(number, self.names.get(number, "")) if number else None


def _value(text: str) -> int:
    """An address as the number it is kept by. Half a million of them are read: ipaddress would take four times as long."""
    try:
        if ":" in text:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text)[:8])
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text))
    except OSError:
        raise ValueError("not an address") from None


def _ordered(ranges: _Ranges) -> _Ranges:
    starts = ranges.starts
    if all(starts[n] <= starts[n + 1] for n in range(len(starts) - 1)):
        return ranges
    order = sorted(range(len(starts)), key=starts.__getitem__)
    kind = starts.typecode
    return _Ranges(
        array(kind, (starts[n] for n in order)),
        array(kind, (ranges.ends[n] for n in order)),
        array("I", (ranges.numbers[n] for n in order)),
    )


def open_text(path: str | File) -> IO[str]:
    """The file's text, unzipped where it is zipped."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return (
        gzip.open(path, "rt", encoding="utf-8", errors="replace")
        if zipped
        else open(path, encoding="utf-8", errors="replace")
    )


class Database:
    """A GeoLite2-ASN file."""

    source = DATABASE

    def __init__(self, path: str | File) -> None:
        self.reader = maxminddb.open_database(str(path))

    def owner(self, address: str) -> Owner | None:
        """Who announces this address, or None."""
        row = self.reader.get(address)
        if not isinstance(row, dict) or not row.get("autonomous_system_number"):
            return None
        return Owner(int(row["autonomous_system_number"]), readable(str(row.get("autonomous_system_organization", ""))))


_books: dict[str, tuple[tuple[int, int], Book]] = {}
_reading = threading.Lock()


def book(path: str | File) -> Book | None:
    """The table of this file, read again when the file has changed; None when it cannot be read (or no path is given)."""
    if not str(path):
        return None
    try:
        stat = File(path).stat()
        state = stat.st_mtime_ns, stat.st_size
        with _reading:
            known = _books.get(str(path))
            if known is None or known[0] != state:
                known = state, _opened(path)
                _books[str(path)] = known
            return known[1]
    except (OSError, EOFError, ValueError):
        return None


def _opened(path: str | File) -> Book:
    if str(path).endswith(".mmdb"):
        if maxminddb is None:
            raise ValueError("maxminddb is not installed")
        return Database(path)
    return Table.load(path)


# --- For the portal -----------------------------------------------------------------------------------------------------
async def annotate(
    paths: Iterable[Path], known: Book | None, *, servers: Sequence[Server] | None = None, seconds: float = SECONDS
) -> dict[str, Any]:
    """Give each hop its `asn` and `as_name`. Returns {"source": table | mmdb | dns | none, "complete": bool}.

    `servers` are asked by DNS where there is no table; None: this machine's own resolver, (): nobody. An address that
    belongs to nobody, or whose owner could not be learned, gets `asn` None; `complete` tells the two apart.
    """
    hops = [hop for path in paths for hop in path.get("hops", ()) if hop.get("address")]
    wanted = sorted({str(hop["address"]) for hop in hops if has_owner(hop["address"])})
    found, source, whole = await owners(wanted, known, servers=servers, seconds=seconds)
    for hop in hops:
        owner = found.get(str(hop["address"]))
        hop["asn"] = owner.asn if owner else None
        hop["as_name"] = owner.name if owner else ""
    return {"source": source, "complete": whole}


async def owners(
    addresses: Sequence[str], known: Book | None, *, servers: Sequence[Server] | None = None, seconds: float = SECONDS
) -> tuple[dict[str, Owner | None], str, bool]:
    """(owner by address, source, whether everybody could be asked); private and reserved addresses have none."""
    wanted = [address for address in addresses if has_owner(address)]
    if known is not None:
        return {address: known.owner(address) for address in wanted}, known.source, True
    if servers is None:
        servers = (await asyncio.to_thread(local)).servers
    if not servers:
        return {}, NONE, not wanted
    found, whole = await owners_by_dns(wanted, servers, seconds)
    return found, DNS if found or not wanted else NONE, whole
