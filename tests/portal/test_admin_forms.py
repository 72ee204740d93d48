"""What is done at the desk ends at the services' doors: forms, actions, secrets, refusals."""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache
from django.test import Client as Browser

from alerts.models import (
    Alert,
    Channel,
    Delivery,
    Silence,
    Trigger,
)
from incidents.models import Incident
from monitors.models import Monitor, Probe
from portal.audit import Actor
from portal.models import (
    AuditEntry,
    Client,
    Membership,
    ProviderSettings,
    Token,
    User,
)
from tests import cast
from tests.portal.at_the_desk import address, desk, fill

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


# --- What is done goes through the doors ---------------------------------------------------------------------------------
def act(browser: Browser, model, action: str, *rows) -> str:
    answer = browser.post(address(model), {"action": action, "_selected_action": [row.pk for row in rows]}, follow=True)
    assert answer.status_code == 200
    return " ".join(str(m) for m in answer.context["messages"])


def test_actions_end_at_the_doors_and_say_what_was_refused():
    rows = fill()
    browser = desk(cast.make_staff())
    assert act(browser, Monitor, "pause", rows[Monitor]) == "1 paused."
    assert act(browser, Monitor, "pause", rows[Monitor]) == "This monitor is paused already."
    assert act(browser, Monitor, "resume", rows[Monitor]) == "1 resumed."
    assert act(browser, Monitor, "check_now", rows[Monitor]) == "1 checked at once."
    assert act(browser, Delivery, "retry", rows[Delivery]) == "1 will be tried again."
    assert act(browser, Silence, "cancel", rows[Silence]) == "1 cancelled."
    fresh = fill(2)
    assert act(browser, Alert, "acknowledge", fresh[Alert]) == "1 acknowledged."
    assert act(browser, Alert, "resolve", fresh[Alert]) == "1 resolved."
    assert act(browser, Incident, "resolve", fresh[Incident]).endswith(("resolved.", "already."))
    assert AuditEntry.objects.filter(action="alert.acknowledge", actor="sam@msp.example").count() == 1


def test_an_auditor_acts_on_nothing():
    rows = fill()
    browser = desk(cast.make_auditor())
    browser.post(address(Monitor), {"action": "pause", "_selected_action": [rows[Monitor].pk]})
    browser.post(address(Delivery), {"action": "retry", "_selected_action": [rows[Delivery].pk]})
    assert (
        Monitor.objects.get(pk=rows[Monitor].pk).enabled
        and Delivery.objects.get(pk=rows[Delivery].pk).state == "failed"
    )
    assert browser.post(address(Monitor, f"{rows[Monitor].pk}/change/"), {"name": "x"}).status_code == 403


def monitor_form(**changes: object) -> dict[str, object]:
    fields = {
        "client": cast.acme().pk, "name": "shop", "kind": "http", "config": '{"url": "http://shop.acme.example/"}', "enabled": "on", "interval_seconds": 60, "timeout_seconds": 5,
        "confirmation_count": 2, "confirmation_seconds": 0, "recovery_count": 1, "recovery_seconds": 0, "quorum": 1, "severity": "critical", "flapping_changes": 6,
        "flapping_window_seconds": 1800, "tags": "prod, web",
    }  # fmt: skip
    return {**fields, **changes}


def errors(answer) -> dict[str, list[str]]:
    assert answer.status_code == 200, answer.status_code
    return {name: [str(e) for e in said] for name, said in answer.context["adminform"].form.errors.items()}


def test_a_monitor_is_made_and_changed_and_its_secrets_stay_unseen():
    Probe.objects.get_or_create(slug="local", defaults={"name": "local", "built_in": True})
    browser = desk(cast.make_staff())
    config = '{"url": "http://shop.acme.example/", "auth": "basic", "user": "u", "password": "pa-ss-word"}'
    answer = browser.post(address(Monitor, "add/"), monitor_form(config=config))
    assert answer.status_code == 302, errors(answer)
    made = Monitor.objects.get()
    assert made.trusted and made.views.count() == 1 and made.secrets.open() == {"password": "pa-ss-word"}
    assert sorted(t.name for t in made.tags.all()) == ["prod", "web"]
    page = browser.get(address(Monitor, f"{made.pk}/change/")).content.decode()
    assert "pa-ss-word" not in page and "Stored and not shown: password" in page
    answer = browser.post(
        address(Monitor, f"{made.pk}/change/"), monitor_form(name="shop 2", config=json.dumps(made.config))
    )
    assert answer.status_code == 302, errors(answer)
    made.refresh_from_db()
    assert made.name == "shop 2" and made.secrets.open() == {"password": "pa-ss-word"}
    assert AuditEntry.objects.filter(action="monitor.change", actor="sam@msp.example").count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": '{"url": "ftp://x"}'}, "config"),
        ({"config": "{"}, "config"),
        ({"config": "[]"}, "config"),
        ({"config": "[" * 5000}, "config"),
        ({"config": '{"url": "http://x.example/\\u0000"}'}, "config"),
        ({"config": '{"url": "http://x.example/", "keyword": "(", "keyword_mode": "regex"}'}, "config"),
        ({"config": '{"url": "http://169.254.169.254/"}'}, "config"),
        ({"kind": "nonsense"}, "kind"),
        ({"interval_seconds": "2"}, None),
        ({"timeout_seconds": "100"}, None),
        ({"quorum": "5"}, "quorum"),
        ({"name": ""}, "name"),
        ({"tags": "x" * 60}, "tags"),
    ],
)
def test_bad_input_is_told_at_the_field_and_nothing_is_stored(changes, field):
    Probe.objects.get_or_create(slug="local", defaults={"name": "local", "built_in": True})
    said = errors(desk(cast.make_staff()).post(address(Monitor, "add/"), monitor_form(**changes)))
    assert said and (field is None or field in said), said
    assert not Monitor.objects.exists()


