"""Does the dns check ask the right server and compare the right sets?"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status
from tests.checks.lab import check, patience

ZONE = {
    ("shop.example.com.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("shop.example.com.", "AAAA"): ["2001:db8::1"],
    ("example.com.", "MX"): ["10 Mail.example.com."],
    ("example.com.", "TXT"): ['"v=spf1 " "-all"', '"plain, with comma"'],
    ("www.example.com.", "CNAME"): ["shop.example.com."],
    ("big.example.com.", "A"): [f"198.51.100.{n}" for n in range(1, 200)],
}


def answer(wire: bytes, udp: bool) -> bytes | None:
    """The reply of a small name server; names say how it misbehaves."""
    query = dns.message.from_wire(wire)
    question = query.question[0]
    name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
    if name.startswith("silent"):
        return None
    if name.startswith("rubbish"):
        return wire[:2] + b"\x80\x00\xff\xff"
    reply = dns.message.make_response(query)
    if name.startswith("servfail"):
        reply.set_rcode(dns.rcode.SERVFAIL)
    elif not any(name == known for known, _ in ZONE):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    alias = ZONE.get((name, "CNAME"))
    if alias and kind != "CNAME":
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", *alias))
        name = alias[0]
    if (name, kind) in ZONE:
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *ZONE[name, kind]))
    if name.startswith("shop") and query.flags & dns.flags.AD:
        reply.flags |= dns.flags.AD
    full = reply.to_wire(max_size=65535)
    if udp and len(full) > 512:
        short = dns.message.make_response(query)
        short.flags |= dns.flags.TC
        return short.to_wire()
    return full


class Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, sock = self.request
        if reply := answer(wire, udp=True):
            sock.sendto(reply, self.client_address)


class Tcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = self.request.recv(2)
        if len(head) == 2 and (reply := answer(self.request.recv(int.from_bytes(head)), udp=False)):
            self.request.sendall(len(reply).to_bytes(2) + reply)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Udp)
    place = udp.server_address
    tcp = socketserver.ThreadingTCPServer(place, Tcp)
    for one in (udp, tcp):
        threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{place[1]}"
    for one in (udp, tcp):
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize(
    ("config", "error_class"),
    [
        ({"name": "shop.example.com"}, ""),
        ({"name": "shop.example.com", "expected": ["192.0.2.2", "192.0.2.1"]}, ""),
        ({"name": "shop.example.com", "expected": "192.0.2.1, 192.0.2.2"}, ""),
        ({"name": "shop.example.com", "expected": ["192.0.2.1"]}, "content"),
        ({"name": "shop.example.com", "expected": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}, "content"),
        ({"name": "shop.example.com", "record_type": "AAAA", "expected": ["2001:DB8:0::1"]}, ""),
        ({"name": "example.com", "record_type": "MX", "expected": ["10 mail.EXAMPLE.com"]}, ""),
        ({"name": "example.com", "record_type": "TXT", "expected": ['"v=spf1 -all"', "plain, with comma"]}, ""),
        ({"name": "example.com", "record_type": "TXT", "expected": "v=spf1 -all\nplain, with comma"}, ""),
        ({"name": "www.example.com", "expected": ["192.0.2.1", "192.0.2.2"]}, ""),  # aliases are followed
        ({"name": "www.example.com", "record_type": "CNAME", "expected": ["shop.example.com"]}, ""),
        ({"name": "shop.example.com", "dnssec": True}, ""),
        ({"name": "example.com", "record_type": "MX", "dnssec": True}, "dns"),
        ({"name": "gone.example.com"}, "dns"),
        ({"name": "example.com", "record_type": "A"}, "dns"),
        ({"name": "servfail.example.com"}, "dns"),
        ({"name": "silent.example.com"}, "timeout"),
        ({"name": "rubbish.example.com"}, "protocol"),
        ({"name": "big.example.com"}, ""),  # too big for UDP: asked again by TCP
    ],
)
def test_answers(server: str, config: dict[str, Any], error_class: str) -> None:
    outcome = check("dns", {"resolver": server, **config}, timeout=patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING if error_class else Status.UP, error_class), outcome
    assert outcome.total_ms is not None


def test_what_it_found_is_kept(server: str) -> None:
    outcome = check("dns", {"resolver": server, "name": "shop.example.com", "expected": ["192.0.2.9"]})
    facts = outcome.facts["dns"]
    assert facts["answers"] == ["192.0.2.1", "192.0.2.2"] and facts["ad"] and facts["rcode"] == "NOERROR"
    assert outcome.message == "The records differ: missing 192.0.2.9; unexpected 192.0.2.1, 192.0.2.2"


@pytest.mark.parametrize(
    "config",
    [
        {"expected": ["not an address"]},
        {"expected": ["2001:db8::1"]},
        {"record_type": "MX", "expected": ["mail.example.com"]},
        {"record_type": "ANY"},
        {"resolver": "1.1.1.1:99999"},
        {"resolver": "0x7f.1"},
        {"resolver": "9.9.9.9;id"},
        {"name": "a b"},
        {"name": "-x_"},
        {"name": "a\r\nb"},
    ],
)
def test_settings_that_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("dns", {"name": "example.com", **config})


@pytest.mark.parametrize("name", ["_dmarc.example.com", "selector1._domainkey.example.com", "example.com."])
def test_names_that_only_dns_has(name: str) -> None:
    checks.parse("dns", {"name": name, "record_type": "TXT"})


@pytest.mark.parametrize("resolver", ["9.9.9.9", "127.0.0.1:5353", "[::1]:53", "[2620:fe::fe]", "dns.example.com:53"])
def test_resolvers(resolver: str) -> None:
    checks.parse("dns", {"name": "example.com", "resolver": resolver})
