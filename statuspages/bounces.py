"""Whose letter came back after it was taken? Delivery reports of mail servers (RFC 3464), and what they mean for a reader.

A report counts only when it carries the head of the very letter: the number of its delivery, and its reader's own link to
unsubscribe, which nobody else can make. So whoever could forge one could unsubscribe that reader anyway, and nobody else.
Three letters in a row that came back suspend a subscription; one in between that stayed begins the count anew.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser, Parser
from email.policy import compat32
from typing import Final

from django.db import transaction

from alerts import addressees
from alerts.channels.wording import one_line
from alerts.models import Delivery
from alerts.twoway import hooks
from statuspages import links
from statuspages.models import Subscriber
from statuspages.subscribers import GIVE_UP_AFTER, PREFIX, suspend

log = logging.getLogger("watchkeeper.subscribers")

MOST_PARTS: Final = 40
PERMANENT: Final = re.compile(r"5\.\d{1,3}\.\d{1,3}")
# Our own letter's fault, our server's name or its size: nothing that the reader's address could help.
NOT_THE_READERS: Final = re.compile(r"5\.(?:3\.\d+|6\.\d+|7\.\d+)")
LETTER: Final = re.compile(r"<delivery-([0-9]{1,18})\.[0-9a-f]{8}@")
LEAVE: Final = re.compile(r"/leave/([0-9]{1,18}\.[A-Za-z0-9_-]{24})/")


@dataclass(frozen=True, slots=True)
class Report:
    """A letter that came back for good. `status` as 5.1.1, `said` what the other server said, `token` of its link to leave."""

    status: str
    said: str
    letter: int
    token: str


def read(raw: bytes) -> Report | None:
    """What a raw mail reports; None when it is no delivery report, no failure for good, or does not carry the letter's head."""
    try:
        status, said, head = "", "", None
        for part in _parts(BytesParser(policy=compat32).parsebytes(raw)):
            kind = part.get_content_type()
            if kind == "message/delivery-status" and not status:
                status, said = _verdict(part)
            elif kind in ("message/rfc822", "text/rfc822-headers") and head is None:
                head = _head(part)
        if not status or head is None:
            return None
        letter, token = LETTER.search(_plain(head, "Message-ID")), LEAVE.search(_plain(head, "List-Unsubscribe"))
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # not written as mail is
    return Report(status, said, int(letter[1]), token[1]) if letter and token else None


def _parts(mail: Message) -> Iterator[Message]:
    """The parts of a mail, without those within mails that it carries."""
    waiting, seen = [mail], 0
    while waiting and seen < MOST_PARTS:
        part, seen = waiting.pop(0), seen + 1
        yield part
        inner = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inner, list):
            waiting = [one for one in inner if isinstance(one, Message)] + waiting


def _verdict(part: Message) -> tuple[str, str]:
    """(status, what was said) of the first recipient for whom it failed for good; ("", "") without one."""
    blocks = part.get_payload()
    for block in blocks if isinstance(blocks, list) else []:
        status = PERMANENT.search(_plain(block, "Status"))
        if isinstance(block, Message) and _plain(block, "Action").strip().lower() == "failed" and status:
            return status[0], one_line(_plain(block, "Diagnostic-Code").partition(";")[2])[:300]
    return "", ""


def _head(part: Message) -> Message | None:
    """The head of the letter that came back."""
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        return inner[0] if isinstance(inner, list) and inner and isinstance(inner[0], Message) else None
    body = part.get_payload(decode=True)
    return (
        Parser(policy=compat32).parsestr(body.decode("ascii", "replace"), headersonly=True)
        if isinstance(body, bytes)
        else None
    )


def _plain(head: Message, name: str) -> str:
    """A header in one line, decoded: what is long is sometimes written as encoded words."""
    return re.sub(r"[\r\n]+[ \t]*", "", str(make_header(decode_header(str(head.get(name, ""))[:4000]))))


def note(report: Report, *, at: datetime) -> str:
    """Count it against its reader: "suspended", "counted", or why it counts for nothing (for the log)."""
    row = links.find(report.token, links.LEAVE)
    if row is None or row.kind != Subscriber.Kind.EMAIL:
        return "its link is of no reader"
    if NOT_THE_READERS.fullmatch(report.status):
        return f"{report.status} is no fault of the address"
    key = addressees.key(PREFIX, row.pk)
    letters = Delivery.objects.filter(destination_key=key, state=Delivery.State.DELIVERED)
    if not letters.filter(pk=report.letter).exists():
        return "no such letter went to that reader"
    mark = f"bounce:{key}:{report.letter}"
    if hooks.seen_before(mark):
        return "it was counted already"
    with transaction.atomic():
        held = Subscriber.objects.select_for_update().filter(pk=row.pk, state=Subscriber.State.ACTIVE).first()
        if held is None or held.bounced_letter == report.letter:
            return "that reader is not subscribed, or it was counted already"
        last = held.bounced_letter
        stayed = last is not None and letters.filter(pk__gt=last, pk__lt=report.letter).exists()
        held.bounces = 1 if stayed else held.bounces + 1
        held.bounced_letter = max(report.letter, last or 0)
        held.save(update_fields=["bounces", "bounced_letter"])
        if held.bounces >= GIVE_UP_AFTER:
            said = _discreet(report.said, str(held.address.open()))
            suspend(held.pk, f"{GIVE_UP_AFTER} letters in a row came back ({report.status}). {said}", at)
    hooks.remember(mark)
    return "suspended" if held.bounces >= GIVE_UP_AFTER else "counted"


def _discreet(said: str, address: str) -> str:
    """Without the reader's address, nor any other."""
    return re.sub(r"[^\s<>\"']+@[^\s<>\"']+", "•••", said.replace(address, "•••"))
