"""Which pages are there? All of them, for staff, clients and the public, each with something on it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

from django.contrib.auth.hashers import make_password
from django.db import transaction

from alerts import links as alert_links
from alerts import phrasing, quiet, requesting, unsubscribing
from alerts.models import Channel, Delivery
from incidents import parents, postmortems, reports, sla_mail
from incidents import services as incidents
from monitors import discovery, findings, host_findings, templates
from monitors.diagnosis import links as report_links
from monitors.models import Monitor, MonitorTemplate, Probe, ProbeJob
from playbooks import links as approval_links
from portal import people
from portal import services as ground
from portal.clock import database_now
from portal.models import Contact, Membership, SavedFilter, TrashEntry
from statuspages import links as reader_links
from statuspages.models import Page
from tests import cast
from tests.alerts import climbing
from tests.console import report_scene, scene
from tests.console.test_network_page import RESULT
from tests.console.visiting import FORMS, LISTS
from tests.monitors import rows
from tests.monitors.test_hosts_page import minute
from tests.monitors.test_hosts_record import box, done
from tests.playbooks import acting
from tests.statuspages import reading, showing

STATES = {
    "operational": ["up"], "degraded": ["up", "degraded"], "partial": ["up", "down"], "major": ["down"], "maintenance": ["maintenance"], "unknown": ["unknown"],
}  # fmt: skip
PASSWORD = "open sesame"


def fill() -> SimpleNamespace:
    """An installation after a bad night: everything a page can show, made through the doors."""
    rows.probe()
    at, acme = database_now(), cast.acme()
    cast.make_owner()
    acme_people = cast.contact()
    cast.group()
    service = cast.service()
    schedule = cast.schedule()
    override = cast.take_over()
    way = Channel.objects.create(client=acme, contact=acme_people, name="Ana's mail", type="email", config={"to": ["ana@acme.example"]})  # fmt: skip
    reached = acme_people.ways.create(channel=way)
    policy = climbing.policy(
        climbing.level(0, way), climbing.level(240, way, schedules=[schedule]), name="Nights", client=acme
    )
    s = scene.outage()
    s.at, s.service, s.schedule, s.override, s.policy, s.reached, s.way = at, service, schedule, override, policy, reached, way  # fmt: skip
    s.contact, s.group, s.integration = acme_people, cast.group(), cast.integration()
    s.thrown = _thrown_away(s)
    s.trigger = s.theirs.triggers.get()
    s.template = templates.save(
        MonitorTemplate(name="Web", kind="http", values={"interval_seconds": 30}), by=cast.TESTS
    )
    Monitor.objects.filter(pk=s.up.pk).update(template=s.template, service=service)
    s.wording = phrasing.save_template(None, by=cast.TESTS, name="Ours", title="{{client}}: {{monitor}}", text="Because: {{cause}}")  # fmt: skip
    s.silence = quiet.save_silence(by=cast.TESTS, at=at, client=acme, reason="Moving house", starts_at=at, ends_at=at + timedelta(hours=1), matchers={"tag": "prod"})  # fmt: skip
    s.window = quiet.save_window(by=cast.TESTS, at=at, client=acme, title="Switch", starts_at=at + timedelta(days=1), duration_seconds=3600, timezone="UTC", scopes=[])  # fmt: skip
    s.request = requesting.ask(acme, user=cast.approver(), by=cast.TESTS, at=at, title="Second switch", note="It hums.", starts_at=at, ends_at=at + timedelta(hours=1))  # fmt: skip
    s.diagnosis = report_scene.diagnosis(s.down, s.alert)
    s.seeking = report_scene.diagnosis(s.up, state="gathering")
    _probes(s)
    _machines(s)
    _incidents(s)
    _playbooks(s)
    _public(s)
    return s


def _probes(s: SimpleNamespace) -> None:
    """One inside the client's network that has looked around, one that waits for its key."""
    s.probe, s.waiting = cast.probe(), cast.probe(slug="acme-branch")
    Probe.objects.filter(pk=s.probe.pk).update(public_key="k", enrolled_at=s.at, last_seen_at=s.at)
    s.probe.refresh_from_db()
    job = discovery.ask(s.probe, by=cast.TESTS, at=s.at)
    ProbeJob.objects.filter(pk=job.pk).update(state="done", result=RESULT, finished_at=s.at)


