"""Through which settings can somebody choose where the portal connects to? One line each, and what must not be there.

A new kind of channel, check or step with a setting that looks like an address, or is read as one, belongs in here:
`tests/security/test_sinks_are_known.py` fails until it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from alerts import channel_settings, channels
from monitors import checks, rules
from monitors.models import Monitor
from playbooks import step_settings, steps
from portal.api.resources import check_hook
from portal.outbound.guard import Reach
from portal.secrets import Sealed
from statuspages import addresses as readers
from statuspages.models import Page
from tests.alerts.test_channels_contract import example as channel_example
from tests.checks.test_contract import FULL as CHECKS
from tests.playbooks.steps.scene import example as step_example

URL, HOST, PLACE = "URL", "host", "host:port"


@dataclass(frozen=True, slots=True)
class Sink:
    """`save(text)` raises ValueError or ValidationError for what is refused; `good` is a text that it takes."""

    name: str
    form: str
    good: str
    save: Callable[[str], object]


# (kind, field) -> (form, a good text). What a kind needs besides stands in `BESIDE`.
CHANNELS: dict[tuple[str, str], tuple[str, str]] = {
    ("email", "smtp_host"): (HOST, "mail.example.com"),
    ("slack", "url"): (URL, ""),
    ("slack", "api_url"): (URL, "https://slack.example.com/api"),
    ("discord", "url"): (URL, ""),
    ("telegram", "api_url"): (URL, "https://telegram.example.com"),
    ("msteams", "url"): (URL, ""),
    ("google_chat", "url"): (URL, ""),
    ("ntfy", "url"): (URL, ""),
    ("gotify", "url"): (URL, ""),
    ("webhook", "url"): (URL, ""),
    ("opsgenie", "api_url"): (URL, "https://opsgenie.example.com"),
    ("ticket_http", "url"): (URL, ""),
    ("ticket_http", "comment_url"): (URL, "https://desk.example.com/comments"),
    ("ticket_http", "close_url"): (URL, "https://desk.example.com/close"),
    ("ticket_jira", "url"): (URL, "https://acme.atlassian.net"),
    ("ticket_halopsa", "url"): (URL, "https://acme.halopsa.com"),
    ("ticket_connectwise", "url"): (URL, "https://na.myconnectwise.net"),
    ("ticket_autotask", "url"): (URL, "https://webservices5.autotask.net/ATServicesRest"),
}  # fmt: skip
MONITORS: dict[tuple[str, str], tuple[str, str]] = {
    ("http", "url"): (URL, ""),
    ("http", "proxy"): (URL, "http://proxy.example.com:3128"),
    ("websocket", "url"): (URL, "wss://live.example.com/feed"),
    ("dns", "resolver"): (PLACE, "9.9.9.9:53"),
    ("domain", "rdap_url"): (URL, ""),
    ("domain", "whois_server"): (PLACE, "whois.nic.at"),
    **{(kind, "host"): (HOST, "") for kind in ("tcp", "icmp", "tls", "smtp", "imap", "ssh", "udp", "ntp", "snmp", "postgres", "mysql", "redis", "grpc")},
}  # fmt: skip
STEPS: dict[tuple[str, str], tuple[str, str]] = {
    ("webhook", "url"): (URL, ""),
    ("dns_swap", "server"): (PLACE, "ns1.example.com:53"),
    ("dns_swap", "endpoint"): (URL, "https://api.example.com/client/v4"),
}
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("slack", "api_url"): {"url": None, "token": "xoxb-x", "channel": "C012"},
    ("opsgenie", "api_url"): {"region": "custom"},
    ("dns_swap", "endpoint"): {
        "provider": "cloudflare", "zone_id": "0a1b", "token": "t0ken", "server": None, "key_name": None, "key_secret": None,
    },
    ("email", "smtp_host"): {"smtp_host": "", "sender": "noc@example.com"},
}  # fmt: skip
# Read as a host name, and never dialled: the reason.
NOT_DIALLED = {
    ("dns", "name"): "the name that is asked about",
    ("domain", "name"): "the registration that is asked about",
    ("tls", "server_name"): "what is said in the handshake (SNI)",
    ("email", "to"): "mail goes by the mail server",
    ("email", "sender"): "who writes",
    ("dns_swap", "zone"): "the zone that is changed",
    ("dns_swap", "name"): "the record that is changed",
    ("apprise", "url"): "staff only, and its schemes have hosts of their own (tests/alerts/test_apprise.py)",
    ("pushbullet", "email"): "an account there",
    ("ticket_jira", "email"): "an account there",
}


def given(kind: str, field: str, example: dict[str, Any], text: str) -> dict[str, Any]:
    """The example's settings with this text in the field, and what such a field needs beside it."""
    merged = {**example, **BESIDE.get((kind, field), {}), field: text}
    return {name: value for name, value in merged.items() if value not in (None, "")}


def _channel(kind: str, field: str) -> Callable[[str], object]:
    return lambda text: channel_settings.settle(kind, None, given(kind, field, channel_example(kind), text), {})


def _monitor(kind: str, field: str) -> Callable[[str], object]:
    example = {name: value for name, value in CHECKS[kind].items() if name not in ("proxy", "upside_down")}

    def save(text: str) -> None:
        plain, secret = rules.split_config(kind, given(kind, field, example, text))
        rules.refuse_unreachable(Monitor(kind=kind, config=plain, secrets=Sealed.of(secret)), Reach())

    return save


def _step(kind: str, field: str) -> Callable[[str], object]:
    return lambda text: step_settings.settle(kind, None, given(kind, field, step_example(kind), text), {})


def sinks() -> Iterator[Sink]:
    """All of them."""
    for table, name, example, save in (
        (CHANNELS, "channel", channel_example, _channel),
        (MONITORS, "monitor", CHECKS.__getitem__, _monitor),
        (STEPS, "step", step_example, _step),
    ):
        for (kind, field), (form, good) in table.items():
            yield Sink(f"{name} {kind}.{field}", form, good or example(kind)[field], save(kind, field))
    yield Sink("a client's Slack webhook", URL, "https://hooks.slack.com/services/T0/B0/x", check_hook)
    yield Sink(
        "a reader's webhook", URL, "https://hooks.example.com/x", lambda text: readers.normal(Page(), "webhook", text)
    )


# --- What the registries say ------------------------------------------------------------------------------------------------
def plugins() -> Iterator[tuple[str, type[Any]]]:
    """(kind, settings) of everything that is a file and a line in a registry."""
    for registry in (channels.KINDS, checks.KINDS, steps.KINDS):
        for kind, cls in registry.items():
            yield kind, cls.Config


def plain(value: Any) -> Any:
    """What a setting holds, as it was typed."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value
