"""What do people answer by telephone? "ACK K7Q2M" by SMS or WhatsApp, a key during a call; and what became of each.

Twilio signs the public address and every field with the account's auth token, without a time; Vonage signs a token with
the account's signature secret, with a time and the body's hash. The account that must have signed is the one of the
channel that the message went out by: whoever owns another account cannot speak for this one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import jwt
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse
from twilio.twiml.voice_response import VoiceResponse

from alerts import links
from alerts.channels import twilio_sms, vonage_sms
from alerts.channels.telephone import masked
from alerts.channels.twilio_voice import LANGUAGE, TwilioVoice
from alerts.channels.wording import one_line
from alerts.message import message_from
from alerts.models import Channel, Delivery
from alerts.twoway import hooks, taking
from alerts.twoway.receipts import Later, settle_later
from alerts.twoway.replying import reply_by_vonage
from portal.clock import database_now

log = logging.getLogger("watchkeeper.hooks")

WINDOW = timedelta(minutes=5)
ANSWER = re.compile(r"\s*ack(?:nowledged?)?[\s:#.\-]+([a-z0-9]{4,8})\b", re.IGNORECASE)
# Twilio and the carriers answer these themselves, and stop sending where they must.
LEFT_TO_TWILIO = frozenset(
    [
        "STOP",
        "STOPALL",
        "UNSUBSCRIBE",
        "CANCEL",
        "END",
        "QUIT",
        "REVOKE",
        "OPTOUT",
        "START",
        "UNSTOP",
        "YES",
        "HELP",
        "INFO",
        "ARRET",
    ]
)
HOW = "Nothing was acknowledged. Reply ACK and the code of the message, as: ACK K7Q2M"
XML = "text/xml; charset=utf-8"
MACHINES = ("machine", "fax")


# --- Twilio: proof -----------------------------------------------------------------------------------------------------
def signed_by_twilio(request: HttpRequest, auth_token: str) -> bool:
    """Is the signature over the public address and the fields right? The address is ours by settings, never by Host."""
    signature = request.headers.get("X-Twilio-Signature", "")
    if not auth_token or not signature:
        return False
    address = f"{settings.BASE_URL}{request.get_full_path()}"
    return bool(RequestValidator(auth_token).validate(address, request.POST, signature))


def _of_channel(request: HttpRequest, row: Channel, providers: dict[str, dict[str, Any]]) -> bool:
    kind = taking.opened(row, providers)
    return isinstance(kind, twilio_sms.TwilioChannel) and signed_by_twilio(request, kind.of_account("auth_token"))


# --- Twilio: a text message comes in -------------------------------------------------------------------------------------
@hooks.hook
def twilio_message(request: HttpRequest) -> HttpResponse:
    """`/hooks/twilio/message/`: set it as "A message comes in" of the number, and as the WhatsApp sender's webhook."""
    sender = request.POST.get("From", "")
    type_ = "twilio_whatsapp" if sender.startswith("whatsapp:") else "twilio_sms"
    number, providers = sender.removeprefix("whatsapp:"), taking.accounts()
    rows = [row for row in _channels_of(number, type_) if _of_channel(request, row, providers)]
    if not rows and not signed_by_twilio(request, str(providers.get("twilio", {}).get("auth_token") or "")):
        return hooks.refused(
            request, "the signature is not Twilio's for this address and account; compare BASE_URL and the auth token."
        )
    words = request.POST.get("Body", "").strip()
    if request.POST.get("OptOutType") or words.upper().strip(" .!") in LEFT_TO_TWILIO:
        return _text_back("")
    how = "WhatsApp" if type_ == "twilio_whatsapp" else "SMS"
    return _text_back(_answer(rows, number, words, how, f"twilio:{request.POST.get('MessageSid', '')}"))


def _text_back(said: str) -> HttpResponse:
    answer = MessagingResponse()
    if said:
        answer.message(said)
    return HttpResponse(str(answer), content_type=XML)


