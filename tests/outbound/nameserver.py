"""What does the name server say? A small one on loopback whose answers, silences and lies the test chooses."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SILENT = "silent"  # no answer, ever
FAILURES = {"nxdomain": dns.rcode.NXDOMAIN, "servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED}


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """``names``: name → addresses, or one of FAILURES, or SILENT; ``turns``: name → one list per question, in turn; ``aliases``: name → the name it is a CNAME of."""

    names: dict[str, list[str] | str] = field(default_factory=dict)
    turns: dict[str, list[list[str]]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    ttl: int = 30
    silent_for_ipv6: bool = False
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        bound = self._transport.get_extra_info("socket")
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)  # a burst of questions must not be lost here
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text().rstrip(".").lower()
        ipv6 = question.rdtype == dns.rdatatype.AAAA
        if not ipv6:
            self.asked[name] += 1
        response = dns.message.make_response(query)
        while name in self.aliases:
            owner, name = name, self.aliases[name]
            response.answer.append(dns.rrset.from_text(f"{owner}.", self.ttl, "IN", "CNAME", f"{name}."))
        answer = self.names.get(name, "nxdomain")
        if name in self.turns and not ipv6:
            turns = self.turns[name]
            answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if answer == SILENT or (ipv6 and self.silent_for_ipv6):
            return
        if isinstance(answer, str):
            response.set_rcode(FAILURES[answer])
        else:
            fitting = [address for address in answer if (":" in address) == ipv6]
            if fitting:
                kind = "AAAA" if ipv6 else "A"
                response.answer.append(dns.rrset.from_text_list(f"{name}.", self.ttl, "IN", kind, fitting))
        self._transport.sendto(response.to_wire(), addr)
