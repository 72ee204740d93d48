"""The support desk: every list and page answers whom it should, costs the same for 3 rows as for 30, and saves through the doors."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from alerts.models import (
    Alert,
    Attempt,
    Channel,
    ContactChannel,
    Conversation,
    Decision,
    Delivery,
    Destination,
    Notice,
    Silence,
    Trigger,
)
from incidents.models import Incident, IncidentAlert, ServiceRules, TimelineEntry, Update
from monitors.models import Certificate, FailureBody, Monitor, Ping, Probe, ProbeState, Rollup, StateChange
from portal.audit import Actor
from portal.clock import database_now
from portal.models import (
    AuditEntry,
    Client,
    IdempotencyKey,
    Membership,
    OneTimeLink,
    ProviderSettings,
    Slot,
    Tag,
    Token,
    User,
    Worker,
)
from tests import cast

pytestmark = pytest.mark.django_db
DESKS = sorted(admin.site._registry, key=lambda model: model._meta.label)
INLINE = re.compile(
    r"""<script(?![^>]*\b(?:src|type="application/json")\b)|\sstyle=["']|<style\b|\son[a-z]+=["']|javascript:""", re.I
)


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


def desk(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def address(model, page: str = "") -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{page}"


def fill(number: int = 0) -> dict[type, object]:
    """One row of every model, all about Acme."""
    at, acme = database_now(), cast.acme()
    site, service, contact = cast.site(), cast.service(), cast.contact()
    cast.group()
    tag = Tag.objects.get_or_create(name="prod")[0]
    acme.tags.add(tag)
    monitor = Monitor.objects.create(
        client=acme,
        site=site,
        service=service,
        name=f"shop {number}",
        kind="http",
        config={"url": "http://shop.acme.example/"},
        state_version=1,
    )
    monitor.tags.add(tag)
    probe = Probe.objects.get_or_create(slug="local", defaults={"name": "local", "built_in": True})[0]
    ProbeState.objects.create(monitor=monitor, probe=probe, next_due_at=at)
    StateChange.objects.create(
        monitor=monitor, version=1, at=at, from_state="up", to_state="down", reason="It answered 500"
    )
    Ping.objects.create(monitor=monitor, at=at, kind="success", method="GET")
    Certificate.objects.create(
        monitor=monitor,
        fingerprint=f"{number:064}",
        subject="shop",
        issuer="CA",
        not_after=at,
        first_seen_at=at,
        last_seen_at=at,
    )
    FailureBody.objects.create(monitor=monitor, probe=probe, at=at, body="<h1>500</h1>")
    Rollup.objects.create(monitor=monitor, probe=probe, period="h", start=at)
    channel = Channel.objects.create(
        client=acme,
        name=f"ops {number}",
        type="email",
        config={"to": ["ops@acme.example"]},
        secrets={"smtp_password": "hidden-word"},
    )
    trigger = Trigger.objects.create(client=acme, name=f"all {number}")
    trigger.channels.add(channel)
    ContactChannel.objects.create(contact=contact, channel=channel)
    silence = Silence.objects.create(
        client=acme,
        reason="planned work",
        starts_at=at,
        ends_at=at + timedelta(hours=1),
        matchers={"source": "endpoint"},
    )
    alert = Alert.objects.create(
        source="endpoint", condition="health", event="down", entity_type="monitor", entity_id=str(monitor.pk), entity_name="shop", severity="critical",
        client=acme, title="shop is down", created_at=at, updated_at=at,
    )  # fmt: skip
    notice = Notice.objects.create(
        alert=alert,
        client=acme,
        seq=1,
        kind="opened",
        event="down",
        type="endpoint.down",
        severity="critical",
        created_at=at,
    )
    Decision.objects.create(notice=notice, rule="all", outcome="told", reason="it matches")
    delivery = Delivery.objects.create(
        notice=notice, alert=alert, seq=1, kind="opened", destination_key=f"channel:{channel.pk}", channel=channel, client=acme, state="failed", next_attempt_at=at, created_at=at, attempt=1,
    )  # fmt: skip
    Attempt.objects.create(delivery=delivery, n=1, at=at, outcome="permanent", error="no such host")
    Conversation.objects.create(alert=alert, destination_key=f"channel:{channel.pk}")
    Destination.objects.create(key=f"channel:{channel.pk}", first_at=at)
    incident = Incident.objects.create(
        client=acme,
        title="shop is down",
        created_at=at,
        auto_created=True,
        cause_key=f"monitor:{monitor.pk}",
        next_seq=2,
    )
    IncidentAlert.objects.create(incident=incident, alert=alert, joined_at=at)
    Update.objects.create(incident=incident, status="investigating", message="We look", created_at=at)
    TimelineEntry.objects.create(incident=incident, seq=1, at=at, kind="opened", text="shop is down")
    ServiceRules.objects.get_or_create(service=service)
    Worker.objects.create(id=f"w{number}", role="probe", host="here", pid=1, started_at=at, seen_at=at)
    Slot.objects.create(name="job", slot=number, taken_by="w", taken_at=at)
    IdempotencyKey.objects.create(token="t", key=f"{number}", request_hash="-")
    ProviderSettings.objects.get_or_create(
        provider="smtp",
        defaults={"config": {"host": "mail.msp.example", "port": 25}, "secrets": {"password": "hidden-word"}},
    )
    Token.issue(cast.make_owner(), f"script {number}", ["read"], client=acme)
    OneTimeLink.make("invite", expires_at=at + timedelta(days=1), recipient="new@acme.example")
    return {
        Alert: alert,
        Channel: channel,
        Delivery: delivery,
        Incident: incident,
        Monitor: monitor,
        Silence: silence,
        Trigger: trigger,
    }


# --- Who gets in -------------------------------------------------------------------------------------------------------
def test_every_model_has_a_desk_but_results():
    from django.apps import apps

    ours = {
        m for label in ("portal", "alerts", "monitors", "incidents") for m in apps.get_app_config(label).get_models()
    }
    assert {m._meta.label for m in ours - set(DESKS)} == {"monitors.Result"}
    strangers = {m._meta.label for m in set(DESKS) - ours}
    assert strangers == {"django_celery_beat.PeriodicTask"}


@pytest.mark.parametrize("who", ["make_owner", "make_staff", "make_auditor"])
def test_every_list_and_page_answers_the_msps_people(who):
    fill()
    user = getattr(cast, who)()
    browser = desk(user)
    assert browser.get("/admin/").status_code == 200
    for model in DESKS:
        page = admin.site._registry[model]
        may_view = user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
        answer = browser.get(address(model))
        assert answer.status_code == (200 if may_view else 403), model
        row = page.model._default_manager.order_by("pk").first()
        if row is not None and may_view:
            one = browser.get(address(model, f"{row.pk}/change/"))
            assert one.status_code == 200, model
            if who == "make_auditor":
                assert b'name="_save"' not in one.content, model
                assert b'name="action"' not in answer.content, model
            for html in (answer.content.decode(), one.content.decode()):
                assert not INLINE.search(html), (model, INLINE.search(html))
                assert "hidden-word" not in html, model
        add = browser.get(address(model, "add/"))
        may_add = user.has_perm(f"{model._meta.app_label}.add_{model._meta.model_name}") and page.has_add_permission(
            add.wsgi_request
        )
        assert add.status_code == (200 if may_add else 403), model
        assert not INLINE.search(add.content.decode()), model


def test_a_clients_people_do_not_get_in():
    for user in (cast.alice(), cast.viewer(), cast.stranger()):
        browser = desk(user)
        answer = browser.get("/admin/monitors/monitor/")
        assert answer.status_code in (302, 403)
        assert browser.get("/admin/", follow=True).status_code == 403


def test_who_is_not_signed_in_is_sent_to_the_one_sign_in_page(client):
    answer = client.get("/admin/alerts/alert/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/login/?next=")


def test_the_policy_of_an_admin_page_allows_nothing_inline(client):
    policy = desk(cast.make_owner()).get("/admin/")["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'self'" in policy


def cost_of(browser: Browser, model) -> int:
    """How many queries the list takes; none of them counts a huge table to its end."""
    with CaptureQueriesContext(connection) as queries:
        assert browser.get(address(model)).status_code == 200
    whole = re.compile(rf'^SELECT COUNT\(\*\) AS "__count" FROM "{model._meta.db_table}"$')
    assert model not in HUGE or not [q["sql"] for q in queries.captured_queries if whole.match(q["sql"])], model
    return len(queries)


HUGE = {Alert, Notice, Delivery, Attempt, Ping, StateChange, Incident, TimelineEntry, AuditEntry}


def test_a_list_costs_the_same_for_three_rows_and_for_thirty():
    browser = desk(cast.make_owner())
    for number in range(3):
        fill(number)
    browser.get(address(Monitor))  # fills what is asked once
    few = {model: cost_of(browser, model) for model in DESKS}
    for number in range(3, 30):
        fill(number)
    assert {model: cost_of(browser, model) for model in DESKS} == few


def test_a_list_is_searched_filtered_and_cut():
    fill()
    browser = desk(cast.make_staff())
    for model, query in [
        (Delivery, "?q=ops&state=failed&when=day"),
        (Alert, "?q=shop&status=open&when=hour"),
        (StateChange, "?when=week&to_state=down"),
        (Monitor, "?state=pending&q=shop&kind=http"),
    ]:
        page = browser.get(address(model) + query)
        assert (
            page.status_code == 200
            and b"1 " in page.content
            and b'class="action-select"' in page.content
            or model is StateChange
        ), model
    assert b'class="status status-down"><svg' in browser.get(address(StateChange)).content


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