def _channels_of(number: str, *types: str) -> list[Channel]:
    """The channels that write to this number."""
    if not number:
        return []
    return list(Channel.objects.filter(type__in=types, config__to=number).select_related("contact").order_by("pk"))


def _answer(rows: list[Channel], number: str, words: str, how: str, mark: str) -> str:
    """What a text from a number does, and what is said back; "" says nothing."""
    at, who = database_now(), f"{how} from {masked(number)}"
    if hooks.count_of("wrong", number) >= hooks.MOST_WRONG:
        log.warning("%s: not listened to for the rest of the hour, after %d wrong codes", who, hooks.MOST_WRONG)
        return ""
    given = ANSWER.match(words)
    if given is None:
        return HOW if hooks.counted("hint", number) <= hooks.MOST_HINTS else ""
    if hooks.seen_before(mark):
        return ""
    code = given[1].upper()
    row = find_by_code(rows, code, at)
    if row is None:
        wrong = hooks.counted("wrong", number)
        log.warning("%s: wrong code, %d within the hour", who, wrong)
        hooks.remember(mark)
        return f"No alert with the code {code} was sent to this number in the last 24 hours. Nothing was acknowledged."
    taken = taking.take(row, "", name=taking.person_of(row), where=who, at=at, user_id=taking.user_of(row))
    hooks.remember(mark)
    return taken.sentence


def find_by_code(rows: Iterable[Channel], code: str, at: datetime) -> Delivery | None:
    """The latest delivery to one of these channels whose alert has this code and that is not older than a day."""
    found = (
        Delivery.objects.filter(channel__in=list(rows), alert__isnull=False, created_at__gte=at - links.GOOD_FOR)
        .select_related("alert", "channel__contact", "contact")
        .order_by("-pk")
    )
    known: dict[tuple[int, int], bool] = {}
    for row in found.iterator(chunk_size=500):
        key = (row.alert_id or 0, row.channel_id)
        if key not in known:
            known[key] = hmac.compare_digest(links.code(*key), code)
        if known[key]:
            return row
    return None


# --- Twilio: a key in a call ---------------------------------------------------------------------------------------------
@hooks.hook
def twilio_voice(request: HttpRequest, token: str) -> HttpResponse:
    """`/hooks/twilio/voice/<token>/`: the key that was pressed. 1 acknowledges, 9 says it again."""
    at, providers = database_now(), taking.accounts()
    row, obstacle = taking.by_token(token, at)
    kind = taking.opened(row.channel, providers) if row else None
    if row is None or not isinstance(kind, TwilioVoice) or not _of_channel(request, row.channel, providers):
        return hooks.refused(request, "this is no call of ours, or the signature is not Twilio's for it.")
    call, key = request.POST, request.POST.get("Digits", "")
    if call.get("To") != kind.config.to:
        return hooks.refused(request, "the call went to another number.")
    if _machine(row, call.get("CallSid", ""), call.get("AnsweredBy", "")):
        log.warning(
            "call %s: an answering machine is no person; nothing was acknowledged", call.get("CallSid", "")[:40]
        )
        return _say("An answering machine cannot acknowledge. Nothing was acknowledged.")
    mark = f"twilio:{call.get('CallSid', '')}"
    if key == "1" and hooks.seen_before(mark):
        return _say("This call was answered already.")
    if key == "1":
        who = f"phone call to {masked(str(kind.config.to))}"
        taken = taking.take(row, obstacle, name=taking.person_of(row), where=who, at=at, user_id=taking.user_of(row))
        hooks.remember(mark)
        return _say(taken.sentence)
    if obstacle:
        return _say("This call is older than 24 hours. Nothing was acknowledged.")
    message = message_from(
        row.notice.snapshot, delivery_id=row.pk, attempt=row.attempt, provider_id="", **links.of(row)
    )
    first = "" if key == "9" else "That key does nothing. Nothing was acknowledged."
    return HttpResponse(kind.twiml(message, first), content_type=XML)


