"""Who pressed Acknowledge in a chat? Slack's and Telegram's buttons, and Telegram's "what is this chat's id?".

Slack signs time and raw body with the app's signing secret; the app is the one of the channel that the message went to.
Telegram repeats the secret that was given with setWebhook. Both answer within the request, as both wait only seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from alerts import channels
from alerts.channels.slack import ACKNOWLEDGE, Slack
from alerts.channels.wording import one_line
from alerts.models import Delivery
from alerts.twoway import hooks, taking
from alerts.twoway.replying import whisper_in_slack
from portal.clock import database_now

WINDOW = timedelta(minutes=5)


# --- Slack ---------------------------------------------------------------------------------------------------------------
def signed_by_slack(request: HttpRequest, secret: str, at: datetime) -> str:
    """Why the signature does not prove that Slack sent this body now; "" when it does."""
    stamp, given = request.headers.get("X-Slack-Request-Timestamp", ""), request.headers.get("X-Slack-Signature", "")
    if not secret or not given:
        return "it is not signed, or no signing secret is set"
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
        return "it carries no time"
    if abs(at - datetime.fromtimestamp(int(stamp), UTC)) > WINDOW:
        return "it is older than five minutes"
    made = "v0=" + hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(made.encode(), given.encode("utf-8", "replace")):
        return "its signature is not made with the signing secret"
    return ""


def _pressed(payload: dict[str, Any]) -> str:
    """The token behind the Acknowledge button that was pressed; "" for anything else."""
    actions = payload.get("actions")
    if payload.get("type") != "block_actions" or not isinstance(actions, list):
        return ""
    for action in actions:
        if isinstance(action, dict) and action.get("action_id") == ACKNOWLEDGE:
            return str(action.get("value") or "")
    return ""


@hooks.hook
def slack(request: HttpRequest) -> HttpResponse:
    """`/hooks/slack/`: the app's interactivity Request URL. The post itself is edited by the "acknowledged" message."""
    at, providers, raw = database_now(), taking.accounts(), request.body  # read before the form takes it apart
    try:
        payload = json.loads(request.POST.get("payload", ""))
    except ValueError:
        payload = None
    payload = payload if isinstance(payload, dict) and raw else {}
    token = _pressed(payload)
    row, obstacle = taking.by_token(token, at) if token else (None, "")
    secret = str(providers.get("slack", {}).get("signing_secret") or "")
    if row is not None:
        kind = taking.opened(row.channel, providers)
        secret = kind.signing_secret if isinstance(kind, Slack) else ""
    why = signed_by_slack(request, secret, at)
    if why:
        return hooks.refused(request, f"{why}.")
    if not token:
        return HttpResponse(status=200)  # a press of a link button, or what another version of ours sent
    user = payload.get("user") if isinstance(payload.get("user"), dict) else {}
    name = one_line(user.get("name") or user.get("username") or user.get("id") or "")[:120]
    team = payload.get("team") if isinstance(payload.get("team"), dict) else {}
    where = " ".join(filter(None, ("Slack", one_line(team.get("domain") or "")[:60])))
    taken = taking.take(row, obstacle, name=name, where=where, at=at)
    if not taken.done:
        whisper_in_slack(str(payload.get("response_url") or ""), taken.sentence)
    return HttpResponse(status=200)


# --- Telegram ------------------------------------------------------------------------------------------------------------
@hooks.hook
def telegram(request: HttpRequest) -> HttpResponse:
    """`/hooks/telegram/`: the bot's webhook. What is said back travels as this request's own answer."""
    at, providers = database_now(), taking.accounts()
    secret = str(providers.get("telegram", {}).get("webhook_secret") or "")
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if not secret or not hmac.compare_digest(secret.encode(), given.encode("utf-8", "replace")):
        return hooks.refused(request, "the secret token is not the one of setWebhook, or none is set.")
    try:
        update = json.loads(request.body)
    except ValueError:
        return hooks.text("Not JSON.", 400)
    query = update.get("callback_query") if isinstance(update, dict) else None
    if isinstance(query, dict):
        return _callback(query, at)
    message = (update.get("message") or update.get("channel_post")) if isinstance(update, dict) else None
    return _start(message) if isinstance(message, dict) else HttpResponse(status=200)


def _callback(query: dict[str, Any], at: datetime) -> HttpResponse:
    """A button under a message: `ack:<token>`, from the chat that the message went to."""
    verb, _, token = str(query.get("data") or "").partition(":")
    row, obstacle = taking.by_token(token, at) if verb == "ack" else (None, taking.UNKNOWN)
    posted = query.get("message") if isinstance(query.get("message"), dict) else {}
    chat = posted.get("chat") if isinstance(posted.get("chat"), dict) else {}
    mark = f"telegram:{query.get('id')}"
    if hooks.seen_before(mark):
        taken = taking.Taken(taking.ALREADY, "This press was heard already.")
    elif row is None or not _is_chat_of(row, chat):
        taken = taking.Taken(taking.UNKNOWN, "This button belongs to no alert of this chat. Nothing was acknowledged.")
    else:
        person = query.get("from") if isinstance(query.get("from"), dict) else {}
        names = [str(person.get(part) or "") for part in ("first_name", "last_name")]
        name = one_line(" ".join(names)) or one_line(person.get("username") or "")
        taken = taking.take(row, obstacle, name=name[:120] or taking.person_of(row), where="Telegram", at=at)
        hooks.remember(mark)
    return JsonResponse(
        {
            "method": "answerCallbackQuery",
            "callback_query_id": str(query.get("id") or ""),
            "text": taken.sentence[:200],
            "show_alert": not taken.done,
        }
    )


def _is_chat_of(row: Delivery, chat: dict[str, Any]) -> bool:
    kind = channels.KINDS.get(row.channel.type)
    if kind is None or row.channel.type != "telegram":
        return False
    wanted = str(row.channel.config.get(kind.main_field) or "").strip()
    names = {str(chat.get("id") or ""), f"@{chat.get('username')}" if chat.get("username") else ""} - {""}
    return wanted.lower() in {name.lower() for name in names}


def _start(message: dict[str, Any]) -> HttpResponse:
    """`/start` (or `/id`) says the chat's id, which a channel of type telegram asks for."""
    words = str(message.get("text") or "").split()
    chat = message.get("chat") if isinstance(message.get("chat"), dict) else {}
    if not words or words[0].partition("@")[0] not in ("/start", "/id") or not chat.get("id"):
        return HttpResponse(status=200)
    said = f"This chat's id is {chat['id']}. Enter it as the chat of a Telegram channel in Watchkeeper."
    return JsonResponse({"method": "sendMessage", "chat_id": chat["id"], "text": said})
