"""What does this name server say to this question? One question, one `Answer`; a sick server never makes it raise."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from monitors.checks.dns import split_resolver
from monitors.diagnosis.evidence import Answer

SECONDS = 0.9  # for one try
TRIES = 2
RESOLV_CONF, HOSTS = Path("/etc/resolv.conf"), Path("/etc/hosts")
MOST_SERVERS = 3
MOST_STRANGERS = 20  # packets that answer another question
MOST_VALUES = 10
SILENT = ("timeout", "unreachable")
CODES = {
    dns.rcode.NXDOMAIN: "nxdomain",
    dns.rcode.SERVFAIL: "servfail",
    dns.rcode.REFUSED: "refused",
}


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask, and how it is called in the evidence."""

    address: str
    port: int = 53
    label: str = ""

    def __str__(self) -> str:
        return self.label or (self.address if self.port == 53 else f"{self.address}#{self.port}")


@dataclass(slots=True)
class Reply:
    """What came of one question: a message, or in `status` why not."""

    status: str  # ok | nxdomain | servfail | refused | timeout | unreachable
    ms: float | None = None
    message: dns.message.Message | None = None
    why: str = ""

    @property
    def authoritative(self) -> bool:
        """Did the server speak for its own zone?"""
        return self.message is not None and bool(self.message.flags & dns.flags.AA)

    def records(self, rdtype: str) -> list[dns.rrset.RRset]:
        """The answer's sets of that type."""
        wanted = dns.rdatatype.from_text(rdtype)
        return [found for found in self.message.answer if found.rdtype == wanted] if self.message else []

    def values(self, rdtype: str) -> list[str]:
        """Their values, names without the last dot."""
        return [data.to_text().rstrip(".").lower() or "." for found in self.records(rdtype) for data in found][
            :MOST_VALUES
        ]


@dataclass(frozen=True, slots=True)
class Question:
    """A name and a type. `recursive` is left out for those who own the name; `unchecked` asks for what does not validate."""

    name: str
    rdtype: str = "A"
    recursive: bool = True
    unchecked: bool = False

    def message(self) -> dns.message.Message:
        """The query; AD asks a validating resolver to say that it did (RFC 6840, 5.7)."""
        query = dns.message.make_query(self.name or ".", self.rdtype, use_edns=True)
        query.flags = (query.flags & ~dns.flags.RD) | (dns.flags.RD | dns.flags.AD if self.recursive else 0)
        if self.unchecked:
            query.flags |= dns.flags.CD
        return query


async def ask(server: Server, question: Question, *, seconds: float = SECONDS, tries: int = TRIES) -> Reply:
    """One question by UDP, by TCP when the answer was too long; asked again when nothing came."""
    reply = Reply("timeout", why=f"No answer within {seconds * tries:g} s.")
    try:
        query = question.message()
    except (dns.exception.DNSException, UnicodeError, ValueError):
        return Reply("not_run", why="This is not a name that can be asked for.")
    for _ in range(tries):
        started = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                message = await _exchange(query, server)
        except TimeoutError:
            continue
        except (ConnectionRefusedError, ConnectionResetError):
            return Reply("unreachable", why="Nobody listens there (port unreachable).")
        except OSError as error:
            return Reply("unreachable", why=f"The question could not be sent: {error.strerror or 'no route'}.")
        except (dns.exception.DNSException, EOFError, ValueError):
            return Reply("servfail", why="The answer cannot be read.")
        ms = round((time.perf_counter() - started) * 1000, 3)
        code = message.rcode()
        if code == dns.rcode.NOERROR:
            return Reply("ok", ms, message)
        return Reply(
            CODES.get(code, "servfail"), ms, message, "" if code in CODES else f"Answered {dns.rcode.to_text(code)}."
        )
    return reply


async def _exchange(query: dns.message.Message, server: Server) -> dns.message.Message:
    """The answer to this question. The socket is connected: the kernel drops what others send and tells of ICMP errors."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in server.address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((server.address, server.port))
        await loop.sock_sendall(sock, query.to_wire())
        for _ in range(MOST_STRANGERS):
            try:
                message = dns.message.from_wire(await loop.sock_recv(sock, 65535), ignore_trailing=True)
            except dns.message.Truncated as cut_off:
                message = cut_off.message()  # type: ignore[no-untyped-call]
            if query.is_response(message):
                break
        else:
            raise ValueError("only nonsense came")
    if message.flags & dns.flags.TC:
        message = await dns.asyncquery.tcp(query, server.address, port=server.port)
    return message


def merged(server: str, replies: list[Reply]) -> Answer:
    """One answer of the two questions for A and AAAA: an address of either kind is an answer."""
    addresses = sorted({value for reply in replies for kind in ("A", "AAAA") for value in reply.values(kind)})
    aliases = list(dict.fromkeys(value for reply in replies for value in reply.values("CNAME")))
    good = [reply for reply in replies if reply.status == "ok"]
    speaking = good or replies
    answer: Answer = {"server": server, "status": speaking[0].status}
    if addresses:
        answer["addresses"] = addresses[:MOST_VALUES]
        answer["status"] = "ok"
    elif good:
        # One kind answered "none of that kind", the other perhaps not at all: the failure says more than the absence.
        failed = [reply for reply in replies if reply.status != "ok"]
        answer["status"] = failed[0].status if failed else "nodata"
        speaking = failed or good
    if aliases:
        answer["cname"] = aliases[:MOST_VALUES]
    ttls = [found.ttl for reply in replies for kind in ("A", "AAAA", "CNAME") for found in reply.records(kind)]
    if ttls:
        answer["ttl"] = min(ttls)
    times = [reply.ms for reply in replies if reply.ms is not None]
    if times:
        answer["ms"] = max(times)
    if answer["status"] != "ok" and speaking[0].why:
        answer["why"] = speaking[0].why
    if answer["status"] == "ok" and good:
        validated = all(reply.message is not None and reply.message.flags & dns.flags.AD for reply in good)
        answer["dnssec"] = "secure" if validated else "insecure"
    return answer


async def addresses(server: Server, name: str) -> Answer:
    """A and AAAA at once. SERVFAIL that goes away when nothing is validated is told as DNSSEC "bogus"."""
    replies = await asyncio.gather(*(ask(server, Question(name, kind)) for kind in ("A", "AAAA")))
    answer = merged(str(server), list(replies))
    if answer["status"] == "servfail" and any(reply.message for reply in replies):
        unchecked = await ask(server, Question(name, unchecked=True), tries=1)
        if unchecked.status == "ok" and unchecked.values("A"):
            answer["dnssec"] = "bogus"
            answer["why"] = "The answer does not validate (DNSSEC); without validation there is one."
    return answer


@dataclass(slots=True)
class Local:
    """How this machine looks up names."""

    servers: list[Server] = field(default_factory=list)
    hosts: dict[str, list[str]] = field(default_factory=dict)


def local() -> Local:
    """/etc/resolv.conf and /etc/hosts as they are now."""
    found = Local()
    for words in _lines(RESOLV_CONF):
        if words[0] == "nameserver" and len(words) > 1 and len(found.servers) < MOST_SERVERS:
            try:  # with a port, if it names one, as c-ares reads it for the checks
                found.servers.append(Server(*split_resolver(words[1].partition("%")[0])))
            except ValueError:
                continue
    for address, *names in _lines(HOSTS):
        for name in names:
            found.hosts.setdefault(name.lower().rstrip("."), []).append(address)
    return found


def _lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text("utf-8", "replace")[:100_000]
    except OSError:
        return []
    return [words for line in text.splitlines() if (words := line.split("#")[0].split(";")[0].split())]
