"""What is expected? A lock says which verb of the table of roles (portal.tenancy.MAY) an address asks for, and of whom."""

from __future__ import annotations

from dataclasses import dataclass

from portal.tenancy import ACK, ADMIN, ADMINISTER, AUDITOR, MAY, OWNER, READ, STAFF, WRITE
from tests.matrix.roles import MSP, Who

LET_IN, REFUSED, UNKNOWN, SIGN_IN, NOT_THAT_WAY = "let in", "refused", "unknown", "sign in", "not that way"


@dataclass(frozen=True, slots=True)
class Lock:
    """`ours`: the verb on a row of the MSP's own, so of its people alone. `known_to`: for other roles it does not exist."""

    verb: str = READ
    ours: bool = False
    known_to: frozenset[str] = frozenset()

    def answer(self, who: Who, *, row: bool) -> str:
        """What `who` is answered; `row`: the address names something of Acme's."""
        if who.make is None:
            return SIGN_IN
        if (row and who.elsewhere) or (self.known_to and who.role not in self.known_to):
            return UNKNOWN
        if self.ours and who.side != MSP:
            return REFUSED
        if not row and self.verb == READ:
            return LET_IN  # a list of what is seen, which may be nothing
        return LET_IN if self.verb in MAY.get(who.role, frozenset()) else REFUSED


_STAFF = frozenset({OWNER, STAFF, AUDITOR})
_MANAGERS = _STAFF | {ADMIN}
READS, WRITES, ANSWERS = Lock(READ), Lock(WRITE), Lock(ACK)
OUR_WRITES = Lock(WRITE, ours=True)  # clients look, the MSP decides
STAFF_READS, STAFF_WRITES = Lock(READ, known_to=_STAFF), Lock(WRITE, known_to=_STAFF)  # no page of clients' at all
OWNERS = Lock(ADMINISTER, known_to=_STAFF)
MANAGERS_READ, MANAGERS_WRITE = Lock(READ, known_to=_MANAGERS), Lock(WRITE, known_to=_MANAGERS)
