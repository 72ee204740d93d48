"""Escalation policies as a person without scripts makes, reads, switches and deletes them."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import policies, schedules
from alerts.models import EscalationPolicy, Level, Run, ServiceRouting
from portal.clock import database_now
from portal.models import Contact
from tests import cast
from tests.alerts import climbing, stage
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db
LIST = "/escalation-policies/"


def sent(**values):
    """A filled form with one level, unless `values` says otherwise."""
    return {
        "name": "Night shift", "active": "on", "repeat_count": "1", "repeat_after": "5", "repeat_unit": "60", "on_empty": "next", "levels": "1",
        "level0-delay": "0", "level0-unit": "60", "do": "save", **values,
    }  # fmt: skip


# --- Made and changed ----------------------------------------------------------------------------------------------------
def test_a_policy_with_two_levels_is_made_and_drawn():
    ops = stage.webhook("Ops")
    ben = climbing.person("Ben", stage.webhook("Ben's phone"))
    caller = browser(cast.make_staff())
    answer = caller.post(
        f"{LIST}add/",
        sent(
            **{
                "levels": "2", "level0-channels": str(ops.pk), "level1-delay": "90", "level1-unit": "1", "level1-contacts": str(ben.pk),
                "filter_severities": "critical", "repeat_count": "2",
            }
        ),
    )  # fmt: skip
    row = EscalationPolicy.objects.get()
    assert answer.status_code == 302 and answer["Location"] == f"{LIST}{row.pk}/"
    levels = [(x.order, x.delay_seconds, [c.name for c in (*x.channels.all(), *x.contacts.all())]) for x in row.levels.all()]  # fmt: skip
    assert levels == [(1, 0, ["Ops"]), (2, 90, ["Ben"])]
    assert (row.filter_severities, row.repeat_count, row.repeat_after_seconds) == ("critical", 2, 300)
    page = text(caller.get(f"{LIST}{row.pk}/"))
    for words in ("at once Level 1 channel Ops", "1 min 30 s Level 2 Ben", "Everything again, 2 times, every 6 min 30 s", "19 min 30 s Nobody answered"):  # fmt: skip
        assert words in page, words


def test_levels_are_added_and_removed_by_buttons_and_nothing_is_stored():
    stage.webhook("Ops")
    caller = browser(cast.make_staff())
    answer = caller.post(f"{LIST}add/", sent(do="add_level", filter_severities="critical"))
    (first, second) = answer.context["levels"]
    assert (first["delay"].value(), second["delay"].value(), second["unit"].value()) == ("0", 5, "60")
    assert answer.context["form"]["name"].value() == "Night shift"
    assert answer.context["form"]["filter_severities"].value() == ["critical"], "what was typed stays"
    answer = caller.post(f"{LIST}add/", sent(**{"do": "remove_level:0", "levels": "2", "level1-delay": "7", "level1-unit": "60"}))  # fmt: skip
    assert [x["delay"].value() for x in answer.context["levels"]] == ["7"]
    assert not EscalationPolicy.objects.exists()


def test_mistakes_are_said_at_their_field():
    ops = stage.webhook("Ops")
    caller = browser(cast.make_staff())
    twice = sent(**{"levels": "2", "level0-channels": str(ops.pk), "level1-delay": "0", "level1-unit": "60"})
    answer = caller.post(f"{LIST}add/", twice)
    assert answer.status_code == 400 and "rise" in str(answer.context["levels"][1].errors["delay"])
    answer = caller.post(f"{LIST}add/", sent())
    assert "No level names anybody" in text(answer) and not EscalationPolicy.objects.exists()
    answer = caller.post(f"{LIST}add/", sent(**{"level0-channels": str(ops.pk), "filter_scopes": "nonsense"}))
    assert answer.status_code == 400 and answer.context["form"].errors["filter_scopes"]


def test_an_edit_shows_what_is_stored_and_keeps_it():
    ops, at = stage.webhook("Ops"), stage.T
    row = climbing.policy(climbing.level(0, ops), climbing.level(5400, ops), filter_tags="prod", on_empty="wait")
    caller = browser(cast.make_staff())
    answer = caller.get(f"{LIST}{row.pk}/edit/")
    shown = [(x["delay"].value(), x["unit"].value(), x["channels"].value()) for x in answer.context["levels"]]
    assert shown == [(0, "60", [str(ops.pk)]), (90, "60", [str(ops.pk)])]
    (alert,) = stage.tell(stage.failing(at=at, tags=["prod"]))
    same = {"name": row.name, "filter_tags": "prod", "on_empty": "wait", "levels": "2", "repeat_count": "0", "level0-channels": str(ops.pk), "level1-delay": "90", "level1-unit": "60", "level1-channels": str(ops.pk)}  # fmt: skip
    assert caller.post(f"{LIST}{row.pk}/edit/", sent(**same)).status_code == 302
    assert list(row.levels.values_list("delay_seconds", flat=True)) == [0, 5400]
    assert Run.objects.get(alert=alert).status == "active", "an edit touches no run"


def test_a_clients_admin_makes_their_own_with_their_own_people():
    ours, theirs = stage.webhook("Ops"), stage.webhook("Acme ops", cast.acme())
    caller = browser(cast.alice())
    page = caller.get(f"{LIST}add/")
    assert [label for _, label in page.context["levels"][0].fields["channels"].choices] == ["Acme ops (Acme)"]
    assert caller.post(f"{LIST}add/", sent(**{"client": str(cast.acme().pk), "level0-channels": str(ours.pk)})).status_code == 400  # fmt: skip
    values = sent(**{"client": str(cast.acme().pk), "level0-channels": str(theirs.pk)})
    assert caller.post(f"{LIST}add/", values).status_code == 302
    assert EscalationPolicy.objects.get().client == cast.acme()
    ours_only = climbing.policy(climbing.level(0, ours), name="Ours")
    for tail in ("", "edit/", "delete/"):
        assert caller.get(f"{LIST}{ours_only.pk}/{tail}").status_code == 404
    assert "Ours" not in text(caller.get(LIST))


# --- Read -------------------------------------------------------------------------------------------------------------
def test_the_list_says_levels_services_runs_and_overlaps():
    ops = stage.webhook("Ops")
    primary = schedules.save_schedule(None, by=cast.TESTS, client=None, name="Primary", layers=[])
    night = climbing.policy(climbing.level(0, schedules=[primary]), climbing.level(300, ops), name="Night", filter_severities="critical")  # fmt: skip
    climbing.policy(climbing.level(60, ops), name="Everything")
    policies.attach(cast.service(), night, by=cast.TESTS)
    (alert,) = stage.tell(stage.failing())
    Run.objects.filter(alert=alert, policy=night).update(status="exhausted", ended_at=stage.T, next_action_at=None)
    Run.objects.update(started_at=database_now())
    page = text(browser(cast.make_staff()).get(LIST))
    for words in (
        "at once → whoever is on call in Primary · 5 min → channel Ops", "alerts with severity critical, and all of Checkout", "1 that nobody answered",
        "Overlaps shares channel Ops and can take up the same alerts as Everything",
    ):  # fmt: skip
        assert words in page, words
    assert page.count("Overlaps ") == 2, "both are marked"


def test_an_empty_list_teaches_and_a_reader_is_offered_nothing():
    assert "Nobody is called when nobody answers" in text(browser(cast.make_staff()).get(LIST))
    row = climbing.policy(climbing.level(0, stage.webhook("Ops")))
    caller = browser(cast.make_auditor())
    for path in (LIST, f"{LIST}{row.pk}/"):
        assert 'action="/escalation-policies/' not in caller.get(path).content.decode()
    assert caller.get(f"{LIST}add/").status_code == 403
    assert caller.post(f"{LIST}{row.pk}/off/").status_code == 403


def test_the_list_costs_the_same_with_three_and_with_twelve():
    staff, ops = cast.make_staff(), stage.webhook("Ops")
    caller, costs = browser(staff), []
    for n in range(12):
        climbing.policy(climbing.level(0, ops), name=f"P{n}")
        if n in (2, 11):
            caller.get(LIST)
            with CaptureQueriesContext(connection) as seen:
                assert caller.get(LIST).status_code == 200
            costs.append(len(seen))
    assert costs[0] == costs[1], costs


# --- Switched, attached, deleted ---------------------------------------------------------------------------------------
def test_the_switch_stops_runs_and_begins_anew():
    row = climbing.policy(climbing.level(0, stage.webhook("Ops")))
    (alert,) = stage.tell(stage.failing())
    caller = browser(cast.make_staff())
    assert "stopped" in text(caller.post(f"{LIST}{row.pk}/off/", follow=True))
    assert climbing.run(alert).status == "stopped_by_policy"
    caller.post(f"{LIST}{row.pk}/on/")
    row.refresh_from_db()
    assert row.active


def test_a_service_is_attached_and_detached():
    row = climbing.policy(climbing.level(0, stage.webhook("Ops")), attached_only=True)
    service, caller = cast.service(), browser(cast.make_staff())
    assert "Checkout" in caller.get(f"{LIST}{row.pk}/").content.decode(), "it is offered"
    assert "climb" in text(caller.post(f"{LIST}{row.pk}/attach/", {"service": service.pk}, follow=True))
    assert ServiceRouting.objects.get().policy == row
    caller.post(f"{LIST}{row.pk}/detach/", {"service": service.pk})
    assert ServiceRouting.objects.get().policy is None
    mine = climbing.policy(climbing.level(0, stage.webhook("A", cast.acme())), name="Acme's", client=cast.acme())
    foreign = cast.service(cast.globex(), "Portal")
    assert "Choose a service" in text(browser(cast.alice()).post(f"{LIST}{mine.pk}/attach/", {"service": foreign.pk}, follow=True))  # fmt: skip


def test_before_it_is_deleted_what_stops_is_said():
    row = climbing.policy(climbing.level(0, stage.webhook("Ops")), name="Night")
    policies.attach(cast.service(), row, by=cast.TESTS)
    (alert,) = stage.tell(stage.failing())
    caller = browser(cast.make_staff())
    page = text(caller.get(f"{LIST}{row.pk}/delete/"))
    assert "under way stops now" in page and "Checkout" in page and EscalationPolicy.objects.exists()
    caller.post(f"{LIST}{row.pk}/delete/")
    assert not EscalationPolicy.objects.exists() and not Level.objects.exists()
    assert climbing.run(alert).status == "stopped_by_policy"


def test_somebody_who_is_gone_is_named_nowhere_and_breaks_nothing():
    ben = climbing.person("Ben", stage.webhook("Ben's phone"))
    row = climbing.policy(climbing.level(0, contacts=[ben]))
    Contact.objects.all().delete()
    page = text(browser(cast.make_staff()).get(f"{LIST}{row.pk}/"))
    assert "names nobody" in page
