"""Which policy do a service's alerts climb? Over the API, and who may say so; and the ticket's number on the incident."""

from __future__ import annotations

import pytest

from alerts.models import Channel, Conversation, Run, ServiceRouting
from portal.models import AuditEntry
from tests import cast
from tests.alerts import climbing, stage
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


def policy(of=None, **values):
    name = f"{of.name}'s" if of else "Ours"
    return climbing.policy(climbing.level(300, stage.webhook(f"Ops of {of}", of)), name=name, client=of, attached_only=True, **values)  # fmt: skip


def test_a_service_is_made_with_its_policy_and_its_alerts_climb_it():
    row, caller = policy(), cast.api(cast.make_staff())
    answer = caller.post("/api/v1/services", {"client": cast.acme().pk, "name": "Mail", "escalation_policy": row.pk}, format="json")  # fmt: skip
    assert answer.status_code == 201 and answer.json()["escalation_policy"] == row.pk
    service = answer.json()["id"]
    (alert,) = stage.tell(stage.failing(service_id=service))
    assert climbing.run(alert).policy == row
    where = f"/api/v1/services/{service}"
    assert caller.patch(where, {"name": "Post"}, format="json").json()["escalation_policy"] == row.pk
    assert caller.patch(where, {"escalation_policy": None}, format="json").json()["escalation_policy"] is None
    assert caller.get(where).json()["escalation_policy"] is None
    assert AuditEntry.objects.filter(action="service.escalation_policy").count() == 2


def test_open_alerts_begin_to_climb_when_it_is_attached():
    service, row = cast.service(), policy()
    (alert,) = stage.tell(stage.failing(service_id=service.pk))
    assert not Run.objects.exists()
    cast.api(cast.make_staff()).patch(f"/api/v1/services/{service.pk}", {"escalation_policy": row.pk}, format="json")
    assert climbing.run(alert).policy == row


def test_a_policy_that_is_not_theirs_does_not_exist_and_another_clients_does_not_fit():
    service, ours, theirs = cast.service(), policy(), policy(cast.globex())
    where = f"/api/v1/services/{service.pk}"
    for who, row in ((cast.alice(), ours), (cast.alice(), theirs), (cast.make_staff(), theirs)):
        answer = cast.api(who).patch(where, {"escalation_policy": row.pk}, format="json")
        assert answer.status_code == 400 and "escalation_policy" in answer.json()["error"]["fields"]
    assert not ServiceRouting.objects.filter(policy__isnull=False).exists()


def test_what_our_staff_has_set_a_client_neither_reads_nor_undoes():
    service, ours, own = cast.service(), policy(), policy(cast.acme())
    where = f"/api/v1/services/{service.pk}"
    cast.api(cast.make_staff()).patch(where, {"escalation_policy": ours.pk}, format="json")
    caller = cast.api(cast.alice())
    body = caller.get(where).json()
    assert body["escalation_policy"] is None
    assert caller.put(where, body, format="json").status_code == 200, "the whole body sent back changes nothing"
    assert caller.patch(where, {"escalation_policy": own.pk}, format="json").status_code == 400
    assert ServiceRouting.objects.get().policy == ours


def test_the_ticket_stands_on_its_incident_for_who_may_see_the_channel():
    (alert,) = stage.tell(stage.failing())
    jira = Channel.objects.create(name="Jira desk", type="ticket_jira", config={})
    other = stage.webhook("Ops")
    Conversation.objects.create(alert=alert, destination_key=jira.destination_key, provider_id="10000|OPS-24")
    Conversation.objects.create(alert=alert, destination_key=other.destination_key, provider_id="not-a-ticket")
    path = f"/incidents/{alert.incident_id}/"
    page = text(browser(cast.make_staff()).get(path))
    assert "Jira desk OPS-24" in page and "not-a-ticket" not in page
    assert "OPS-24" not in text(browser(cast.alice()).get(path))


# --- The page -----------------------------------------------------------------------------------------------------------
def form(**values):
    return {"name": "Checkout", "escalation_policy": "", "creation": "auto", "merge_window_minutes": "5", "default_severity": "", **values}  # fmt: skip


def test_a_service_is_made_and_changed_on_its_page():
    row, caller = policy(), browser(cast.make_staff())
    page = caller.get(f"/services/add/?client={cast.acme().pk}")
    assert page.status_code == 200
    caller.post("/services/add/", form(name="Mail", client=str(cast.acme().pk), escalation_policy=str(row.pk)))
    service = ServiceRouting.objects.get(policy=row).service
    assert (service.name, service.client) == ("Mail", cast.acme())
    path = f"/services/{service.pk}/"
    assert caller.get(path).context["form"]["escalation_policy"].value() == row.pk
    caller.post(path, form(name="Post", merge_window_minutes="9", default_severity="major"))
    service.refresh_from_db()
    assert (service.name, service.incident_rules.merge_window_minutes, service.routing.policy) == ("Post", 9, None)
    assert caller.post(path, form(merge_window_minutes="-1")).status_code == 400


def test_on_the_page_a_client_cannot_undo_what_our_staff_has_set():
    service, ours = cast.service(), policy()
    path = f"/services/{service.pk}/"
    browser(cast.make_staff()).post(path, form(escalation_policy=str(ours.pk)))
    caller = browser(cast.alice())
    page = text(caller.get(path))
    assert "ask them to change it" in page and "Ours" not in page
    assert caller.post(path, form(name="Checkout 2")).status_code == 302
    assert ServiceRouting.objects.get().policy == ours
    assert browser(cast.mallory()).get(path).status_code == 404 and browser(cast.viewer()).get(path).status_code == 403
