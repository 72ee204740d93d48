"""How is a record set changed on a name server of one's own? One signed UPDATE message, over TCP, with what was read before
as its condition: RFC 2136, signed as RFC 8945 says.

The server changes everything or nothing, and nothing at all when somebody else was faster. Reading is signed as well, so
a wrong key shows before anything is sent, and nobody on the way can invent an answer.
"""

from __future__ import annotations

import re
import socket
import time
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
from django.conf import settings

from monitors.checks.dns import shown
from playbooks.steps.base import NotDone, Unsure
from playbooks.steps.dns_records import CannotRead, RecordSet
from portal.names import Unresolved, addresses_of
from portal.outbound.guard import Blocked, Reach, check_address, parse_host

LOOKUP, CONNECT, ANSWER = 3.0, 5.0, 10.0  # seconds, each at most
_PLACE: Final = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)

CHANGED: Final = "It was changed by somebody else in this very moment, or comes from a wildcard: nothing was changed."
# What the server says of an update that it did not carry out (RFC 2136, 2.2 and 3).
REFUSALS: Final = {
    "FORMERR": "The server did not understand the update.",
    "NOTIMP": "The server takes no dynamic updates.",
    "REFUSED": "The server refuses the update: its policy does not let this key change this name.",
    "NOTAUTH": "The server does not keep this zone, or does not take updates for it from this key.",
    "NOTZONE": "The name does not lie in this zone.",
    "NXDOMAIN": CHANGED,
    "YXDOMAIN": CHANGED,
    "NXRRSET": CHANGED,
    "YXRRSET": CHANGED,
}
UNREAD: Final = {
    "REFUSED": "The server refuses to answer for this zone: does it keep it, and may this key ask?",
    "NOTAUTH": "The server does not keep this zone, or does not know this key.",
    "SERVFAIL": "The server cannot answer for this zone now (SERVFAIL).",
}
_KEYS: Final = (
    (dns.tsig.PeerBadKey, "The server does not take this TSIG key (BADKEY): its name or algorithm is another there, or it may not do this."),
    (dns.tsig.PeerBadSignature, "The server does not accept the TSIG signature (BADSIG): the key's secret is another there."),
    (dns.tsig.PeerBadTime, "The server's clock and ours differ by more than five minutes (BADTIME): set them (NTP)."),
    (dns.tsig.PeerError, "The server does not accept the TSIG signature."),
)  # fmt: skip
UNSIGNED: Final = "the answer is not signed with this key, so it proves nothing."


def split_place(text: str) -> tuple[str, int]:
    """(host, port) of "ns1.example.com", "192.0.2.53:5353" or "[2001:db8::53]:53". ValueError with an example."""
    match = _PLACE.fullmatch(text.strip())
    port = int(match["port"] or 53) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ValueError("Write host or host:port, such as ns1.example.com:53 or [2001:db8::53]:53.")
    return parse_host(match["six"] or match["host"]), port


