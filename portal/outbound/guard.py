"""May an outbound request go to this host, this URL, this address?

Three questions, asked in this order by every sink (monitors, webhooks, playbook calls):

* ``check_url`` / ``parse_host`` (in ``target``): is the text a plain, unambiguous target? Everything two parsers could
  read differently (``0x7f.1``, ``a.com\\@127.0.0.1``, circled digits, zone ids, user info) is refused.
* ``check_written``: does the text itself name a forbidden place (an address, ``localhost``)? Asked when it is saved.
* ``check_address``: may the address the name stands for be dialled? It is asked for every resolved address and again
  for the one really dialled, so a name that changes its mind between two look-ups gains nothing.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from portal.outbound.target import SplitURL, check_url, parse_host

__all__ = ["Blocked", "Reach", "SplitURL", "check_address", "check_url", "check_written", "parse_host"]

ASK_STAFF: Final = "If it is meant to be reached, staff can add it to OUTBOUND_ALLOW."
ASK_PROBE: Final = "Watch it from a private probe at that site, or let staff add it to OUTBOUND_ALLOW."


@dataclass(frozen=True, slots=True)
class Reach:
    """What one outbound request may reach.

    ``allow`` wins over every rule but ``deny`` (the portal's own database, broker and the like). ``private`` opens
    RFC 1918 and ULA ranges only; loopback, link-local, metadata services, CGNAT, multicast … still need ``allow``.
    """

    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    private: bool = False
    deny: tuple[IPv4Network | IPv6Network, ...] = ()


class Blocked(Exception):
    """The guard said no. ``str()`` is a sentence safe to show (it names the cure and never the address)."""

    def __init__(self, address: str, reason: str, cure: str = ASK_STAFF) -> None:
        super().__init__(f"Blocked: the target's address is {reason}. {cure}")
        self.address = address
        self.reason = reason


_METADATA: Final = frozenset(
    ip_address(a)
    for a in (
        "169.254.169.254",  # AWS, Azure, GCP, OpenStack, DigitalOcean …
        "169.254.170.2",  # AWS ECS task credentials
        "168.63.129.16",  # Azure wire server: a public address that is always the host
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS over IPv6: a ULA, so `private` alone must not open it
        "fd20:ce::254",  # GCP over IPv6, a ULA too
    )
)
_PRIVATE: Final = tuple(ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
_BLOCKED: Final = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified (it means this machine)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("100.64.0.0/10", "in the carrier-grade NAT range"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::1/128", "loopback"),
        ("::/96", "unspecified or an obsolete IPv4-compatible form"),
        ("100::/64", "a discard address"),
        ("2001::/23", "reserved (Teredo and other protocols)"),
        ("2001:db8::/32", "reserved for documentation"),
        ("3fff::/20", "reserved for documentation"),
        ("5f00::/16", "reserved (segment routing)"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_UNICAST: Final = ip_network("2000::/3")  # all that has ever been given out
_NAT64: Final = ip_network("64:ff9b::/96")
_NAT64_LOCAL: Final = ip_network("64:ff9b:1::/48")
_6TO4: Final = ip_network("2002::/16")
_TRANSLATED: Final = ip_network("::ffff:0:0:0/96")  # SIIT, RFC 2765
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


# Names that mean a forbidden address wherever they are looked up, and the address they are judged as.
_THIS_MACHINE: Final = frozenset(("localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"))
_METADATA_NAMES: Final = frozenset(("metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"))


def check_written(host: str, reach: Reach) -> None:
    """Raise ``Blocked`` when the text of a host (as ``parse_host`` gives it) already says that it may not be dialled.

    Nothing is looked up: what any other name stands for is judged each time it is dialled.
    """
    name = host.lower().rstrip(".")
    if name in _THIS_MACHINE or name.endswith(".localhost"):
        check_address("127.0.0.1", reach)
    elif name in _METADATA_NAMES:
        check_address("169.254.169.254", reach)
    elif _is_address(name):
        check_address(name, reach)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def check_address(ip: str, reach: Reach) -> None:
    """Raise ``Blocked`` unless ``ip`` (text of one IPv4 or IPv6 address) may be dialled under ``reach``."""
    refusal = _refusal(ip, reach)
    if refusal is not None:
        raise Blocked(ip, *refusal)


@lru_cache(maxsize=16384)
def _refusal(ip: str, reach: Reach) -> tuple[str, str] | None:
    """(reason, cure) or None. Cached: the same few thousand targets come back every few seconds."""
    if "%" in ip:
        return "bound to a network interface (zone id)", ASK_STAFF
    try:
        address = ip_address(ip)
    except ValueError:
        return "not an IP address", "Check the target's spelling."
    return _judge(address, reach)


def _judge(address: IPv4Address | IPv6Address, reach: Reach) -> tuple[str, str] | None:
    inner, same_machine = _embedded(address) if isinstance(address, IPv6Address) else (None, False)
    if same_machine and inner is not None:  # the kernel dials the IPv4 address itself, so only that one counts
        return _judge(inner, reach)
    if _within(address, reach.deny):
        return "one of the portal's own", "It cannot be opened."
    if _within(address, reach.allow):
        return None
    if address in _METADATA:
        return "a cloud metadata service", ASK_STAFF
    if _within(address, _PRIVATE):
        return None if reach.private else ("private", ASK_PROBE)
    for network, reason in _BLOCKED:
        if address in network:
            return reason, ASK_STAFF
    if inner is not None:  # NAT64, 6to4, ISATAP: a gateway will go on to the IPv4 address inside
        refusal = _judge(inner, reach)
        if refusal is not None:
            return f"a wrapper around an address that is {refusal[0]}", refusal[1]
        if address in _NAT64 or address in _NAT64_LOCAL:  # outside of the unicast range, but the one inside counts
            return None
    public = address.is_global and (address.version == 4 or address in _UNICAST)
    return None if public else ("not public", ASK_STAFF)


def _within(address: IPv4Address | IPv6Address, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)


def _embedded(address: IPv6Address) -> tuple[IPv4Address | None, bool]:
    """The IPv4 address inside, and whether dialling the outer one is the same as dialling the inner one."""
    value = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped, True
    if address in _TRANSLATED:
        return IPv4Address(value & 0xFFFFFFFF), True
    if address in _NAT64:
        return IPv4Address(value & 0xFFFFFFFF), False
    if address in _NAT64_LOCAL:
        return _nat64_local(value), False
    if address in _6TO4:
        return IPv4Address((value >> 80) & 0xFFFFFFFF), False
    if (value >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(value & 0xFFFFFFFF), False
    return None, False


def _nat64_local(value: int) -> IPv4Address:
    """The IPv4 address inside 64:ff9b:1::/48 for the /96 and /48 layouts of RFC 6052, whichever is less public.

    The prefix length in use is the network's secret, so the dangerous reading wins.
    """
    tail = IPv4Address(value & 0xFFFFFFFF)
    spread = IPv4Address((((value >> 64) & 0xFFFF) << 16) | ((value >> 40) & 0xFFFF))
    return tail if not tail.is_global else spread if int(spread) and not spread.is_global else tail