def _machines(s: SimpleNamespace) -> None:
    """A server under load, and a server with containers, one of them dead; a job that calls in."""
    host_findings._forecasts.clear()
    s.host, s.boxes = rows.monitor(name="web-1", kind="host"), rows.monitor(name="web-1 boxes", kind="container")
    s.job = rows.monitor(name="backup", kind="heartbeat")
    at = s.at.replace(second=0, microsecond=0)
    facts = {"name": "web-1", "system": "Debian GNU/Linux 12", "memory_bytes": 8 << 30}
    seen = {"values": minute(0) | {"cpu_percent": 96.0}, "facts": facts, "services": {"nginx": "failed"}, "certificates": {"/etc/ssl/shop.pem": {"days": 4.4}}}  # fmt: skip
    dead = box("cache", state="exited", exit_code=137, oom_killed=True, log="one\nOut of memory")
    findings.note([done(s.host, at, {"host": seen}), done(s.boxes, at, {"containers": {"list": [box("db"), dead], "cut": False}})])  # fmt: skip


def _incidents(s: SimpleNamespace) -> None:
    """Two clients with one fault, joined; what was learned of it; a month of a promise."""
    with transaction.atomic():
        alone = incidents.create(by=cast.TESTS, at=s.at, title="Mail is slow", severity="minor", client_id=s.client.pk, notify=False)  # fmt: skip
        theirs = incidents.create(by=cast.TESTS, at=s.at, title="Mail is slow", severity="minor", client_id=cast.globex().pk, notify=False)  # fmt: skip
    s.parent = parents.group([alone, theirs], title="A rack is dark", by=cast.TESTS, at=s.at)
    s.child = alone
    s.update = incidents.update(
        s.incident, by=cast.TESTS, at=s.at, status="identified", message="A *switch* is broken."
    )
    postmortems.open_for(s.incident, postmortems.draft(postmortems.story_of(s.incident)), by=cast.TESTS, at=s.at)
    reports.save_contract(s.service, by=cast.TESTS, target_percent=99.9)
    sla_mail.name_recipients(s.client, [s.contact], by=cast.TESTS, ours=True)
    s.month = (s.at.replace(day=1) - timedelta(days=1)).date().replace(day=1)
    reports.make(s.client, s.month, by=cast.TESTS, at=s.at)


def _playbooks(s: SimpleNamespace) -> None:
    """A playbook whose run waits for somebody's word."""
    s.playbook = acting.playbook("bell", name="Rest a while")
    s.playbook.steps.update(kind="wait", config={"seconds": 5})
    s.playbook.approvers.add(acting.approver())
    seen = acting.scene()
    seen.down()
    seen.explained()
    s.run = acting.only_run()


def _thrown_away(s: SimpleNamespace) -> TrashEntry:
    """Somebody in the trash; and views of the lists that the owner keeps."""
    gone = Contact.objects.create(client=cast.acme(), name="Somebody who left")
    ground.delete(gone, by=cast.TESTS)
    for name, query in (("monitors", "state=down"), ("alerts", "status=active")):
        SavedFilter.objects.create(user=cast.make_owner(), list=name, name="What is wrong", query=query)
    return TrashEntry.objects.get(kind="portal.contact", object_id=gone.pk)


