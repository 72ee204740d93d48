"""Who hears of an alert when nobody has set anything up? Visible triggers, made when an owner or a client is made (SPEC RTE-3).

They are ordinary rows: to be read, changed, switched off. `made_for` only remembers why they exist, so that a client's
changed address changes its channel, and a deleted trigger is not made again behind anybody's back.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from alerts.models import Channel, Trigger
from portal.models import Client, User


def connect() -> None:
    """Listen to the ground's news."""
    from portal import signals

    signals.owner_created.connect(on_owner, dispatch_uid="alerts.defaults.owner")
    signals.client_created.connect(on_client, dispatch_uid="alerts.defaults.client_created")
    signals.client_changed.connect(on_client, dispatch_uid="alerts.defaults.client_changed")


def on_owner(sender: object, user: User, **_: Any) -> None:
    """The installation's first trigger: everything to the owner's e-mail."""
    ensure_owner(user)


def on_client(sender: object, client: Client, **_: Any) -> None:
    """A client's own e-mail and Slack webhook, as triggers for its own alerts."""
    ensure_client(client)


def free_name(name: str) -> str:
    """A trigger name nobody has yet."""
    number, wanted = 2, name
    while Trigger.objects.filter(name__iexact=wanted).exists():
        wanted, number = f"{name} ({number})", number + 1
    return wanted


def ensure_owner(user: User) -> Trigger | None:
    """Everything to the owner's e-mail, once per installation; and the global Slack webhook, if the environment names one."""
    with transaction.atomic():
        ensure_global_slack()
        if Channel.objects.filter(made_for="owner").exists():
            return None
        channel = Channel.objects.create(
            name=f"E-mail to {user.email}"[:120], type="email", config={"to": [user.email]}, made_for="owner"
        )
        trigger = Trigger.objects.create(name=free_name("Default: every alert to the owner"), made_for="owner")
        trigger.channels.add(channel)
        return trigger


def ensure_client(client: Client) -> None:
    """Bring the client's two ready-made channels in line with its `email` and `slack_webhook`."""
    with transaction.atomic():
        _follow(
            client,
            "client_email",
            "email",
            f"E-mail to {client.email}",
            {"to": [client.email]} if client.email else None,
            {},
        )
        webhook = client.slack_webhook.open() if client.slack_webhook else ""
        _follow(client, "client_slack", "slack", f"Slack of {client.name}", {} if webhook else None, {"url": webhook})


def _follow(client: Client, made_for: str, type_: str, name: str, config: dict | None, secrets: dict) -> None:
    channel = Channel.objects.filter(client=client, made_for=made_for).first()
    if config is None:  # the address was taken away
        if channel is not None and channel.enabled:
            channel.enabled = False
            channel.save(update_fields=["enabled"])
        return
    if channel is None:
        channel = Channel.objects.create(
            client=client, name=name[:120], type=type_, config=config, secrets=secrets, made_for=made_for
        )
        trigger = Trigger.objects.create(
            client=client,
            name=free_name(f"Default: alerts of {client.name} by {'e-mail' if type_ == 'email' else 'Slack'}"[:110]),
            made_for=made_for,
        )
        trigger.channels.add(channel)
        return
    same = channel.config == config and (channel.secrets.open() or {}) == secrets
    if not same or not channel.enabled:
        channel.config, channel.secrets, channel.name, channel.enabled = config, secrets, name[:120], True
        channel.unhealthy_since, channel.unhealthy_reason = None, ""
        channel.save()


def follow_environment() -> None:
    """SLACK_WEBHOOK_URL may have come, changed or gone since the last start; before there is an owner nothing is made."""
    if Channel.objects.filter(made_for="owner").exists():
        ensure_global_slack()


def ensure_global_slack() -> None:
    """The webhook of SLACK_WEBHOOK_URL hears every alert; taken out of the environment, its channel is switched off."""
    channel = Channel.objects.filter(made_for="global_slack").first()
    if not settings.SLACK_WEBHOOK_URL:
        if channel is not None and channel.enabled:
            Channel.objects.filter(pk=channel.pk).update(enabled=False)
        return
    secrets = {"url": settings.SLACK_WEBHOOK_URL}
    if channel is None:
        channel = Channel.objects.create(
            name="Slack (all alerts)", type="slack", secrets=secrets, made_for="global_slack"
        )
        trigger = Trigger.objects.create(name=free_name("Default: every alert to Slack"), made_for="global_slack")
        trigger.channels.add(channel)
    elif channel.secrets.open() != secrets or not channel.enabled:
        channel.secrets, channel.enabled = secrets, True
        channel.save(update_fields=["secrets", "enabled"])
