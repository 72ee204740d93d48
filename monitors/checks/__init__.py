"""Which kinds of check exist? One explicit dict; adding a kind is a file and a line here."""

import functools
from typing import Any

from .base import Check, CheckConfig, Context, Outcome, Status, complaints, limit
from .container import ContainerCheck
from .dns import DnsCheck
from .domain import DomainCheck
from .group import GroupCheck
from .grpc import GrpcCheck
from .heartbeat import HeartbeatCheck
from .host import HostCheck
from .http import HttpCheck
from .icmp import IcmpCheck
from .imap import ImapCheck
from .mysql import MysqlCheck
from .ntp import NtpCheck
from .postgres import PostgresCheck
from .push import PushCheck
from .redis import RedisCheck
from .smtp import SmtpCheck
from .snmp import SnmpCheck
from .ssh import SshCheck
from .tcp import TcpCheck
from .tls import TlsCheck
from .udp import UdpCheck
from .websocket import WebsocketCheck

KINDS: dict[str, type[Check]] = {
    "http": HttpCheck,
    "tcp": TcpCheck,
    "icmp": IcmpCheck,
    "dns": DnsCheck,
    "tls": TlsCheck,
    "domain": DomainCheck,
    "smtp": SmtpCheck,
    "imap": ImapCheck,
    "ssh": SshCheck,
    "udp": UdpCheck,
    "ntp": NtpCheck,
    "snmp": SnmpCheck,
    "postgres": PostgresCheck,
    "mysql": MysqlCheck,
    "redis": RedisCheck,
    "grpc": GrpcCheck,
    "websocket": WebsocketCheck,
    "heartbeat": HeartbeatCheck,
    "push": PushCheck,
    "group": GroupCheck,
    "host": HostCheck,
    "container": ContainerCheck,
}


def get(kind: str) -> type[Check]:
    """The check of that kind; raises KeyError with a sentence for an unknown one."""
    try:
        return KINDS[kind]
    except KeyError:
        raise KeyError(f"There is no check of kind '{kind}'; known are {', '.join(KINDS)}") from None


def parse(kind: str, data: dict[str, Any]) -> CheckConfig:
    """Settings of that kind from plain data; raises pydantic.ValidationError (`complaints` makes sentences of it)."""
    return get(kind).parse(data)


@functools.cache  # thirty milliseconds of work, the same for as long as the process lives
def schemas() -> dict[str, dict[str, Any]]:
    """JSON schema of the settings by kind, for forms and API docs. Not to be changed by who asks."""
    return {kind: check.schema() for kind, check in KINDS.items()}


__all__ = [
    "KINDS",
    "Check",
    "CheckConfig",
    "Context",
    "Outcome",
    "Status",
    "complaints",
    "get",
    "limit",
    "parse",
    "schemas",
]