def test_a_channels_secret_goes_in_and_never_comes_out():
    browser = desk(cast.make_staff())
    assert b"?type=webhook" in browser.get(address(Channel, "add/")).content
    form = {
        "name": "hook",
        "config_url": "https://hooks.example.com/x",
        "config_secret": "",
        "enabled": "on",
        "config_headers": "{}",
    }
    answer = browser.post(address(Channel, "add/?type=webhook"), {**form, "config_url": "not a url"})
    assert "config_url" in errors(answer) and not Channel.objects.filter(name="hook").exists()
    form = {
        "name": "mail",
        "config_to": "ops@acme.example\nana@acme.example",
        "config_smtp_host": "mail.example.com",
        "config_smtp_port": "25",
        "config_smtp_tls": "none",
        "config_smtp_password": "pa-ss-word",
        "enabled": "on",
    }
    answer = browser.post(address(Channel, "add/?type=email"), form)
    assert answer.status_code == 302, errors(answer)
    made = Channel.objects.get(name="mail")
    assert made.secrets.open() == {"smtp_password": "pa-ss-word"} and made.config["to"] == [
        "ops@acme.example",
        "ana@acme.example",
    ]
    page = browser.get(address(Channel, f"{made.pk}/change/")).content.decode()
    assert "pa-ss-word" not in page and 'name="config_smtp_password"' in page
    browser.post(address(Channel, f"{made.pk}/change/"), {**form, "name": "mail 2", "config_smtp_password": ""})
    made.refresh_from_db()
    assert made.name == "mail 2" and made.secrets.open() == {"smtp_password": "pa-ss-word"}
    browser.post(
        address(Channel, f"{made.pk}/change/"), {**form, "config_smtp_password": "", "forget_smtp_password": "on"}
    )
    made.refresh_from_db()
    assert not made.secrets


def test_provider_settings_are_the_owners_and_their_secrets_write_only():
    assert desk(cast.make_staff()).get(address(ProviderSettings, "add/")).status_code == 403
    browser = desk(cast.make_owner())
    assert b"?provider=smtp" in browser.get(address(ProviderSettings, "add/")).content
    form = {
        "config_host": "mail.msp.example",
        "config_port": "25",
        "config_tls": "none",
        "config_sender": "",
        "config_user": "u",
        "config_password": "pa-ss-word",
    }
    assert "config_host" in errors(
        browser.post(address(ProviderSettings, "add/?provider=smtp"), {**form, "config_host": "a b"})
    )
    answer = browser.post(address(ProviderSettings, "add/?provider=smtp"), form)
    assert answer.status_code == 302, errors(answer)
    row = ProviderSettings.objects.get()
    assert row.values() == {
        "host": "mail.msp.example",
        "port": 25,
        "tls": "none",
        "user": "u",
        "password": "pa-ss-word",
    }
    assert b"pa-ss-word" not in browser.get(address(ProviderSettings, f"{row.pk}/change/")).content
    browser.post(address(ProviderSettings, f"{row.pk}/change/"), {**form, "config_port": "26", "config_password": ""})
    row.refresh_from_db()
    assert row.config["port"] == 26 and row.secrets.open() == {"password": "pa-ss-word"}


def test_a_token_is_shown_once_and_revoked():
    owner = cast.make_owner()
    browser = desk(owner)
    answer = browser.post(address(Token, "add/"), {"user": owner.pk, "name": "script", "scopes": ["read", "write"]})
    token = Token.objects.get(name="script")
    assert (
        answer.status_code == 200
        and f"wk_{token.prefix}_".encode() in answer.content
        and "no-store" in answer["Cache-Control"]
    )
    assert f"wk_{token.prefix}_".encode() not in browser.get(address(Token, f"{token.pk}/change/")).content
    assert act(browser, Token, "revoke", token) == "1 revoked."
    token.refresh_from_db()
    assert token.revoked_at and "scopes" in errors(
        browser.post(address(Token, "add/"), {"user": owner.pk, "name": "x"})
    )


