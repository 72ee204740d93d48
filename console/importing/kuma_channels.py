"""Where did an Uptime Kuma send its messages? Notifications become channels, and who used them becomes a trigger."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from console.importing.draft import Draft, Line, number, text
from console.importing.kuma_files import Kuma

Config = dict[str, Any]


def _email(line: Line, c: Config) -> Config:
    addresses = [
        a.strip()
        for a in ",".join(str(c.get(n) or "") for n in ("smtpTo", "smtpCC", "smtpBCC")).split(",")
        if a.strip()
    ]
    line.note("It is sent by this portal's mail server; its own is not carried over.")
    return {"to": addresses}


def _telegram(line: Line, c: Config) -> Config:
    thread = number(c.get("telegramMessageThreadID"))
    return {
        "chat_id": text(c.get("telegramChatID")),
        "bot_token": c.get("telegramBotToken"),
        "thread_id": int(thread) if thread else None,
    }


def _webhook(line: Line, c: Config) -> Config:
    line.note("It gets this portal's body, not Uptime Kuma's: adapt what reads it.")
    headers = c.get("webhookAdditionalHeaders")
    try:
        found = json.loads(headers) if isinstance(headers, str) and headers.strip() else {}
    except (ValueError, RecursionError):
        found = {}
    named = {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
    authorization = next((v for k, v in named.items() if k.lower() == "authorization"), None)
    rest = {k: v for k, v in named.items() if k.lower() not in ("authorization", "content-type")}
    return {"url": c.get("webhookURL"), "headers": rest, "authorization": authorization}


def _ntfy(line: Line, c: Config) -> Config:
    server = text(c.get("ntfyserverurl"), 500).rstrip("/") or "https://ntfy.sh"
    found: Config = {"url": f"{server}/{text(c.get('ntfytopic'), 100)}"}
    if c.get("ntfyaccesstoken"):
        found["token"] = c.get("ntfyaccesstoken")
    elif c.get("ntfyusername"):
        found |= {"user": text(c.get("ntfyusername")), "password": c.get("ntfypassword")}
    return found


def _gotify(line: Line, c: Config) -> Config:
    return {"url": c.get("gotifyserverurl"), "token": c.get("gotifyapplicationToken")}


def _pushover(line: Line, c: Config) -> Config:
    return {
        "user": c.get("pushoveruserkey"),
        "token": c.get("pushoverapptoken"),
        "device": text(c.get("pushoverdevice")),
    }


def _pagerduty(line: Line, c: Config) -> Config:
    region = "eu" if ".eu." in text(c.get("pagerdutyIntegrationUrl"), 500) else "us"
    return {"routing_key": c.get("pagerdutyIntegrationKey"), "region": region}


def _opsgenie(line: Line, c: Config) -> Config:
    return {"api_key": c.get("opsgenieApiKey"), "region": "eu" if text(c.get("opsgenieRegion")) == "eu" else "us"}


def _plain(name: str, ours: str = "url") -> Callable[[Line, Config], Config]:
    return lambda line, c: {ours: c.get(name)}


TYPES: dict[str, tuple[str, Callable[[Line, Config], Config]]] = {
    "slack": ("slack", _plain("slackwebhookURL")), "discord": ("discord", _plain("discordWebhookUrl")), "telegram": ("telegram", _telegram),
    "smtp": ("email", _email), "webhook": ("webhook", _webhook), "ntfy": ("ntfy", _ntfy), "gotify": ("gotify", _gotify), "pushover": ("pushover", _pushover),
    "PagerDuty": ("pagerduty", _pagerduty), "Opsgenie": ("opsgenie", _opsgenie), "teams": ("msteams", _plain("webhookUrl")),
    "GoogleChat": ("google_chat", _plain("googleChatWebhookURL")), "pushbullet": ("pushbullet", _plain("pushbulletAccessToken", "token")),
}  # fmt: skip


def tell(found: Draft, kuma: Kuma, made: dict[Any, dict[str, Any]]) -> None:
    """A channel for each notification, and a trigger for the monitors that used it."""
    for row in kuma.notifications:
        line = found.line("notification", row.get("name") or row["config"].get("name"))
        kind = text(row["config"].get("type"), 40)
        if kind not in TYPES:
            line.leave(f"Type {kind or '(none)'}: there is no channel of this kind here; a webhook may do.")
            continue
        ours, build = TYPES[kind]
        enabled = False if row.get("active") in (0, False) else None
        channel = found.channel(line, ours, line.name, build(line, row["config"]), enabled=enabled)
        if channel is None:
            continue
        users = [m for m in kuma.monitors if row.get("id") in m["notification_ids"] and m.get("id") in made]
        about = [made[m["id"]] for m in users]
        every = bool(about) and len(about) == len(made)
        if not about:
            line.note("No monitor used it: nothing is sent there until a trigger names it.")
            continue
        if every:
            line.note("Every monitor used it: it hears every alert of this client, also of monitors to come.")
        found.trigger(channel, about, every, **_again(line, users))


def _again(line: Line, users: list[dict[str, Any]]) -> dict[str, Any]:
    """Resending after so many beats, as minutes."""
    wanted = {(number(m.get("interval")) or 60) * (number(m.get("resend_interval")) or 0) for m in users}
    if wanted == {0}:
        return {}
    minutes = int(min(max(min(wanted - {0}) // 60, 5), 1440))
    if len(wanted) > 1 or minutes * 60 not in wanted:
        line.note(f"While nobody acknowledges, it is said again every {minutes} minutes for all its monitors.")
    return {"reminder_minutes": minutes}