def _machine(row: Delivery, sid: str, answered_by: str) -> bool:
    """Did a machine answer this call, as the key's request or an earlier receipt says?"""
    if answered_by.startswith(MACHINES):
        return True
    said = row.attempts.filter(answer__contains=sid).values_list("answer", flat=True) if sid else ()
    return any(word in text for text in said for word in MACHINES)


def _say(sentence: str) -> HttpResponse:
    answer = VoiceResponse()
    answer.say(sentence, language=LANGUAGE)
    answer.hangup()
    return HttpResponse(str(answer), content_type=XML)


# --- Twilio: what became of it --------------------------------------------------------------------------------------------
@hooks.hook
def twilio_status(request: HttpRequest, delivery: int, attempt: int) -> HttpResponse:
    """`/hooks/twilio/status/<delivery>/<attempt>/`: of a message, of a call, or whether a machine answered it."""
    row = Delivery.objects.select_related("channel").filter(pk=delivery).first()
    if row is None or not _of_channel(request, row.channel, taking.accounts()):
        return hooks.refused(request, "this is no message of ours, or the signature is not Twilio's for it.")
    later = later_of_twilio({name: one_line(value)[:100] for name, value in request.POST.items()})
    return _settled(delivery, attempt, later)


def later_of_twilio(said: dict[str, str]) -> Later | None:
    """Twilio's words as ours; None for those that say nothing new."""
    call = "CallSid" in said and "MessageSid" not in said
    sid = said.get("MessageSid") or said.get("SmsSid") or said.get("CallSid") or ""
    state = said.get("MessageStatus") or said.get("SmsStatus") or said.get("CallStatus") or ""
    by = said.get("AnsweredBy", "")
    if call and (state in ("completed", "in-progress", "") and (by or state == "completed")):
        return Later("delivered" if state == "completed" else "answered", f"{sid} {by}".strip())
    if state in ("delivered", "read", "sent", "sending", "queued"):
        return Later(state, sid)
    code = int(said.get("ErrorCode") or 0) if said.get("ErrorCode", "").isdigit() else 0
    if state in ("failed", "undelivered"):
        words = f"Twilio says: {state}" + (f", error {code}" if code else "")
        cure = twilio_sms.CURES.get(code, "")
        permanent = code in twilio_sms.PERMANENT or (call and state == "failed")
        return Later("failed", sid, f"{words}. {cure}".strip(), permanent)
    if state in ("busy", "no-answer", "canceled"):
        told = {"busy": "The line was busy.", "no-answer": "Nobody answered the call."}.get(
            state, "The call was cancelled."
        )
        return Later("failed", sid, told, state == "canceled")
    return None


def _settled(delivery: int, attempt: int, later: Later | None) -> HttpResponse:
    """204; a receipt that overtook the sender's own note is waited for a moment."""
    tries = 4 if later is not None and later.step == "failed" else 1
    for number in range(tries):
        if later is None or settle_later(delivery, attempt, later, at=database_now()):
            return HttpResponse(status=204)
        if number + 1 < tries:
            time.sleep(0.25)
    return hooks.text("That attempt is not on record yet.", 409)