def _public(s: SimpleNamespace) -> None:
    """Pages in every state, with all that they can show, one behind a password; their readers."""
    for n, (slug, states) in enumerate(STATES.items()):
        of = cast.client(f"Client of {slug}")
        page = showing.page(of, name=f"{of} status", slug=slug, show_latency=True, about="More **about** [it](https://acme.example/).", announcement="We *move*.", support_url="https://acme.example/help")  # fmt: skip
        part = None
        for state in states:
            m = showing.monitor(state, f"{slug} {state}", of, state_since=s.at)
            group = showing.group(page, state, collapsed=state == "up")
            part = showing.component(page, f"Checkout {state}", m, group=group, description="Where people pay.")
            today = s.at.replace(hour=0, minute=0, second=0, microsecond=0)
            showing.rolled(m, today - timedelta(days=2), 24, up=59, degraded=n % 2, failing=n % 3)
            if state in ("degraded", "down"):
                showing.incident(page, f"Payments are {state}", "critical" if state == "down" else "minor", at=s.at - timedelta(minutes=20), components=[part])  # fmt: skip
        showing.incident(page, "Search was slow", at=s.at - timedelta(days=3), resolved_at=s.at - timedelta(days=2, hours=20), components=[part])  # fmt: skip
        showing.work(page, at=s.at, components=[part])
        if slug == "maintenance":
            showing.work(page, "Switch replaced", "in_progress", s.at, components=[part], starts_at=s.at, ends_at=s.at + timedelta(hours=1))  # fmt: skip
        showing.build(page, s.at)
    s.page = Page.objects.get(slug="partial")
    s.group_of_parts, s.part, s.work = s.page.groups.first(), s.page.components.first(), s.page.works.first()
    s.publication = s.page.publications.order_by("pk").first()
    s.empty = showing.build(showing.page(slug="empty"), s.at)
    s.locked = showing.build(showing.page(slug="locked", visibility="password", password_hash=make_password(PASSWORD)), s.at)  # fmt: skip
    s.reader = reading.reader(s.page)
    s.invitation = people.invite("ida@acme.example", role="viewer", client=s.client, by=cast.TESTS)[1]
    s.person = Membership.objects.get(user__email="ida@acme.example")
    s.asked = reading.reader(s.page, "ben@readers.example", state="pending", confirmed_at=None, asked_at=s.at)


# --- The addresses ----------------------------------------------------------------------------------------------------------
def of_staff(s: SimpleNamespace) -> list[str]:
    """What our own people open."""
    page, incident, way = (
        f"/status-pages/{s.page.pk}/",
        f"/incidents/{s.incident.pk}/",
        f"/contacts/{s.contact.pk}/ways/",
    )
    published, work = f"/incidents/{s.publication.incident_id}/publication/", f"{page}works/{s.work.pk}/"
    return [
        *LISTS, *FORMS, *of_clients(s)[len(LISTS) :], "/clients/add/", "/probes/add/", "/search/?q=shop", "/search/?q=there-is-none", "/alerts/?status=all",
        f"/monitors/{s.up.pk}/clone/", f"/monitor-templates/{s.template.pk}/", f"/monitor-templates/{s.template.pk}/diff/", f"/incidents/{s.parent.pk}/", f"/incidents/{s.child.pk}/",
        f"{incident}merge/", f"{incident}split/", f"{incident}join/", f"{incident}updates/{s.update.pk}/", "/incidents/group/", published, f"/sla/services/{s.service.pk}/",
        f"/services/{s.service.pk}/", f"/integrations/{s.integration.pk}/rotate/", f"/probes/{s.waiting.pk}/enrol/", f"/probes/{s.probe.pk}/edit/", f"/message-templates/{s.wording.pk}/",
        f"{way}add/", f"{way}{s.reached.pk}/", page, f"{page}edit/", f"{page}readers/", f"{page}components/add/", f"{page}components/{s.part.pk}/", f"{page}groups/{s.group_of_parts.pk}/",
        f"{page}works/add/", work, f"{work}edit/", f"/status-pages/{s.empty.pk}/", f"/playbooks/{s.playbook.pk}/", f"/playbooks/{s.playbook.pk}/edit/", f"/runs/{s.run.pk}/",
        "/password/change/", "/reauthenticate/", "/logout/", "/wallboard/", "/people/", "/people/invite/", f"/people/{s.person.pk}/", "/security/sessions/", "/view-as/", "/branding/", "/branding/ours/", f"/branding/{s.client.pk}/", "/help/", "/help/on-call/",
    ]  # fmt: skip


