"""May a channel be saved with this address? Refuses private ones early, with a sentence; the guard decides when sending.

A name that cannot be looked up now passes: it may exist by the time a message goes out, and every address is checked
again then.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from alerts.channels.base import ChannelConfig
from portal.names import Unresolved, addresses_of
from portal.outbound.guard import Blocked, Reach, check_address, check_url, check_written, parse_host

LOOKUP_SECONDS = 2.0


def refuse_private(target: str, allow: Iterable[IPv4Network | IPv6Network]) -> None:
    """ValueError with a sentence when the URL or host is, or stands for, an address that may not be reached."""
    host = check_url(target).host if "://" in target else parse_host(target)
    reach = Reach(allow=tuple(allow))
    try:
        check_written(host, reach)
        for address in addresses_of(host, LOOKUP_SECONDS):
            check_address(address, reach)
    except Unresolved:
        return
    except Blocked as error:
        raise ValueError(str(error)) from None


def refuse_private_targets(config: ChannelConfig, allow: Iterable[IPv4Network | IPv6Network]) -> None:
    """The same for every host and URL that a person typed into a channel's settings (its `reaches()`)."""
    allowed = tuple(allow)
    reaches = getattr(config, "reaches", tuple)
    for target in reaches():
        refuse_private(target, allowed)


def _strip(value: object) -> object:
    if isinstance(value, SecretStr):
        return SecretStr(value.get_secret_value().strip())
    return value.strip() if isinstance(value, str) else value


def _checked(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if url:
        check_url(url)
    return value


# A URL that may carry its secret in the path or the query: it prints as a mask.
HookUrl = Annotated[SecretStr, Field(max_length=2000), BeforeValidator(_strip), AfterValidator(_checked)]


def _given(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("Enter the URL.")
    return value


RequiredHookUrl = Annotated[HookUrl, AfterValidator(_given)]


def _host(value: str) -> str:
    return parse_host(value) if value else ""


Host = Annotated[str, Field(max_length=255), BeforeValidator(_strip), AfterValidator(_host)]


def readable(url: str) -> str:
    """Where a hook URL goes, without what may be secret in it: `https://hooks.slack.com/…`."""
    try:
        parts = check_url(url)
    except ValueError:
        return ""
    origin = parts.url.removesuffix(parts.target)
    return origin if parts.target == "/" else f"{origin}/…"
