"""Where does a Gatus send its alerts? Providers become channels; who is told of what becomes triggers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from console.importing.draft import Draft, Line, text
from console.importing.gatus_reading import listed, mapping, seconds

Config = dict[str, Any]


def _email(c: Config) -> Config:
    return {"to": [a.strip() for a in text(c.get("to"), 2000).split(",") if a.strip()]}


def _ntfy(c: Config) -> Config:
    return {
        "url": f"{(text(c.get('url'), 500) or 'https://ntfy.sh').rstrip('/')}/{text(c.get('topic'), 100)}",
        "token": c.get("token"),
    }


def _custom(c: Config) -> Config:
    headers = {str(k): str(v) for k, v in mapping(c.get("headers")).items()}
    authorization = next((v for k, v in headers.items() if k.lower() == "authorization"), None)
    rest = {k: v for k, v in headers.items() if k.lower() not in ("authorization", "content-type")}
    return {"url": c.get("url"), "headers": rest, "authorization": authorization}


def _hook(c: Config) -> Config:
    return {"url": c.get("webhook-url")}


TYPES: dict[str, tuple[str, Callable[[Config], Config]]] = {
    "slack": ("slack", _hook), "discord": ("discord", _hook), "teams": ("msteams", _hook), "teams-workflows": ("msteams", _hook),
    "googlechat": ("google_chat", _hook), "email": ("email", _email), "ntfy": ("ntfy", _ntfy), "custom": ("webhook", _custom),
    "telegram": ("telegram", lambda c: {"chat_id": text(c.get("id")), "bot_token": c.get("token")}),
    "pagerduty": ("pagerduty", lambda c: {"routing_key": c.get("integration-key")}), "opsgenie": ("opsgenie", lambda c: {"api_key": c.get("api-key")}),
    "gotify": ("gotify", lambda c: {"url": c.get("server-url"), "token": c.get("token")}),
    "pushover": ("pushover", lambda c: {"user": c.get("user-key"), "token": c.get("application-token")}),
    "twilio": ("twilio_sms", lambda c: {"to": c.get("to"), "sender": c.get("from"), "account_sid": c.get("sid"), "auth_token": c.get("token")}),
    "vonage": ("vonage_sms", lambda c: {"to": (c.get("to") or [None])[0] if isinstance(c.get("to"), list) else c.get("to"), "sender": c.get("from"), "api_key": c.get("api-key"), "api_secret": c.get("api-secret")}),
}  # fmt: skip
SAID = {
    "email": "It is sent by this portal's mail server; its own is not carried over.",
    "custom": "It gets this portal's body, not the one that was written: adapt what reads it.",
}


class Providers:
    """Channels of a Gatus, made as endpoints need them: one for each provider, group and override."""

    def __init__(self, found: Draft, alerting: Any) -> None:
        self.found, self.alerting = found, mapping(alerting)
        self.channels: dict[str, dict[str, Any] | None] = {}
        self.told: dict[tuple[str, bool, int | None], list[dict[str, Any]]] = {}
        self.used: set[str] = set()

    def alerts(self, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
        """An endpoint's alerts with their provider's defaults, those that are switched on."""
        found = []
        for alert in listed(endpoint.get("alerts")):
            usual = mapping(mapping(self.alerting.get(text(alert.get("type")))).get("default-alert"))
            whole = {**usual, **alert}
            if whole.get("enabled") is not False:
                found.append(whole)
        return found

    def tell(self, line: Line, endpoint: dict[str, Any], item: dict[str, Any]) -> None:
        """This monitor's alerts go where the endpoint's went."""
        for alert in self.alerts(endpoint):
            kind = text(alert.get("type"), 40)
            key = self._channel(line, kind, text(endpoint.get("group")), mapping(alert.get("provider-override")))
            if key is None:
                continue
            again = seconds(alert.get("minimum-reminder-interval")) or 0
            minutes = int(min(max(again // 60, 5), 1440)) if again else None
            self.told.setdefault((key, bool(alert.get("send-on-resolved")), minutes), []).append(item)
            if alert.get("description"):
                line.note(
                    f"The words of its alert, “{text(alert['description'], 80)}”, are not carried over; a message template can say them."
                )

    def _channel(self, line: Line, kind: str, group: str, override: Config) -> str | None:
        self.used.add(kind)
        config = {
            name: value
            for name, value in mapping(self.alerting.get(kind)).items()
            if name not in ("default-alert", "overrides")
        }
        theirs = next(
            (o for o in listed(mapping(self.alerting.get(kind)).get("overrides")) if group and o.get("group") == group),
            {},
        )
        config |= {name: value for name, value in theirs.items() if name != "group"} | override
        whose = f" of {group}" if theirs else " with settings of its own" if override else ""
        key = f"{kind}:{group if theirs else ''}:{json.dumps(override, sort_keys=True, default=str)}"
        if key not in self.channels:
            self.channels[key] = self._made(kind, f"Gatus {kind}{whose}", config)
        if self.channels[key] is None:
            line.note(f"Its alerts by {kind or '(no type)'} are not carried over.")
            return None
        return key

    def _made(self, kind: str, name: str, config: Config) -> dict[str, Any] | None:
        line = self.found.line("alerting", name)
        if kind not in TYPES:
            line.leave(f"Type {kind or '(none)'}: there is no channel of this kind here; a webhook may do.")
            return None
        ours, build = TYPES[kind]
        channel = self.found.channel(line, ours, name, build(config))
        if channel is not None and kind in SAID:
            line.note(SAID[kind])
        return channel

    def finish(self, every: int) -> None:
        """A trigger for each way of telling."""
        for (key, resolved, minutes), about in self.told.items():
            channel = self.channels[key]
            assert channel is not None
            fields = {"notify_on_resolve": False} if not resolved else {}
            fields |= {"reminder_minutes": minutes} if minutes else {}
            once = list({id(item): item for item in about}.values())
            self.found.trigger(channel, once, False, **fields)
        for kind in sorted(map(str, self.alerting.keys())):
            if kind not in self.used:
                self.found.line("alerting", f"Gatus {kind}").leave("No endpoint uses it.")
