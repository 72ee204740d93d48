"""Whose address is this? From tables, from DNS, and unknown where neither can tell."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest

from monitors.diagnosis import networks, origins
from monitors.diagnosis.evidence import Path as Way
from monitors.diagnosis.networks import Table
from monitors.diagnosis.origins import Owner
from monitors.diagnosis.questions import Server

pytestmark = pytest.mark.once

LINES = """1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET
1.0.1.0\t1.0.3.255\t0\tNone\tNot routed
8.8.8.0\t8.8.8.255\t15169\tUS\tGOOGLE
2001:4860::\t2001:4860:ffff:ffff:ffff:ffff:ffff:ffff\t15169\tUS\tGOOGLE
9.9.9.0\t9.9.9.255\t4200000000\tCH\t<script>alert(1)</script>\x07
nonsense
5.5.5.5\t5.5.5.0\t7\tUS\tBACKWARDS
300.0.0.0\t300.0.0.1\t7\tUS\tTOO FAR
"""


def way(*addresses: str | None) -> Way:
    """A path through these addresses."""
    hops: Any = [{"ttl": n, "address": a, "sent": 1, "got": 1} for n, a in enumerate(addresses, 1)]
    return {"proto": "icmp", "status": "ok", "hops": hops}


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("1.0.0.0", Owner(13335, "CLOUDFLARENET")),
        ("1.0.0.255", Owner(13335, "CLOUDFLARENET")),
        ("1.0.2.9", None),  # announced by nobody
        ("0.255.255.255", None),  # before the first range
        ("8.8.9.0", None),  # between two
        ("9.9.9.9", Owner(4200000000, "<script>alert(1)</script>")),  # as text, on one printable line
        ("255.255.255.255", None),
        ("2001:4860::8888", Owner(15169, "GOOGLE")),
        ("2001:4861::1", None),
        ("5.5.5.5", None),
    ],
)
def test_the_table_knows_the_owner_of_a_range(address: str, wanted: Owner | None) -> None:
    assert Table.of(LINES.splitlines()).owner(address) == wanted


def test_the_lines_need_not_be_in_order() -> None:
    table = Table.of(reversed(LINES.splitlines()))
    assert (table.owner("1.0.0.7"), len(table)) == (Owner(13335, "CLOUDFLARENET"), 4)


def test_a_file_is_read_zipped_or_not_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "ip2asn.tsv.gz"
    file.write_bytes(gzip.compress(LINES.encode()))
    first = networks.book(file)
    assert first is not None and first.owner("8.8.8.8") == Owner(15169, "GOOGLE")
    assert networks.book(file) is first
    file.write_text("8.8.8.0\t8.8.8.255\t64500\tUS\tSOMEBODY ELSE\n")
    os.utime(file, ns=(1, 1))
    again = networks.book(file)
    assert again is not None and again.owner("8.8.8.8") == Owner(64500, "SOMEBODY ELSE")


@pytest.mark.parametrize("text", [None, b"\x1f\x8bnot really zipped"])
def test_a_file_that_is_not_there_or_broken_is_no_book(tmp_path: Path, text: bytes | None) -> None:
    file = tmp_path / "table"
    if text is not None:
        file.write_bytes(text)
    assert networks.book(file) is None
    assert networks.book("") is None


def test_hops_are_given_their_owners_and_private_ones_none() -> None:
    path = way("10.0.0.1", None, "100.64.0.1", "1.0.0.7", "8.8.8.8")
    said = asyncio.run(networks.annotate([path], Table.of(LINES.splitlines())))
    assert [hop.get("asn", "-") for hop in path["hops"]] == [None, "-", None, 13335, 15169]
    assert path["hops"][4]["as_name"] == "GOOGLE"
    assert said == {"source": "table", "complete": True}


def test_without_a_table_and_without_a_resolver_it_says_so() -> None:
    path = way("8.8.8.8")
    assert asyncio.run(networks.annotate([path], None, servers=())) == {"source": "none", "complete": False}
    assert path["hops"][0]["asn"] is None


class Cymru(asyncio.DatagramProtocol):
    """Team Cymru's DNS for one network; silent for another."""

    asked: list[str]

    def connection_made(self, transport: Any) -> None:
        self.transport, self.asked = transport, []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text().rstrip(".")
        self.asked.append(name)
        texts = {
            "8.8.8.8.origin.asn.cymru.com": '"15169 36040 | 8.8.8.0/24 | US | arin | 1992-12-01"',
            "AS15169.asn.cymru.com": '"15169 | US | arin | 2000-03-30 | GOOGLE, US"',
        }
        if name.startswith("9."):
            return
        reply = dns.message.make_response(query)
        if name in texts:
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", texts[name]))
        else:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(reply.to_wire(), addr)


async def by_dns(paths: list[list[str]], seconds: float = 1.0) -> tuple[list[Way], list[dict[str, Any]], list[str]]:
    """Annotated one after the other by such a server; what was said, and what it was asked."""
    origins._remembered.clear()
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Cymru, local_addr=("127.0.0.1", 0))
    place = Server("127.0.0.1", transport.get_extra_info("sockname")[1])
    ways = [way(*path) for path in paths]
    said = [await networks.annotate([one], None, servers=[place], seconds=seconds) for one in ways]
    transport.close()
    return ways, said, server.asked


def test_by_dns_neighbours_share_a_question_and_answers_are_remembered() -> None:
    (first, second), said, asked = asyncio.run(by_dns([["8.8.8.8", "8.8.8.9", "10.0.0.1"], ["8.8.8.8"]]))
    assert [(hop["asn"], hop["as_name"]) for hop in first["hops"]] == [(15169, "GOOGLE, US")] * 2 + [(None, "")]
    assert second["hops"][0]["asn"] == 15169
    assert len(asked) == 2 and said[0] == {"source": "dns", "complete": True}


def test_what_dns_does_not_answer_in_time_is_unknown_and_said_to_be() -> None:
    (path,), said, _ = asyncio.run(by_dns([["8.8.8.8", "9.9.9.9", "7.7.7.7"]], seconds=3))
    assert [hop["asn"] for hop in path["hops"]] == [15169, None, None]
    assert said == [{"source": "dns", "complete": False}]


@pytest.mark.parametrize("text", ["", '"NA | | |"', '"99999999999 | x"', '"x"', '"-5 | 1.2.3.0/24"'])
def test_what_cannot_be_a_number_is_none(text: str) -> None:
    assert origins.read_origin(text) == 0


def test_questions_are_named_backwards() -> None:
    assert origins.origin_name("8.8.4.4") == "4.4.8.8.origin.asn.cymru.com"
    assert origins.origin_name("2001:4860::1") == "0.0.0.0.0.0.0.0.0.6.8.4.1.0.0.2.origin6.asn.cymru.com"