class _Silent(Exception):
    """No answer that counts. `sent`: the whole message may have reached the server."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class NameServer:
    """A name server that takes dynamic updates of a zone, for one name and type."""

    def __init__(
        self, server: str, *, zone: str, name: str, record_type: str, key_name: str, algorithm: str, secret: str
    ) -> None:
        self.host, self.port = split_place(server)
        self.zone, self.name = dns.name.from_text(zone), dns.name.from_text(name)
        self.type = dns.rdatatype.from_text(record_type)
        owner = dns.name.from_text(key_name)
        self.keyring = {owner: dns.tsig.Key(owner, secret, dns.name.from_text(algorithm))}
        self.owner, self.algorithm = owner, dns.name.from_text(algorithm)

    def read(self) -> RecordSet:
        """What this very server says that the name holds."""
        question = dns.message.make_query(self.name, self.type, flags=0)
        question.use_tsig(self.keyring, self.owner, algorithm=self.algorithm)
        try:
            answer = self._ask(question)
        except _Silent as error:
            raise CannotRead(str(error)) from None
        code = dns.rcode.to_text(answer.rcode())
        if code not in ("NOERROR", "NXDOMAIN"):
            raise CannotRead(UNREAD.get(code, f"The server answered {code}."))
        if not answer.had_tsig:
            raise CannotRead(f"The name server answers, but {UNSIGNED}")
        if not answer.flags & dns.flags.AA:
            raise CannotRead("The server does not keep this zone itself: ask its primary server.")
        return self._held(answer)

    def _held(self, answer: dns.message.Message) -> RecordSet:
        for rrset in answer.answer:
            if rrset.name != self.name:
                continue
            if rrset.rdtype == self.type:
                word = dns.rdatatype.to_text(self.type)
                return RecordSet.of([shown(data, word) for data in rrset], rrset.ttl, word)
            if rrset.rdtype == dns.rdatatype.CNAME:
                raise CannotRead("The name is an alias (CNAME), so it has no such records of its own.")
        return RecordSet()

    def fitted(self, wanted: RecordSet, old: RecordSet) -> RecordSet:
        """As it is."""
        return wanted

    def replace(self, old: RecordSet, new: RecordSet) -> str:
        """One UPDATE: if the name still holds exactly `old`, it holds `new` from now on."""
        try:
            answer = self._ask(self._update(old, new))
        except _Silent as error:
            raise (Unsure if error.sent else NotDone)(str(error)) from None
        except CannotRead as error:  # the server did not accept the signature: such a message is thrown away
            raise NotDone(str(error)) from None
        code = dns.rcode.to_text(answer.rcode())
        if not answer.had_tsig:
            raise Unsure(f"The server answered {code}, but {UNSIGNED}")
        if code == "NOERROR":
            return ""
        if code in REFUSALS:
            raise NotDone(REFUSALS[code])
        raise Unsure(f"The server answered {code} to the update: it may have failed half-way.")

    def _update(self, old: RecordSet, new: RecordSet) -> dns.update.UpdateMessage:
        message = dns.update.UpdateMessage(
            self.zone, keyring=self.keyring, keyname=self.owner, keyalgorithm=self.algorithm
        )
        if old.values:
            for value in old.values:
                message.present(self.name, self.type, self._text(value))
        elif self.type == dns.rdatatype.CNAME:
            message.absent(self.name)  # beside other records the server would leave an alias out without a word
        else:
            message.absent(self.name, self.type)
            message.absent(self.name, dns.rdatatype.CNAME)
        if new.values:
            message.replace(self.name, new.ttl, self.type, *map(self._text, new.values))
        else:
            message.delete(self.name, self.type)
        return message

    def _text(self, value: str) -> str:
        return f"{value}." if self.type == dns.rdatatype.CNAME else value

    # --- One message there, one back ----------------------------------------------------------------------------------
    def _ask(self, message: dns.message.Message) -> dns.message.Message:
        """The server's answer. _Silent without one; CannotRead when the server does not accept our signature."""
        wire = message.to_wire()
        with self._connect() as connection:
            raw = _exchange(connection, len(wire).to_bytes(2, "big") + wire, time.monotonic() + ANSWER)
        try:
            answer = dns.message.from_wire(raw, keyring=self.keyring, request_mac=message.mac)
        except dns.tsig.PeerError as error:
            raise CannotRead(next(said for kind, said in _KEYS if isinstance(error, kind))) from None
        except dns.tsig.BadTime:
            raise _Silent("The server's answer is older than five minutes: its clock and ours differ (NTP).", sent=True) from None  # fmt: skip
        except (dns.exception.DNSException, ValueError):
            answer = _unsigned(raw)
        if not message.is_response(answer):
            raise _Silent("The server answered something else than it was asked.", sent=True)
        return answer

    def _connect(self) -> socket.socket:
        """A connection to the first checked address that takes one."""
        try:
            addresses = addresses_of(self.host, LOOKUP)
            for address in addresses:
                check_address(address, Reach(allow=tuple(settings.OUTBOUND_ALLOW)))
        except (Unresolved, Blocked) as error:
            raise _Silent(f"The name server cannot be asked. {error}", sent=False) from None
        why, until = "has no address", time.monotonic() + CONNECT
        for tried, address in enumerate(addresses):
            try:
                share = max(0.1, until - time.monotonic()) / (len(addresses) - tried)
                return socket.create_connection((address, self.port), share)
            except TimeoutError:
                why = "does not answer"
            except ConnectionRefusedError:
                why = "refuses the connection"
            except OSError:
                why = "cannot be reached from here"
        raise _Silent(f"The name server {why}.", sent=False)


def _unsigned(raw: bytes) -> dns.message.Message:
    """What the server said without its signature: worth a sentence, and no proof (`had_tsig` is False)."""
    try:
        answer = dns.message.from_wire(raw, keyring=False, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        raise _Silent("The server's answer cannot be read.", sent=True) from None
    if answer.had_tsig:
        raise _Silent("The server's answer is signed with another key.", sent=True)
    return answer


def _exchange(connection: socket.socket, message: bytes, until: float) -> bytes:
    """Send one message and read one. _Silent: unsent unless the last byte of it had gone out."""
    try:
        left = memoryview(message)
        while left:
            connection.settimeout(_left(until))
            left = left[connection.send(left) :]
    except OSError:
        raise _Silent("The connection to the name server broke before the message was sent.", sent=False) from None
    try:
        return _read(connection, int.from_bytes(_read(connection, 2, until), "big"), until)
    except TimeoutError:
        raise _Silent("The name server took the message and did not answer in time.", sent=True) from None
    except (OSError, EOFError):
        raise _Silent("The name server took the message and closed the connection without an answer.", sent=True) from None  # fmt: skip


def _read(connection: socket.socket, count: int, until: float) -> bytes:
    found = b""
    while len(found) < count:
        connection.settimeout(_left(until))
        chunk = connection.recv(count - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
