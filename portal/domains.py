"""Is this a public host name, and whose is it? A name is proved by a TXT record below it that shows a mark of ours.

Without the proof anybody could have a name answered that still points here. Asked when a person presses, outside every
transaction, within `SECONDS`.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Callable
from typing import Final

import dns.exception
import dns.resolver
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http.request import validate_host

from portal.errors import Refused

LABEL: Final = "_watchkeeper"
SECONDS: Final = 6.0
LONGEST: Final = 240  # characters: the record's name below it must fit into 253
PART = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
# Names that no public name server answers for, or that stand for this machine.
NOBODYS: Final = ("localhost", "local", "internal", "invalid", "test", "onion", "arpa", "home", "lan")

Ask = Callable[[str], list[str]]


def normal(text: str, *, example: str) -> str:
    """A domain as it is stored: lower case, in its ASCII form. "" stays; ValidationError says what to write instead."""
    name = text.strip().rstrip(".").lower()
    if not name:
        return ""
    if any(mark in name for mark in "/:@*"):
        raise ValidationError(f"Write the name alone, as {example}: no https://, port, path or star.")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        raise ValidationError(f"An address cannot be proved; write a name, as {example}.")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValidationError(f"This is not a host name; write it as {example}.") from None
    parts = name.split(".")
    if len(name) > LONGEST or len(parts) < 2 or not all(PART.match(part) for part in parts) or parts[-1].isdigit():
        raise ValidationError(f"This is not a host name; write it as {example}.")
    if parts[-1] in NOBODYS:
        raise ValidationError(f"Nobody outside reaches a name below .{parts[-1]}; write a public one.")
    if validate_host(name, settings.ALLOWED_HOSTS):
        raise ValidationError(f"That is this portal's own name; write another one, as {example}.")
    return name


def new_mark() -> str:
    """What the record has to say."""
    return f"watchkeeper-{secrets.token_hex(16)}"


def record(name: str, mark: str) -> tuple[str, str]:
    """(name, text) of the TXT record that proves it; ("", "") without a domain."""
    return (f"{LABEL}.{name}", mark) if name else ("", "")


def ask(name: str, *, nameservers: list[str] | None = None, port: int = 53) -> list[str]:
    """The texts of a name's TXT records, by the machine's name servers. Refused says what to do when there are none."""
    resolver = dns.resolver.Resolver(configure=nameservers is None)
    if nameservers is not None:
        resolver.nameservers, resolver.port = nameservers, port
    resolver.cache = None
    try:
        answer = resolver.resolve(name, "TXT", lifetime=SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        raise Refused(
            f"There is no TXT record at {name} yet. Add it; a new record may take some minutes to be seen."
        ) from None
    except dns.exception.Timeout:
        raise Refused(f"No name server answered for {name} in time. Try again in a minute.") from None
    except dns.exception.DNSException:
        raise Refused(f"The name servers could not answer for {name}. Look whether the domain is delegated.") from None
    return [b"".join(row.strings).decode("utf-8", "replace")[:300] for row in list(answer)[:50]]


def prove(name: str, mark: str, asked: Ask = ask) -> None:
    """Look for the record; Refused says what was seen instead."""
    place, _ = record(name, mark)
    seen = [text.strip() for text in asked(place)]
    if mark not in seen:
        shown = ", ".join(f"“{text[:60]}”" for text in seen[:3]) or "nothing"
        raise Refused(f"The TXT record at {place} says {shown}, not “{mark}”. Change it to that.")
