"""Where must nothing lead that somebody else typed? Every spelling we know, as hosts, with ports, as whole URLs."""

from __future__ import annotations

from tests.outbound.test_guard import OTHER_URLS, REFUSED_BY_ADDRESS, REFUSED_BY_SPELLING

# Names that everybody knows to mean this machine or its cloud; refused without asking anybody.
NAMES = (
    *("localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"),
    *("metadata.google.internal", "Metadata.Google.Internal.", "metadata.goog", "instance-data.ec2.internal"),
)
_ADDRESSES = tuple(a for a in REFUSED_BY_ADDRESS if a and "%" not in a and "/" not in a and " " not in a)
# The parts of a URL after its scheme: host, or host and port.
AUTHORITIES = (*(f"[{a}]" if ":" in a else a for a in _ADDRESSES), *REFUSED_BY_SPELLING, *NAMES)
HOSTS = (*_ADDRESSES, *(h for h in REFUSED_BY_SPELLING if not set(h) & set(":[@")), *NAMES)
# White space around an address is not kept anywhere, so it is no reason to refuse one.
OTHERS = tuple(url for url in OTHER_URLS if url == url.strip())


def instead(good: str, authority: str) -> str:
    """A URL that is taken, with another authority: nothing else about it can be the reason of a refusal."""
    scheme, _, rest = good.partition("://")
    _, slash, path = rest.partition("/")
    return f"{scheme}://{authority}{slash}{path}"
