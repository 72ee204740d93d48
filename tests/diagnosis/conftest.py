"""What is seen when everything is broken at the same time, each fault at its own address? Measured once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.diagnosis.field import Field, order
from tests.diagnosis.services import DRIPPING, MUTE
from tests.rig.process import NotAvailable

WELL, LOSSY, BLACK, CLOSED, NO_PINGS, LIMITED, SHARED, REFUSED, NARROW, NARROW_TOLD = (
    f"10.9.0.{n}" for n in range(1, 11)
)
UNPRIVILEGED, BY_MTR, NO_RIGHT = "10.9.0.11", "10.9.0.12", "10.9.0.13"
INNER = "@nh,352,32"  # the destination of the packet that an ICMP error quotes


def http(url: str, **more: Any) -> dict[str, Any]:
    """The order's check for an HTTP monitor."""
    return {"kind": "http", "config": {"url": url}, "timeout": 10, **more}


ASKED: dict[str, dict[str, Any]] = {
    "well": {"order": order(WELL, check=http(f"http://{WELL}:8080/"))},
    "lossy": {"order": order(LOSSY)},
    "black hole": {"order": order(BLACK)},
    "closed": {"order": order(CLOSED, 81)},
    "no pings": {"order": order(NO_PINGS)},
    "limited": {"order": order(LIMITED)},
    "shared 1": {"order": order(SHARED)},
    "shared 2": {"order": order(SHARED, DRIPPING)},
    "shared 3": {"order": order(SHARED, MUTE)},
    "refused": {"order": order(REFUSED)},
    "narrow": {"order": order(NARROW)},
    "narrow, told": {"order": order(NARROW_TOLD)},
    "only a host": {"order": order(WELL, 0), "light": True},
    "unprivileged": {"order": order(UNPRIVILEGED), "closed": ["RawEcho", "RawSyn"]},
    "version 6": {"order": order("fd00:5::2")},
    "version 6, unprivileged": {"order": order("fd00:5::2"), "closed": ["RawEcho", "RawSyn"]},
    "by mtr": {"order": order(BY_MTR, 0, deadline_s=9.0), "closed": ["RawEcho", "RawSyn", "DatagramEcho"]},
    "quick": {"order": order(BLACK, deadline_s=1.2)},
    "dripping": {"order": order(WELL, DRIPPING, check=http(f"http://{WELL}:{DRIPPING}/"))},
    "mute": {"order": order(WELL, MUTE, target={"tls": True}, check=http(f"http://{WELL}:{MUTE}/"))},
    "neighbour": {"order": order("10.0.1.2", private=True)},
    "nobody here": {"order": order("10.0.1.77", private=True)},
    "loopback": {"order": order("127.0.0.1")},
    "private from outside": {"order": order("10.9.0.14"), "private": False},
    **{
        name: {"order": order(f"{name}.example", **more)}
        for name, more in {
            "www.well": {"resolvers": ["10.0.8.5", "10.0.8.6", "10.0.8.4", "192.0.2.1", "-x; reboot"], "anchors": ["https://text.well.example", "10.9.0.1:8080"]},
            "alias.well": {}, "text.well": {}, "missing.well": {}, "signed.well": {}, "forbidden.well": {}, "half.well": {},
            "www.uneven": {}, "www.lame": {}, "www.silent": {"target": {"known": [WELL]}, "deadline_s": 9.0}, "www.broken": {}, "www.bogus": {},
            "www.gone": {"owners": ["ns1.gone.example 10.0.8.17"]}, "www.lured": {}, "written-down": {}, "www.müller": {}, "x" * 300: {},
        }.items()
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def field() -> Iterator[Field]:
    """The network, with its faults."""
    try:
        made = Field()
    except NotAvailable as trouble:
        pytest.skip(f"NOT RUN: {trouble}")
    try:
        break_things(made)
        yield made
    finally:
        made.close()


def break_things(field: Field) -> None:
    """One fault at each address."""
    field.fault("r3", "forward", f"ip daddr {LOSSY} numgen random mod 100 < 50 drop", f"ip daddr {BLACK} drop", f"ip daddr {REFUSED} reject with icmp type admin-prohibited")  # fmt: skip
    field.fault("r3", "output", f"{INNER} {_hex(NARROW)} icmp type destination-unreachable drop")
    field.fault("r4", "output", f"{INNER} {_hex(LIMITED)} icmp type time-exceeded limit rate over 1/minute burst 2 packets drop")  # fmt: skip
    field.fault("target", "input", f"ip daddr {NO_PINGS} icmp type echo-request drop", f"ip daddr {{ {WELL}, {CLOSED} }} accept")  # fmt: skip
    field.fault("probe", "output", "ip daddr 192.0.2.0/24 counter", "ip daddr 10.9.0.14 counter")
    field.space("r2").sysctl(net__ipv4__fib_multipath_hash_policy=1)
    field.space("r2").run("ip", "route", "add", SHARED, "nexthop", "via", "10.0.3.2", "nexthop", "via", "10.0.6.2")
    field.space("r3").run("ip", "route", "add", NARROW, "via", "10.0.4.2", "mtu", "lock", "1300")
    field.space("r2").run("ip", "route", "add", NARROW_TOLD, "via", "10.0.3.2", "mtu", "lock", "1300")
    field.space("probe").sysctl(net__ipv4__ping_group_range="0 100")


def _hex(address: str) -> str:
    return "0x" + "".join(f"{int(part):02x}" for part in address.split("."))


@pytest.fixture(scope="session")
def seen(field: Field) -> dict[str, Any]:
    """The evidence of every order, by its name in ASKED."""
    found = field.measure(list(ASKED.values()))
    return dict(zip(ASKED, found["evidence"], strict=True))


def path(evidence: dict[str, Any], proto: str) -> dict[str, Any]:
    """One of its paths."""
    return next(found for found in evidence["paths"] if found["proto"] == proto)
