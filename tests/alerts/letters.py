"""Which messages do the channel tests send? A page, its recovery, a gathered one, and one full of traps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

from alerts.channels.base import HttpChannel, Receipt
from alerts.message import Line, Link, Message
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError

LOOPBACK = Reach(allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
HOSTILE = "<b>*_&"
TRAPS = [
    HOSTILE,
    "<!channel> @everyone [x](http://evil.example)",
    "shop\r\nBcc: all@evil.example",
    "shop\n\n.\r\nMAIL FROM:<x@evil.example>",
    "a\u2028b\u0085c\x0bd\x00e",
    "=?utf-8?q?Bcc:=20x?=",
    "{{7*7}} {% include 'x' %} {m.__class__} %(x)s",
    "\u202egnp.exe",
    "ü" * 3000,
    "😀" * 3000,
    "&" * 5000,
    "",
]

PAGE = Message(
    delivery_id=41,
    attempt=1,
    kind="opened",
    event="down",
    type="monitor.down",
    severity="critical",
    title="shop is down",
    cause="connection refused",
    at=datetime(2026, 11, 21, 14, 38, 8, tzinfo=UTC),
    started_at=datetime(2026, 11, 21, 14, 32, 8, tzinfo=UTC),
    duration_seconds=360.0,
    client={"id": 1, "name": "Acme", "slug": "acme"},
    site={"id": 2, "name": "Shop", "url": "https://shop.acme.example"},
    monitor={"id": 7, "name": "shop", "kind": "http", "target": "https://shop.acme.example"},
    alert={"id": 9, "entity_name": "shop"},
    facts=(("Client", "Acme"), ("What", "https://shop.acme.example")),
    links=(
        Link("acknowledge", "Acknowledge", "https://portal.example/alerts/9/#acknowledge"),
        Link("open", "Open alert", "https://portal.example/alerts/9/"),
    ),
    reference="#K7Q",
    thread="alert-9",
)
DIAGNOSED = replace(
    PAGE,
    delivery_id=45,
    cause="Loss begins at hop 7 (AS26599)",
    verdict={
        "summary": "Loss begins at hop 7 (AS26599)",
        "layer": "transit",
        "confidence": 0.92,
        "regions": {"confirming": ["a", "b", "c", "d", "e"], "asked": ["a", "b", "c", "d", "e", "f"]},
    },
    evidence={
        "mtr_reports": 6,
        "dns": "ok",
        "ssl": "ok",
        "baseline_diff": "route_change",
        "loss": 18,
        "route_changed_at": datetime(2026, 11, 21, 13, 58, 8, tzinfo=UTC).timestamp(),
    },
    links=(*PAGE.links, Link("report", "Open report", "https://portal.example/r/12.c2lnbmF0dXJl/")),
)
RECOVERED = replace(
    PAGE,
    delivery_id=42,
    kind="recovered",
    event="recovery",
    type="monitor.recovery",
    title="shop has recovered",
    links=PAGE.links[1:],
)
TEST = replace(PAGE, delivery_id=43, kind="test", event="test", type="test", severity="info", title="Test", cause="")
GATHERED = replace(
    PAGE,
    delivery_id=44,
    kind="digest",
    event="digest",
    type="digest",
    title="23 alerts: 22 critical, 1 recovered",
    lines=(
        Line("critical", "down", "shop", "Acme", "connection refused", "https://portal.example/alerts/9/"),
        Line("warning", "degraded", HOSTILE, "Globex", "412 ms", "https://portal.example/alerts/10/"),
        Line("critical", "down", "mail", "Acme", "", "https://portal.example/alerts/11/", resolved=True),
    ),
    more=20,
)


def trapped(text: str, base: Message = PAGE) -> Message:
    """The message with the trap wherever people can type."""
    named = {**base.monitor, "name": text}
    return replace(
        base,
        title=f"{text} is down",
        cause=text,
        monitor=named,
        client={**base.client, "name": text},
        facts=((text or "x", text),),
        reference="#K7Q",
    )


def deliver(channel: HttpChannel, message: Message, reach: Reach = LOOPBACK) -> Receipt:
    """Send as the sender does: over real sockets, guard included. Raises DeliveryError."""

    async def go() -> Receipt:
        engine = HttpEngine(max_inflight=2)
        try:
            return await channel.deliver(message, lambda request: engine.fetch(request, reach))
        except OutboundError as error:
            raise channel.failed(error) from None
        finally:
            engine.close()

    return asyncio.run(go())
