"""Which kinds of channel exist, and how do their settings come and go? One explicit dict: a kind is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alerts.channels.apprise import Apprise
from alerts.channels.base import Channel, ChannelConfig
from alerts.channels.discord import Discord
from alerts.channels.email import Email
from alerts.channels.google_chat import GoogleChat
from alerts.channels.gotify import Gotify
from alerts.channels.msteams import Teams
from alerts.channels.ntfy import Ntfy
from alerts.channels.onesignal import OneSignal
from alerts.channels.opsgenie import Opsgenie
from alerts.channels.pagerduty import PagerDuty
from alerts.channels.pushbullet import Pushbullet
from alerts.channels.pusher_beams import PusherBeams
from alerts.channels.pushover import Pushover
from alerts.channels.slack import Slack
from alerts.channels.telegram import Telegram
from alerts.channels.ticket_autotask import TicketAutotask
from alerts.channels.ticket_connectwise import TicketConnectWise
from alerts.channels.ticket_halopsa import TicketHaloPsa
from alerts.channels.ticket_http import TicketHttp
from alerts.channels.ticket_jira import TicketJira
from alerts.channels.twilio_sms import TwilioSms
from alerts.channels.twilio_voice import TwilioVoice
from alerts.channels.twilio_whatsapp import TwilioWhatsapp
from alerts.channels.vonage_sms import VonageSms
from alerts.channels.webhook import Webhook
from portal.kinds import InvalidSettings, Kinds
from portal.outbound.guard import Reach
from portal.secrets import Sealed

KINDS: dict[str, type[Channel]] = {
    "email": Email,
    "slack": Slack,
    "discord": Discord,
    "telegram": Telegram,
    "msteams": Teams,
    "google_chat": GoogleChat,
    "pushover": Pushover,
    "pushbullet": Pushbullet,
    "onesignal": OneSignal,
    "pusher_beams": PusherBeams,
    "ntfy": Ntfy,
    "gotify": Gotify,
    "twilio_sms": TwilioSms,
    "vonage_sms": VonageSms,
    "twilio_voice": TwilioVoice,
    "twilio_whatsapp": TwilioWhatsapp,
    "webhook": Webhook,
    "pagerduty": PagerDuty,
    "opsgenie": Opsgenie,
    "apprise": Apprise,
    "ticket_http": TicketHttp,
    "ticket_jira": TicketJira,
    "ticket_halopsa": TicketHaloPsa,
    "ticket_connectwise": TicketConnectWise,
    "ticket_autotask": TicketAutotask,
}


_kinds = Kinds("channel type", KINDS)
get, choices, schemas, parse, split = _kinds.get, _kinds.choices, _kinds.schemas, _kinds.parse, _kinds.split


def join(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any]) -> ChannelConfig:
    """The typed settings of stored plain ones and opened secrets. Raises as `parse` does."""
    return parse(kind, {**config, **(secrets or {})})


def build(values: Mapping[str, Any], provider: Mapping[str, Any] | None = None, reach: Reach | None = None) -> Channel:
    """A channel that can send, of a row's values (`type`, `config`, `secrets` opened or sealed). Raises as `parse` does."""
    kept = values.get("secrets") or {}
    secrets = kept.open() if isinstance(kept, Sealed) else kept
    channel = get(values["type"])(join(values["type"], values.get("config") or {}, secrets), dict(provider or {}))
    if reach is not None:
        channel.reach = reach
    return channel


__all__ = ["KINDS", "InvalidSettings", "build", "choices", "get", "join", "parse", "schemas", "split"]
