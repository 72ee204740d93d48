"""How is somebody answered whose vendor takes no answer in its webhook's reply? By one small request, after the act.

Never inside a transaction, never for longer than a moment, and never a reason for the webhook to fail: what was done
stands, whether or not the person hears of it this way.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final
from urllib.parse import urlsplit

from alerts.channels.vonage_sms import VonageSms
from alerts.models import Channel
from alerts.opening import reach_of
from alerts.twoway import taking
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError, Request

log = logging.getLogger("watchkeeper.hooks")

PATIENCE = 2.0  # seconds; Slack counts three for the whole answer
SLACK: Final = ("hooks.slack.com", "hooks.slack-gov.com")


def reply_by_vonage(row: Channel, providers: dict[str, dict[str, Any]], said: str) -> None:
    """A text message back, from the account that heard it."""
    kind = taking.opened(row, providers)
    if isinstance(kind, VonageSms) and not kind.ready():
        _ask(kind.post(said), reach_of(row))


def whisper_in_slack(address: str, said: str) -> None:
    """To the one who pressed, and to nobody else. The address comes out of Slack's signed words; it must be Slack's own."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname in SLACK:
        body = {"response_type": "ephemeral", "replace_original": False, "text": said, "mrkdwn": False}
        headers = {"Content-Type": "application/json"}
        _ask(Request(address, "POST", headers, json.dumps(body).encode(), timeout=PATIENCE), Reach())


def _ask(request: Request, reach: Reach) -> None:
    request.timeout = PATIENCE
    try:
        asyncio.run(_once(request, reach))
    except (OutboundError, ValueError, TimeoutError) as error:
        log.warning("an answer could not be sent: %s", type(error).__name__)


async def _once(request: Request, reach: Reach) -> None:
    engine = HttpEngine(max_inflight=1)
    try:
        response = await engine.fetch(request, reach)
        if response.status >= 300:
            log.warning("an answer was not taken: HTTP %d", response.status)
    finally:
        engine.close()
