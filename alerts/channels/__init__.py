"""Which kinds of channel exist, and how do their settings come and go? One explicit dict: a kind is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

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


class InvalidSettings(ValueError):
    """Settings that do not fit their kind. `fields`: sentences by dotted key ("" for the whole), without what was typed."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{key}: {said}" if key else said for key, all_ in fields.items() for said in all_))
        self.fields = fields


def get(kind: str) -> type[Channel]:
    """The channel class of that type; ValueError with a sentence for an unknown one."""
    try:
        return KINDS[kind]
    except KeyError:
        raise ValueError(f"There is no channel type '{kind}'; known are {', '.join(KINDS)}.") from None


def choices() -> list[tuple[str, str]]:
    """(type, label) for forms, in the registry's order."""
    return [(kind, channel.label) for kind, channel in KINDS.items()]


def schemas() -> dict[str, dict[str, Any]]:
    """JSON schema of the settings by type, with titles, descriptions and examples."""
    return {kind: channel.Config.model_json_schema() for kind, channel in KINDS.items()}


def parse(kind: str, data: Mapping[str, Any]) -> ChannelConfig:
    """Settings from plain data. ValueError for an unknown type, InvalidSettings (a ValueError) for what does not fit."""
    config_class = get(kind).Config
    try:
        return config_class.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidSettings(_complaints(error)) from None


def split(kind: str, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, secrets) as they are stored: what was given, validated and in normal form; secrets go under seal."""
    config = parse(kind, data)
    sealed = set(config.secret_names()) | set(getattr(config, "also_secret", tuple)())
    plain = {name: _plain(getattr(config, name)) for name in sorted(config.model_fields_set)}
    kept = {name: value for name, value in plain.items() if value not in ("", None, [], {})}
    secrets = {name: value for name, value in kept.items() if name in sealed}
    return {name: value for name, value in kept.items() if name not in sealed}, secrets


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


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _complaints(error: ValidationError) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in entry["loc"])
        found.setdefault(key, []).append(entry["msg"].removeprefix("Value error, "))
    return found


__all__ = ["KINDS", "InvalidSettings", "build", "choices", "get", "join", "parse", "schemas", "split"]