def each_kind(s: SimpleNamespace) -> list[str]:
    """Of those, one of each kind: what differs most in its shapes and colours."""
    return [
        "/", "/monitors/", f"/monitors/{s.down.pk}/", f"/monitors/{s.host.pk}/", f"/monitors/{s.boxes.pk}/", f"/alerts/{s.alert.pk}/", f"/incidents/{s.incident.pk}/", "/deliveries/",
        f"/diagnoses/{s.diagnosis.pk}/", f"/on-call/{s.schedule.pk}/", f"/escalation-policies/{s.policy.pk}/edit/", "/channels/", f"/contacts/{s.contact.pk}/", f"/clients/{s.client.pk}/",
        f"/status-pages/{s.page.pk}/", f"/status-pages/{s.page.pk}/edit/", f"/sla/{s.client.pk}/{s.month:%Y-%m}/", f"/probes/{s.probe.pk}/network/", f"/runs/{s.run.pk}/", "/approvals/",
        "/monitors/add/", f"/incidents/{s.incident.pk}/postmortem/edit/",
    ]  # fmt: skip


def before_it_is_gone(s: SimpleNamespace) -> list[str]:
    """Questions before something ends; all of them are one template."""
    page = f"/status-pages/{s.page.pk}/"
    return [
        f"/monitor-templates/{s.template.pk}/delete/", f"/diagnoses/{s.diagnosis.pk}/revoke/", f"/incidents/{s.publication.incident_id}/publication/{s.publication.pk}/withdraw/",
        f"/integrations/{s.integration.pk}/delete/", f"/probes/{s.probe.pk}/disable/", f"/probes/{s.probe.pk}/revoke/", f"/probes/{s.probe.pk}/delete/", f"/on-call/{s.schedule.pk}/delete/",
        f"/on-call/{s.schedule.pk}/revoke/", f"/escalation-policies/{s.policy.pk}/delete/", f"/message-templates/{s.wording.pk}/delete/", f"/contact-groups/{s.group.pk}/delete/",
        f"/contacts/{s.contact.pk}/ways/{s.reached.pk}/remove/", f"/contacts/{s.contact.pk}/delete/", f"{page}delete/", f"{page}readers/{s.reader.pk}/remove/",
        f"{page}components/{s.part.pk}/delete/", f"{page}works/{s.work.pk}/cancel/", f"/people/{s.person.pk}/remove/", f"/clients/{s.client.pk}/delete/", f"/trash/{s.thrown.pk}/put-back/", f"/trash/{s.thrown.pk}/purge/",
    ]  # fmt: skip


