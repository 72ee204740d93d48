"""Where does a mail server hand over letters that came back? Raw, by POST, at an address with a key; the answer says nothing.

Postfix, Exim or any program that can pipe a mail into `curl --data-binary @-` reaches it. The key keeps strangers' noise out;
what a report may do depends on the letter within alone (`bounces`).
"""

from __future__ import annotations

import hmac
import logging
from typing import Final

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from alerts.twoway import hooks
from portal.audit import Actor
from portal.clock import database_now
from statuspages import bounces, links

log = logging.getLogger("watchkeeper.subscribers")

LARGEST: Final = 256 * 1024  # a report with our whole letter in it is a tenth of that
MOST_WRONG: Final = 60  # wrong keys within an hour from one address


@csrf_exempt
@never_cache
def bounced(request: HttpRequest, key: str) -> HttpResponse:
    """`POST /hooks/bounces/<key>/`, the raw mail as `message/rfc822`: 202 for every mail, whether or not it counts."""
    return hooks.unlogged(_answer(request, key))


def _answer(request: HttpRequest, key: str) -> HttpResponse:
    ip = Actor.of(request).ip
    if not hmac.compare_digest(key.encode(), links.hook_key().encode()):
        often = hooks.counted("bounces-key", ip) > MOST_WRONG
        return hooks.text("Too many wrong addresses.", 429) if often else hooks.text("There is nothing here.", 404)
    if request.method != "POST":
        return hooks.text("This address is for POST.", 405, Allow="POST")
    if request.content_type != "message/rfc822":
        return hooks.text("Send the raw mail, with Content-Type: message/rfc822.", 415)
    try:
        raw = request.body if int(request.META.get("CONTENT_LENGTH") or 0) <= LARGEST else b""
    except (ValueError, RequestDataTooBig):
        raw = b""
    if not raw or len(raw) > LARGEST:
        return hooks.text(f"A mail of at most {LARGEST // 1024} KB, with its length.", 413)
    report = bounces.read(raw)
    became = (
        bounces.note(report, at=database_now())
        if report
        else "it is no report of a letter of ours that failed for good"
    )
    log.info("a mail that came back: %s", became)
    return hooks.text("Taken.", 202)