def test_people_are_invited_and_the_last_owner_stays():
    owner = cast.make_owner()
    browser = desk(owner)
    answer = browser.post(
        address(User, "add/"), {"email": "new@acme.example", "name": "New", "role": "viewer", "client": cast.acme().pk}
    )
    assert b"/invite/" in answer.content and Membership.objects.get(user__email="new@acme.example").role == "viewer"
    assert "role" in errors(
        browser.post(address(User, "add/"), {"email": "x@acme.example", "role": "owner", "client": cast.acme().pk})
    )
    mine = owner.memberships.get()
    assert browser.post(address(Membership, f"{mine.pk}/delete/"), {"post": "yes"}, follow=True).status_code == 200
    said = errors(browser.post(address(Membership, f"{mine.pk}/change/"), {"role": "auditor"}))
    assert "last owner" in " ".join(said["__all__"]) and owner.memberships.filter(role="owner").exists()


def test_a_client_is_deleted_after_hearing_what_goes():
    fill()
    browser, acme = desk(cast.make_owner()), cast.acme()
    page = browser.get(address(Client, f"{acme.pk}/delete/")).content.decode()
    assert "monitors: 1, with all that belongs to them" in page
    assert browser.post(address(Client, f"{acme.pk}/delete/"), {"post": "yes"}).status_code == 302
    assert not Client.objects.filter(pk=acme.pk).exists()
    assert AuditEntry.objects.filter(action="client.deleted", subject=f"client:{acme.pk}").exists()


def test_clients_silences_triggers_and_incidents_are_saved_by_their_services():
    rows = fill()
    browser, acme = desk(cast.make_staff()), cast.acme()
    answer = browser.post(
        address(Client, f"{acme.pk}/change/"),
        {
            "name": "Acme",
            "slug": "acme",
            "timezone": "Europe/Lisbon",
            "email": "",
            "new_slack_webhook": "https://hooks.slack.com/services/x",
            "tags": "gold",
            "active": "on",
        },
    )
    assert answer.status_code == 302, errors(answer)
    acme.refresh_from_db()
    assert acme.timezone == "Europe/Lisbon" and acme.slack_webhook and [t.name for t in acme.tags.all()] == ["gold"]
    assert "timezone" in errors(
        browser.post(address(Client, "add/"), {"name": "N", "timezone": "Mars", "active": "on"})
    )
    silence = {
        "reason": "work",
        "starts_at_0": "2031-01-01",
        "starts_at_1": "10:00",
        "ends_at_0": "2031-01-01",
        "ends_at_1": "11:00",
        "timezone": "UTC",
        "matchers": '{"source": "endpoint"}',
    }
    answer = browser.post(address(Silence, "add/"), silence)
    assert answer.status_code == 302, errors(answer)
    assert "matchers" in errors(browser.post(address(Silence, "add/"), {**silence, "matchers": '{"colour": "red"}'}))
    trigger = {
        "verdict_wait_seconds": 8,
        "name": "Critical",
        "client": acme.pk,
        "filter_severities": "critical",
        "timezone": "UTC",
        "channels": [rows[Channel].pk],
        "enabled": "on",
    }
    answer = browser.post(address(Trigger, "add/"), trigger)
    assert answer.status_code == 302, errors(answer)
    assert "filter_severities" in errors(
        browser.post(address(Trigger, "add/"), {**trigger, "name": "B", "filter_severities": "loud"})
    )
    answer = browser.post(
        address(Incident, "add/"),
        {
            "title": "Mail is slow",
            "severity": "minor",
            "status": "investigating",
            "client": acme.pk,
            "affected_monitor_ids": f"[{rows[Monitor].pk}]",
        },
    )
    assert answer.status_code == 302, errors(answer)
    made = Incident.objects.get(title="Mail is slow")
    answer = browser.post(
        address(Incident, f"{made.pk}/change/"),
        {
            "title": "Mail is down",
            "severity": "major",
            "affected_monitor_ids": "[]",
            **{f"timeline-{n}": 0 for n in ("TOTAL_FORMS", "INITIAL_FORMS")},
        },
    )
    assert answer.status_code == 302, errors(answer)
    assert Incident.objects.get(pk=made.pk).title == "Mail is down" and made.timeline.filter(kind="edited").exists()


def test_the_history_of_a_row_is_its_audit_log():
    acme = cast.acme()
    from portal import services

    services.change_client(acme, by=Actor("Olga"), notes="hello")
    page = desk(cast.make_staff()).get(address(Client, f"{acme.pk}/history/"), follow=True)
    assert page.status_code == 200 and b"client.changed" in page.content and b"Olga" in page.content
