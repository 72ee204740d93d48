"""What is secret, and what would one look for? Every secret of the product, each with a value of its own, kept by the doors.

A value looks like its setting's own example, with the last signs changed: so it passes every check, and stands nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets as chance
import string
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from pydantic import SecretStr

from alerts import channels, integrations, services, unsubscribing
from alerts import links as alert_links
from alerts.models import Channel, Delivery
from monitors import checks, probes
from monitors.rules import secret_names
from playbooks import links as approval_links
from playbooks import services as playbooks
from portal import people, providers
from portal import services as ground
from portal.clock import database_now
from statuspages import links as reader_links
from tests import cast
from tests.alerts.test_channels_contract import example as channel_example
from tests.checks.test_contract import CANARY
from tests.checks.test_contract import FULL as CHECKS
from tests.monitors import rows
from tests.playbooks.steps.scene import example as step_example
from tests.portal import an_app
from tests.statuspages import reading

SHORTEST = 8  # signs: fewer stand in a page by chance
BESIDE = {"email": {"smtp_host": "mail.example.com", "smtp_user": "portal", "sender": "noc@example.com"}, "ntfy": {"user": "ana"}} | {
    "vonage_sms": {"api_key": "abcd1234"}, **{f"twilio_{way}": {"account_sid": "AC" + "0123456789abcdef" * 2} for way in ("sms", "voice", "whatsapp")},
}  # fmt: skip
STEP_SECRETS = ("secret", "authorization", "headers", "key_secret", "token", "secret_access_key")


@dataclass
class Planted:
    """`marks`: what each secret is called, and the part of it that is looked for. `pages`: where its row is shown."""

    marks: dict[str, str] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    monitors: list[Any] = field(default_factory=list)

    def keep(self, name: str, value: str, like: str = "") -> str:
        """Remember this secret; the value. `like`: where it begins as this does, the beginning is not looked for."""
        own = value[len(os.path.commonprefix([value, like])) :]
        mark = max(re.findall(r"[A-Za-z0-9_.-]+", own) or [""], key=len)[-24:]
        assert len(mark) >= SHORTEST, f"{name}: {value} is too short to be looked for"
        self.marks[name] = mark
        return value


def twisted(example: str, salt: str) -> str:
    """The example with other signs at its end, each of its own sort (digit, hexadecimal, letter)."""
    taken = hashlib.sha256(salt.encode()).digest() * 2
    head, at = list(example), len(example)
    hexadecimal = re.fullmatch(r"[0-9a-f]{8,}", re.split(r"[^A-Za-z0-9]", example.rstrip("="))[-1]) is not None
    for number in range(16):
        at -= 1
        while at >= 0 and not head[at].isalnum():
            at -= 1
        if at < len(example) // 3 or "://" in example[max(0, at - 2) :]:
            break
        sort = string.digits if head[at].isdigit() else "abcdef" if hexadecimal else string.ascii_lowercase if head[at].islower() else string.ascii_uppercase  # fmt: skip
        head[at] = sort[(sort.index(head[at]) + 1 + taken[number] % (len(sort) - 1)) % len(sort)]
    return "".join(head)


def planted(found: Planted, name: str, value: Any) -> Any:
    """The value (a text, or a map of texts) with other texts, all remembered."""
    if isinstance(value, dict):
        return {key: planted(found, f"{name}.{key}", item) for key, item in value.items()}
    return found.keep(name, twisted(str(value), name), str(value))


def plant(s: SimpleNamespace) -> Planted:
    """Everything, at Acme's and the MSP's."""
    found, acme = Planted(), cast.acme()
    ground.change_client(acme, by=cast.TESTS, slack_webhook="https://hooks.slack.com/services/T000/B000/" + found.keep("a client's Slack webhook", word()))  # fmt: skip
    for provider, (_, account) in providers.ACCOUNTS.items():
        given = {n: (f.examples or ["x"])[0] for n, f in account.model_fields.items() if f.examples}
        secret = {n: given.get(n) or word() for n, f in account.model_fields.items() if _is_secret(f)}
        plain = {n: v for n, v in given.items() if n not in secret}
        secret = {n: planted(found, f"provider {provider}.{n}", _long(v)) for n, v in secret.items()}
        if not providers.ProviderSettings.objects.filter(provider=provider).exists():
            providers.create(by=cast.TESTS, provider=provider, config=plain, secrets=secret)
    for kind in channels.KINDS:
        _channel(found, kind)
    for kind, cls in checks.KINDS.items():
        if secret_names(kind):
            config = {n: _instead(found, f"monitor {kind}.{n}", v) for n, v in CHECKS[kind].items()}
            m = rows.monitor(name=f"secret {kind}", kind=cls.kind, config=config)
            found.monitors.append(m)
            found.pages += [f"/monitors/{m.pk}/", f"/monitors/{m.pk}/edit/", f"/monitors/{m.pk}/clone/", f"/api/v1/monitors/{m.pk}", f"/admin/monitors/monitor/{m.pk}/change/"]  # fmt: skip
    _steps(found)
    _people(found, s)
    return found


def _channel(found: Planted, kind: str) -> None:
    given = channel_example(kind)
    secret = channels.split(kind, given)[1]
    for name, value in secret.items():
        given[name] = planted(found, f"channel {kind}.{name}", value)
    given |= BESIDE.get(kind, {})
    for name in sorted(set(channels.KINDS[kind].Config.secret_names()) - given.keys()):
        given |= _tried(kind, name, given, found)
    of = None if channels.KINDS[kind].staff_only else cast.acme()
    row = services.save_channel(None, by=cast.TESTS, client=of, name=f"secret {kind}", type=kind, settings=given)
    found.channels.append(row)
    found.pages += [f"/channels/{row.pk}/", f"/api/v1/channels/{row.pk}", f"/admin/alerts/channel/{row.pk}/change/"]


def _tried(kind: str, name: str, given: dict[str, Any], found: Planted) -> dict[str, Any]:
    """This secret beside those that are there, in the first shape that its kind takes; {} where one excludes the other."""
    word = hashlib.sha256(f"{kind}.{name}".encode()).hexdigest()[:32]
    shapes = (word, word[:30], f"xoxb-{word}", f"123456789:AAE{word}", "whsec_" + base64.b64encode(word.encode()).decode(), f"Bearer {word}", {"X-Key": word})  # fmt: skip
    for shape in shapes:
        try:
            channels.split(kind, {**given, name: shape})
        except ValueError:
            continue
        found.keep(f"channel {kind}.{name}", shape["X-Key"] if isinstance(shape, dict) else shape)
        return {name: shape}
    return {}


def _steps(found: Planted) -> None:
    dns = step_example("dns_swap")
    bare = {n: v for n, v in dns.items() if n not in ("server", "key_name", "key_secret")}
    named = [
        ("webhook", {"url": "https://run.example.com/failover", "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "authorization": f"Bearer {word()}", "headers": {"X-Key": word()}}),
        ("dns_swap", dns),
        ("dns_swap", {**bare, "provider": "cloudflare", "zone_id": "0a1b", "token": word()}),
        ("dns_swap", {**bare, "provider": "route53", "zone_id": "Z1", "access_key_id": "EXAMPLEKEY", "secret_access_key": word()}),
    ]  # fmt: skip
    steps = [
        {"kind": kind, "config": {n: planted(found, f"step {number} {kind}.{n}", v) if n in STEP_SECRETS else v for n, v in config.items()}}
        for number, (kind, config) in enumerate(named)
    ]  # fmt: skip
    row = playbooks.save_playbook(None, by=cast.TESTS, at=database_now(), client=cast.acme(), name="Secret steps", steps=steps)  # fmt: skip
    found.pages += [f"/playbooks/{row.pk}/", f"/playbooks/{row.pk}/edit/", f"/api/v1/playbooks/{row.pk}", f"/admin/playbooks/playbook/{row.pk}/change/"]  # fmt: skip


def _people(found: Planted, s: SimpleNamespace) -> None:
    """Keys and links that are shown once, to one person."""
    at, alice = database_now(), cast.alice()
    found.keep("API token", people.issue_token(alice, "of Alice", ["read"], by=cast.TESTS)[1])
    found.keep("integration key", integrations.create(by=cast.TESTS, client=cast.acme(), name="Zabbix")[1])  # fmt: skip
    found.keep("probe token", probes.create(by=cast.TESTS, at=at, name="Acme cellar", client=cast.acme())[1])
    invited = people.invite("zoe@acme.example", role="viewer", client=cast.acme(), by=cast.TESTS)[1]
    found.keep("invitation", invited or "")
    found.keep("approval link", approval_links.url(s.run).rstrip("/").rpartition("/")[2].rpartition(".")[2])
    found.keep("acknowledge link", alert_links.acknowledge_url(_delivery(s)).rstrip("/").rpartition("/")[2])
    found.keep("unsubscribe link", unsubscribing.path(s.way.pk, "ana@acme.example").strip("/").rpartition("/")[2])
    found.keep("reader's link", reader_links.url(s.asked, reader_links.CONFIRM).rstrip("/").rpartition("/")[2])
    an_app.give_app(cast.approver(), secret := "KVKFKRCPNZQUYMLXOVYDSQKJKZDTSRLD")
    found.keep("TOTP seed", secret)
    for number, code in enumerate(an_app.give_codes(cast.approver())):
        found.keep(f"recovery code {number}", code)
    reading.reader(s.page, "https://hooks.example.com/" + found.keep("a reader's webhook", word()), "webhook")


def _delivery(s: SimpleNamespace) -> int:
    return int(Delivery.objects.filter(alert=s.alert, channel=s.theirs).first().pk)


def _is_secret(info: Any) -> bool:
    return "SecretStr" in str(info.annotation)


def _instead(found: Planted, name: str, value: Any) -> Any:
    """What the contract's settings hold for a secret, with words of our own."""
    if isinstance(value, dict):
        return {key: _instead(found, f"{name}.{key}", item) for key, item in value.items()}
    return value.replace(CANARY, found.keep(name, word())) if isinstance(value, str) and CANARY in value else value


def _long(value: Any) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return text if len(text) >= SHORTEST + 4 else text + word()


def word() -> str:
    """A secret that stands nowhere else."""
    return "cnry" + chance.token_hex(12)


def of_the_environment(found: Planted) -> dict[str, Any]:
    """Settings as the environment would give them."""
    return {
        "SECRET_KEY": found.keep("SECRET_KEY", word() * 3),
        "SMTP": {**settings.SMTP, "host": "mail.example.com", "user": "portal", "password": found.keep("SMTP_PASSWORD", word())},
        "PUBLISH_S3": {**settings.PUBLISH_S3, "secret": found.keep("PUBLISH_S3_SECRET", word())},
        "HEARTBEAT_URL": "https://hc.example.com/" + found.keep("HEARTBEAT_URL", word()),
        "ENCRYPTION_KEYS": [found.keep("ENCRYPTION_KEYS", Fernet.generate_key().decode())],
        "ACTION_SIGNING_KEY": settings.ACTION_SIGNING_KEY,
    }  # fmt: skip
