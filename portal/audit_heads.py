"""How do signed heads get off this machine? By mail or by HTTP, as AUDIT_HEADS says, each hour after they were written.

Whoever cuts the audit log's tail here can cut the file of heads here too; a copy elsewhere they do not reach. What was not
taken is sent with the next hour's: how far the file was taken stands beside it. `verify_audit --heads FILE` compares a copy.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from django.conf import settings
from django.core.mail import send_mail

from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError, Request
from portal.smtp import MailError

log = logging.getLogger("watchkeeper.audit")

SECONDS = 15.0


def carry(file: Path) -> int:
    """Send what was not taken yet; how many heads went out. A failure is logged and changes nothing."""
    if not settings.AUDIT_HEADS or not file.is_file():
        return 0
    whole, mark = file.read_bytes(), _mark(file)
    start = _taken(mark)
    start = start if start <= len(whole) else 0  # somebody began a new file
    lines = latest(whole[start:].decode())
    if not lines:
        return 0
    try:
        _send("\n".join(lines) + "\n", len(lines))
    except (MailError, OutboundError, ValueError) as error:
        log.error("%d audit heads were not taken by AUDIT_HEADS and will be sent again: %s", len(lines), error)
        return 0
    mark.write_text(f"{len(whole)}\n")
    mark.chmod(0o600)
    return len(lines)


def latest(text: str) -> list[str]:
    """The last line of each chain: an older head says nothing that a newer one does not."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(" ")
        if len(parts) == 5:
            found[parts[1]] = line
    return list(found.values())


def _mark(file: Path) -> Path:
    return file.with_suffix(".taken")


def _taken(mark: Path) -> int:
    try:
        return int(mark.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _send(text: str, number: int) -> None:
    to = settings.AUDIT_HEADS
    if "://" not in to:
        what = "heads" if number > 1 else "head"
        send_mail(f"{number} audit {what} of {settings.BASE_URL}", text, None, [to])
        return
    status = asyncio.run(_post(to, text))
    if not 200 <= status < 300:
        raise ValueError(f"it answered {status}")


async def _post(url: str, text: str) -> int:
    engine = HttpEngine(max_inflight=1)
    try:
        body, kind = text.encode(), {"Content-Type": "text/plain; charset=utf-8"}
        asked = Request(url, method="POST", headers=kind, body=body, timeout=SECONDS)
        return (await engine.fetch(asked, Reach(allow=settings.OUTBOUND_ALLOW))).status
    finally:
        engine.close()