# --- Vonage ---------------------------------------------------------------------------------------------------------------
def signed_by_vonage(request: HttpRequest, secret: str, api_key: str, at: datetime) -> str:
    """Why the request's token does not prove that Vonage sent this body now; "" when it does."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not secret or scheme.lower() != "bearer" or not token:
        return "it carries no signed token, or no signature secret is set"
    try:
        claims = jwt.decode(
            token.strip(),
            secret,
            algorithms=["HS256"],
            options={"require": ["iat"], "verify_iat": False, "verify_aud": False, "verify_exp": False},
        )
        made = datetime.fromtimestamp(float(claims["iat"]), at.tzinfo)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError):
        return "its token is not signed with the signature secret"
    if abs(at - made) > WINDOW:
        return "its token is older than five minutes"
    if claims.get("api_key") not in (None, api_key):
        return "its token is of another account"
    digest = hashlib.sha256(request.body).hexdigest()
    if not hmac.compare_digest(str(claims.get("payload_hash") or "").encode(), digest.encode()):
        return "its body is not the one that was signed"
    return ""


def _vonage_accounts(
    rows: Iterable[Channel], providers: dict[str, dict[str, Any]], proves: Callable[[str, str], str]
) -> tuple[list[Channel], str]:
    """The channels whose account signed, and why none did."""
    found, obstacle = [], ""
    for row in rows:
        kind = taking.opened(row, providers)
        if isinstance(kind, vonage_sms.VonageSms):
            why = proves(kind.of_account("signature_secret"), kind.of_account("api_key"))
            obstacle = obstacle or why
            if not why:
                found.append(row)
    return found, obstacle


def _json(request: HttpRequest) -> dict[str, Any]:
    try:
        said = json.loads(request.body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


@hooks.hook
def vonage_message(request: HttpRequest) -> HttpResponse:
    """`/hooks/vonage/message/`: the inbound webhook of the account or application (Messages API v1). Answered by an SMS."""
    at, providers, said = database_now(), taking.accounts(), _json(request)
    number = "+" + str(said.get("from") or "").strip().removeprefix("+")

    def proves(secret: str, key: str) -> str:
        return signed_by_vonage(request, secret, key, at)

    rows, obstacle = _vonage_accounts(_channels_of(number, "vonage_sms"), providers, proves)
    if not rows:
        own = providers.get("vonage", {})
        why = proves(str(own.get("signature_secret") or ""), str(own.get("api_key") or ""))
        if why:
            return hooks.refused(request, f"{obstacle or why}.")
    text = str(said.get("text") or "")
    if text.strip().upper().strip(" .!") in LEFT_TO_TWILIO:
        return hooks.text("Left alone.")
    answer = _answer(rows, number, text, "SMS", f"vonage:{str(said.get('message_uuid') or '')[:64]}")
    if answer and rows:
        reply_by_vonage(rows[0], providers, answer)
    return hooks.text(answer or "Not listened to.")


@hooks.hook
def vonage_status(request: HttpRequest) -> HttpResponse:
    """`/hooks/vonage/status/`: what became of a message, named by our mark."""
    at, said = database_now(), _json(request)
    mark = re.fullmatch(r"wk-(\d{1,18})-(\d{1,4})", str(said.get("client_ref") or ""))
    row = Delivery.objects.select_related("channel").filter(pk=int(mark[1])).first() if mark else None

    def proves(secret: str, key: str) -> str:
        return signed_by_vonage(request, secret, key, at)

    rows, obstacle = _vonage_accounts([row.channel] if row else [], taking.accounts(), proves)
    if row is None or mark is None or not rows:
        return hooks.refused(request, f"{obstacle or 'this is no message of ours'}.")
    return _settled(row.pk, int(mark[2]), later_of_vonage(said))


def later_of_vonage(said: dict[str, Any]) -> Later | None:
    """Vonage's words as ours; None for those that say nothing new."""
    uuid, state = one_line(said.get("message_uuid") or "")[:64], str(said.get("status") or "")
    if state in ("submitted", "delivered", "read"):
        return Later(state, uuid)
    if state not in ("rejected", "undeliverable"):
        return None
    error = said.get("error") if isinstance(said.get("error"), dict) else {}
    code = str(error.get("title") or "")
    detail = one_line(error.get("detail") or "")[:200]
    words = f"Vonage says: {state}" + (f", error {code}" if code.isdigit() else "") + (f": {detail}" if detail else "")
    return Later("failed", uuid, words, not (code.isdigit() and int(code) in vonage_sms.AGAIN))
