"""Somebody wakes people without a monitor: who is called is said first, then they are; never nobody (SPEC ALR-5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts import policies, schedules
from alerts.models import Alert, Delivery, Run, Silence, Trigger
from incidents.models import Incident
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.alerts import climbing, stage
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db
PATH = "/page-now/"


@pytest.fixture(autouse=True)
def no_other_triggers():
    cast.acme(), cast.globex()
    Trigger.objects.all().delete()


def primary(name="Ana", of=None, title="Primary"):
    """A schedule that this person has."""
    who = climbing.person(name, stage.webhook(f"SMS {name}", of), of)
    return schedules.save_schedule(None, by=cast.TESTS, client=of, name=title, layers=[{"contacts": [who]}])


def sent(**values):
    return {"title": "Core switch is down", "message": "", "severity": "critical", "call": "", "client": "", "service": "", **values}  # fmt: skip


def test_first_it_is_said_who_is_called_and_nothing_is_stored():
    row = primary()
    caller = browser(cast.make_staff())
    assert caller.get(PATH).context["form"]["call"].value() == f"schedule:{row.pk}", (
        "who is on call is the first choice"
    )
    page = text(caller.post(PATH, sent(call=f"schedule:{row.pk}", do="check")))
    assert "Who is called" in page and "at once Ana by SMS Ana" in page
    assert (Incident.objects.count(), Alert.objects.count(), Run.objects.count()) == (0, 0, 0)


def test_then_they_are_called_until_somebody_answers():
    row, at = primary(), database_now()
    caller = browser(cast.make_staff())
    answer = caller.post(PATH, sent(call=f"schedule:{row.pk}", do="page"), follow=True)
    alert = Alert.objects.get()
    assert "Calling Ana." in text(answer) and (alert.source, alert.severity) == ("incident", "critical")
    assert Incident.objects.get().pk == alert.incident_id and Run.objects.get().policy_name == "On call: Primary"
    climbing.sweep(database_now() + timedelta(seconds=1))
    assert [(d.kind, d.channel.name) for d in Delivery.objects.all()] == [("escalated", "SMS Ana")]
    for minutes in (5, 6, 10, 11):
        climbing.sweep(at + timedelta(minutes=minutes))
    assert Delivery.objects.filter(kind="escalated").count() == 3, "again, while nobody answers"
    caller.post(f"/alerts/{alert.pk}/acknowledge/")
    assert Run.objects.get().status == "stopped_by_ack"
    assert AuditEntry.objects.filter(action="alert.page").count() == 1


def test_a_chosen_policy_climbs_whatever_its_filters_say_and_only_once():
    ben = climbing.person("Ben", stage.webhook("Ben's phone"))
    row = climbing.policy(climbing.level(0, contacts=[ben]), name="Certificates", filter_sources="certificate")
    caller = browser(cast.make_staff())
    assert "Ben" in text(caller.post(PATH, sent(call=f"policy:{row.pk}")))
    caller.post(PATH, sent(call=f"policy:{row.pk}", do="page"))
    assert [r.policy for r in Run.objects.all()] == [row]
    every = climbing.policy(climbing.level(60, contacts=[ben]), name="Every")
    Run.objects.all().delete()
    caller.post(PATH, sent(call=f"policy:{every.pk}", do="page", title="Another"))
    assert [r.policy for r in Run.objects.filter(alert__title="Another")] == [every]


def test_where_nobody_would_be_called_it_is_refused():
    caller = browser(cast.make_staff())
    for do in ("check", "page"):
        answer = caller.post(PATH, sent(do=do))
        assert answer.status_code == 400 and "nobody would be called" in text(answer)
        assert "Page them now" not in text(answer) and not Incident.objects.exists()


def test_a_silence_that_covers_it_is_named():
    row, at = primary(), database_now()
    Silence.objects.create(reason="Moving house", starts_at=at, ends_at=at + timedelta(hours=1), matchers={})
    answer = browser(cast.make_staff()).post(PATH, sent(call=f"schedule:{row.pk}", do="page"))
    assert answer.status_code == 400 and "Moving house" in text(answer) and not Incident.objects.exists()


def test_a_service_brings_its_client_and_its_policy():
    ben = climbing.person("Ben", stage.webhook("Ben's phone"))
    row = climbing.policy(climbing.level(0, contacts=[ben]), name="Checkout's", attached_only=True)
    service = cast.service()
    policies.attach(service, row, by=cast.TESTS)
    browser(cast.make_staff()).post(PATH, sent(service=str(service.pk), do="page"))
    assert Incident.objects.get().client == cast.acme() and Run.objects.get().policy == row


def test_a_clients_admin_pages_their_own_people_only():
    ours, theirs = primary(), primary("Petra", cast.acme(), "Acme on call")
    caller = browser(cast.alice())
    assert caller.post(PATH, sent(client=str(cast.acme().pk), call=f"schedule:{ours.pk}", do="page")).status_code == 400
    assert caller.post(PATH, sent(client=str(cast.globex().pk), call=f"schedule:{theirs.pk}", do="page")).status_code == 400  # fmt: skip
    assert caller.post(PATH, sent(client=str(cast.acme().pk), call=f"schedule:{theirs.pk}", do="page")).status_code == 302  # fmt: skip
    assert Incident.objects.get().client == cast.acme()
    staff = browser(cast.make_staff())
    answer = staff.post(PATH, sent(client=str(cast.globex().pk), call=f"schedule:{theirs.pk}", do="page"))
    assert answer.status_code == 400 and "another client" in text(answer)


def test_readers_find_no_button():
    for who in (cast.make_auditor(), cast.viewer()):
        assert browser(who).get(PATH).status_code == 403
        assert PATH not in browser(who).get("/").content.decode()
    assert PATH in browser(cast.make_staff()).get("/").content.decode()
    assert browser(cast.make_staff()).post(PATH, sent(do="change", title="Typed")).context["form"]["title"].value() == "Typed"  # fmt: skip
