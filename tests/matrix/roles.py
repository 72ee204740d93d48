"""Who asks? Each role of the MSP and of Acme, the same three of Globex, somebody of no client, and nobody."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from portal.models import User
from tests import cast

MSP, OWN, OTHER, NONE = "the MSP", "Acme", "Globex", "no client"


@dataclass(frozen=True, slots=True)
class Who:
    """A role, and where it is held: with the MSP, with the client that owns what is asked for, or with another."""

    name: str
    role: str
    side: str
    make: Callable[[], User] | None

    @property
    def elsewhere(self) -> bool:
        """Somebody for whom Acme's rows do not exist."""
        return self.side in (OTHER, NONE)


def _of_globex(role: str) -> Callable[[], User]:
    return lambda: cast.person(f"{role}@globex.example", role, cast.globex())


EVERYBODY = (
    Who("owner", "owner", MSP, cast.make_owner),
    Who("staff", "staff", MSP, cast.make_staff),
    Who("auditor", "auditor", MSP, cast.make_auditor),
    Who("client admin", "admin", OWN, cast.alice),
    Who("client approver", "approver", OWN, cast.approver),
    Who("client viewer", "viewer", OWN, cast.viewer),
    Who("other client's admin", "admin", OTHER, cast.mallory),
    Who("other client's approver", "approver", OTHER, _of_globex("approver")),
    Who("other client's viewer", "viewer", OTHER, _of_globex("viewer")),
    Who("of no client", "", NONE, cast.stranger),
    Who("anonymous", "", NONE, None),
)
_ALIKE = (
    ("owner", "staff"),
    ("auditor", "client viewer"),
    ("other client's admin", "other client's approver", "other client's viewer", "of no client"),
)


def sample(chance: random.Random) -> list[Who]:
    """One each of those whom most addresses answer alike, and all the others; another one from call to call."""
    out = {name for names in _ALIKE for name in names} - {chance.choice(names) for names in _ALIKE}
    return [who for who in EVERYBODY if who.name not in out]


PEOPLE = tuple(who for who in EVERYBODY if who.make)
