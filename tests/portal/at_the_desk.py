"""Who sits at the desk, and what lies on it? A signed-in browser, and one row of every model."""

from __future__ import annotations

from datetime import date, timedelta

from django.test import Client as Browser

from alerts.models import (
    Alert,
    Attempt,
    Channel,
    ContactChannel,
    Conversation,
    Decision,
    Delivery,
    Destination,
    EscalationPolicy,
    Integration,
    Level,
    Notice,
    Run,
    ServiceRouting,
    Silence,
    Step,
    Trigger,
)
from incidents.models import (
    Incident,
    IncidentAlert,
    Postmortem,
    ServiceRules,
    SlaContract,
    SlaReport,
    TimelineEntry,
    Update,
)
from monitors.models import (
    Baseline,
    Battery,
    Certificate,
    Diagnosis,
    FailureBody,
    Monitor,
    Ping,
    Probe,
    ProbeState,
    Rollup,
    RouteChange,
    StateChange,
)
from playbooks import services as repairs
from playbooks.models import Approval, RunTarget
from playbooks.models import Run as PlaybookRun
from portal.clock import database_now
from portal.models import (
    IdempotencyKey,
    OneTimeLink,
    ProviderSettings,
    Slot,
    Tag,
    Token,
    User,
    Worker,
)
from statuspages.models import (
    Component,
    ComponentGroup,
    Page,
    Projection,
    Publication,
    ScheduledWork,
    Subscriber,
    WorkUpdate,
)
from tests import cast


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
    cast.take_over()
    policy = EscalationPolicy.objects.create(client=acme, name=f"policy {number}")
    Level.objects.create(policy=policy, order=1, delay_seconds=0)
    ServiceRouting.objects.update_or_create(service=service, defaults={"policy": policy})
    Integration.objects.create(client=acme, name=f"rmm {number}", key_hash=f"{number:064}", key_hint="abc123")
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
    diagnosis = Diagnosis.objects.create(monitor=monitor, cause="failure", state="done", started_at=at, deadline_at=at)
    Battery.objects.create(diagnosis=diagnosis, probe=probe, state="done", target_key="shop.acme.example:80")
    Baseline.objects.create(monitor=monitor, probe=probe, next_at=at)
    RouteChange.objects.create(monitor=monitor, probe=probe, at=at, as_before=[64500], as_after=[64501])
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
    run = Run.objects.create(
        policy=policy, policy_name=policy.name, alert=alert, client=acme, snapshot={"levels": []}, started_at=at, next_action_at=at
    )  # fmt: skip
    Step.objects.create(
        run=run, pass_number=0, level=1, destination_key=f"channel:{channel.pk}", delivery=delivery, at=at
    )
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
    Postmortem.objects.create(incident=incident, body="# Learned", updated_at=at)
    SlaContract.objects.get_or_create(service=service)
    SlaReport.objects.create(
        client=acme,
        month=date(2026, 10, 1),
        digest=f"{number:064}",
        body={"services": [], "counted_at": at.isoformat()},
        made_at=at,
    )
    page = Page.objects.create(client=acme, name=f"status {number}", slug=f"status-{number}")
    Component.objects.create(page=page, name="Shop")
    ComponentGroup.objects.create(page=page, name="Core")
    Projection.objects.create(page=page)
    Publication.objects.create(page=page, incident=incident, published_at=at)
    work = ScheduledWork.objects.create(
        page=page, title="Upgrade", starts_at=at, ends_at=at + timedelta(hours=1), created_at=at
    )
    WorkUpdate.objects.create(work=work, status="scheduled", created_at=at)
    Subscriber.objects.create(
        page=page,
        kind="email",
        address="hidden-word@acme.example",
        address_hash=f"{number:064}",
        created_at=at,
        asked_at=at,
    )
    book = cast.playbook(name=f"repair {number}")
    PlaybookRun.objects.filter(pk=repairs.dry_run(book, monitor, by=cast.TESTS, at=at).pk).update(incident=incident)
    ran = PlaybookRun.objects.get(playbook=book)
    RunTarget.objects.create(run=ran, key=f"probe:{number}/restart")
    Approval.objects.create(run=ran, user=cast.make_owner(), word="approve", plan_hash=ran.plan_hash, how="totp", at=at)
    cast.brake()
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