def of_clients(s: SimpleNamespace) -> list[str]:
    """What a client's own admin opens."""
    return [
        *LISTS, f"/monitors/{s.down.pk}/", f"/monitors/{s.up.pk}/?window=7d", f"/monitors/{s.host.pk}/", f"/monitors/{s.boxes.pk}/", f"/monitors/{s.job.pk}/",
        f"/monitors/{s.up.pk}/edit/", f"/monitors/{s.up.pk}/delete/", f"/alerts/{s.alert.pk}/", f"/diagnoses/{s.diagnosis.pk}/", f"/diagnoses/{s.seeking.pk}/",
        f"/incidents/{s.incident.pk}/", f"/incidents/{s.incident.pk}/edit/", f"/incidents/{s.incident.pk}/postmortem/", f"/incidents/{s.incident.pk}/postmortem/edit/",
        f"/channels/{s.theirs.pk}/", f"/channels/{s.theirs.pk}/delete/", f"/triggers/{s.trigger.pk}/", f"/triggers/{s.trigger.pk}/delete/", f"/clients/{s.client.pk}/",
        f"/contacts/{s.contact.pk}/", f"/contacts/{s.contact.pk}/edit/", f"/contact-groups/{s.group.pk}/", f"/integrations/{s.integration.pk}/",
        f"/escalation-policies/{s.policy.pk}/", f"/escalation-policies/{s.policy.pk}/edit/", f"/on-call/{s.schedule.pk}/", f"/on-call/{s.schedule.pk}/edit/",
        f"/silences/{s.silence.pk}/", f"/maintenance/{s.window.pk}/", f"/maintenance/{s.window.pk}/edit/", f"/maintenance/requests/{s.request.pk}/", f"/sla/{s.client.pk}/{s.month:%Y-%m}/",
        f"/probes/{s.probe.pk}/", f"/probes/{s.probe.pk}/network/", f"/clients/{s.client.pk}/export/",
    ]  # fmt: skip


def of_readers(s: SimpleNamespace) -> list[str]:
    """What everybody may open: status pages, subscribing, links in messages, reports, signing in."""
    delivery = Delivery.objects.filter(alert=s.alert, channel=s.theirs).first()
    links = [report_links.url_of(s.diagnosis), report_links.url_of(s.seeking), alert_links.acknowledge_url(delivery.pk)]
    links += [reader_links.url(s.asked, reader_links.CONFIRM), reader_links.url(s.reader, reader_links.PREFERENCES), reader_links.url(s.reader, reader_links.LEAVE), approval_links.url(s.run)]  # fmt: skip
    page = f"/status/{s.page.slug}/"
    return [
        *(f"/status/{slug}/" for slug in STATES), "/status/empty/", "/status/locked/", f"{page}history/{s.at:%Y-%m}/", f"{page}history/{s.month:%Y-%m}/", f"{page}incidents/{s.publication.pk}/",
        f"{page}embed/", f"{page}subscribe/", f"{page}preferences/0.wrong/", *(urlsplit(link).path for link in links), "/a/wrong/", unsubscribing.path(s.way.pk, "ana@acme.example"),
        "/u/wrong/", "/login/", "/login/inactive/", "/password/reset/", "/password/reset/done/", "/password/reset/key/done/", "/password/reset/key/0-wrong/",
        urlsplit(s.invitation).path, "/there-is-nothing/",
    ]  # fmt: skip


def each_public_kind(s: SimpleNamespace) -> list[str]:
    """Of those, one of each kind: a page in its most colourful state, a link that is good, a link that is not."""
    page = f"/status/{s.page.slug}/"
    links = [report_links.url_of(s.diagnosis), reader_links.url(s.reader, reader_links.PREFERENCES), approval_links.url(s.run)]  # fmt: skip
    return [
        page, "/status/maintenance/", "/status/locked/", f"{page}history/{s.at:%Y-%m}/", f"{page}incidents/{s.publication.pk}/", f"{page}subscribe/",
        *(urlsplit(link).path for link in links), "/a/wrong/", "/login/", "/password/reset/", urlsplit(s.invitation).path, "/there-is-nothing/",
    ]  # fmt: skip


def of_the_desk(s: SimpleNamespace) -> list[str]:
    """The admin: its front page, lists, forms, and a question."""
    return [
        "/admin/alerts/alert/", f"/admin/alerts/channel/{s.theirs.pk}/change/", "/admin/", "/admin/monitors/monitor/", f"/admin/monitors/monitor/{s.up.pk}/change/",
        f"/admin/alerts/alert/{s.alert.pk}/change/", "/admin/portal/auditentry/", "/admin/portal/client/add/", f"/admin/portal/client/{s.client.pk}/delete/",
    ]  # fmt: skip
