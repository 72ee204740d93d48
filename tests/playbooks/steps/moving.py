"""How does a test move a record? The step and its name server, by the key that may change it; and answers in a server's place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.message
import dns.rcode

from playbooks.steps.dns_rfc2136 import NameServer
from playbooks.steps.dns_swap import DnsSwap
from tests.playbooks.steps.knot import KEY, SECRETS, ZONE
from tests.playbooks.steps.scene import made


def swap(place: str, label: str = "www", **more: Any) -> DnsSwap:
    given = {
        "zone": ZONE, "name": f"{label}.{ZONE}", "values": ["192.0.2.20"], "ttl": 60, "server": place, "key_name": KEY, "key_secret": SECRETS[KEY],
    }  # fmt: skip
    step = made("dns_swap", **{**given, **more})
    assert isinstance(step, DnsSwap)
    return step


def name_server(place: str, label: str = "www", record_type: str = "A", key: str = KEY) -> NameServer:
    return NameServer(
        place, zone=ZONE, name=f"{label}.{ZONE}", record_type=record_type, key_name=key, algorithm="hmac-sha256", secret=SECRETS[key]
    )  # fmt: skip


def signed(code: str) -> Callable[[bytes], bytes]:
    """The server's own answer of this code, signed as servers do that know the key and refuse (BIND)."""

    def answer(message: bytes) -> bytes:
        said = dns.message.make_response(dns.message.from_wire(message, keyring=name_server("127.0.0.1").keyring))
        said.set_rcode(dns.rcode.from_text(code))
        return said.to_wire()

    return answer
