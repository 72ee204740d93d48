"""The pages of playbooks as people use them: written, trusted, stopped; and the page behind the Approve button, which decides
only for a named person who proves it is they."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.utils import timezone

from playbooks import links
from playbooks.models import Brake, Playbook, Run
from portal import mfa
from tests import cast
from tests.console.visiting import browser, text
from tests.playbooks import acting
from tests.playbooks.acting import sent_back
from tests.playbooks.test_acting import awaiting
from tests.portal.an_app import SECRET, give_app

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_a_playbook_is_written_step_by_step_and_begins_in_dry_run():
    staff = browser(cast.make_staff())
    form = sent_back(staff.get("/playbooks/add/"), "name")
    page = staff.post("/playbooks/add/", {**form, "name": "Wait and see", "do": "add:wait"})
    assert "1. Wait" in text(page)
    sent = {
        **sent_back(page, "name"),
        "name": "Wait and see",
        "step0-config_seconds": "5",
        "do": "save",
        "client": str(cast.acme().pk),
    }
    page = staff.post("/playbooks/add/", sent, follow=True)
    row = Playbook.objects.first()
    assert row is not None, text(page)
    assert row.mode == "dry_run" and row.steps.get().config == {"seconds": 5} and "Wait" in text(page)


def test_automatic_needs_a_second_factor():
    row = cast.playbook()
    owner = browser(cast.make_owner())
    page = owner.post(f"/playbooks/{row.pk}/mode/", {"mode": "automatic"}, follow=True)
    assert "second factor" in text(page)
    row.refresh_from_db()
    assert row.mode == "dry_run"


def test_the_kill_switch_stops_everything_and_is_lifted():
    cast.playbook()
    owner = browser(cast.make_owner())
    page = owner.post("/playbooks/stop/", {"client": "", "reason": "Storm"}, follow=True)
    assert "Everything is stopped" in text(page) and "Storm" in text(page)
    owner.post(f"/playbooks/stop/{Brake.objects.get().pk}/release/")
    assert not Brake.objects.exists()


def test_a_stranger_with_the_link_sees_the_plan_and_can_do_nothing():
    _, run = awaiting()
    where = links.url(run).partition("/approve/")[2]
    for method in ("get", "head", "options"):
        getattr(Browser(), method)(f"/approve/{where}")
    scanner = Browser(enforce_csrf_checks=True)
    page = scanner.get(f"/approve/{where}")
    assert (
        "Ring the bell" in text(page)
        and page["Referrer-Policy"] == "same-origin"
        and "no-store" in page["Cache-Control"]
    )
    for word in ("approve", "deny"):
        sent = {
            "word": word,
            "plan_hash": run.plan_hash,
            "csrfmiddlewaretoken": scanner.cookies["csrftoken"].value if "csrftoken" in scanner.cookies else "",
        }
        assert scanner.post(f"/approve/{where}", sent).status_code in (403, 409)
    run.refresh_from_db()
    assert run.state == "awaiting_approval" and not run.approvals.exists()


def test_the_approvers_own_link_decides_nothing_without_a_proof():
    _, run = awaiting()
    bob = acting.approver()
    where = links.url(run, bob.pk).partition("/approve/")[2]
    answer = Browser().post(f"/approve/{where}", {"word": "approve", "plan_hash": run.plan_hash})
    assert answer.status_code == 403
    assert "Sign in" in text(answer)
    run.refresh_from_db()
    assert run.state == "awaiting_approval"


def test_signed_in_with_the_password_typed_just_now_the_named_person_approves():
    _, run = awaiting()
    bob = acting.approver()
    visitor = Browser()
    visitor.post("/login/", {"login": bob.email, "password": cast.PASSWORD})
    page = visitor.get(f"/runs/{run.pk}/")
    assert "Do you allow it?" in text(page)
    visitor.post(f"/runs/{run.pk}/", {**sent_back(page, "plan_hash"), "word": "approve"})
    run.refresh_from_db()
    assert run.state == "approved" and run.approvals.get().how == "password"


def test_somebody_elses_session_does_not_approve():
    _, run = awaiting()
    page = browser(acting.approver("carol")).get(f"/runs/{run.pk}/")
    assert "not one of the people" in text(page)


def test_a_plan_that_is_not_the_one_looked_at_is_refused():
    _, run = awaiting()
    bob = acting.approver()
    visitor = Browser()
    visitor.post("/login/", {"login": bob.email, "password": cast.PASSWORD})
    answer = visitor.post(f"/runs/{run.pk}/", {"word": "approve", "plan_hash": "0" * 64})
    assert answer.status_code == 403 and Run.objects.get().state == "awaiting_approval"


def test_the_inbox_shows_what_waits_for_me():
    _, run = awaiting()
    assert "Waiting for you" in text(browser(acting.approver()).get("/approvals/"))
    assert "Waiting for you" not in text(browser(cast.mallory()).get("/approvals/"))


def test_over_the_api_a_fresh_code_is_needed_each_time():
    _, run = awaiting()
    bob = acting.approver()
    api = cast.api(bob, "read", "approve")
    assert api.post(f"/api/v1/playbook-runs/{run.pk}/approve", {"totp": "000000"}, format="json").status_code == 403
    give_app(bob)
    code = mfa.code_at(SECRET, int(timezone.now().timestamp()) // mfa.STEP)
    answer = api.post(f"/api/v1/playbook-runs/{run.pk}/approve", {"totp": code}, format="json")
    assert answer.status_code == 200 and answer.json()["state"] == "approved"


def test_looking_back_says_how_often_it_would_have_acted():
    s, run = awaiting()
    answer = cast.api(cast.make_staff()).post(
        f"/api/v1/playbooks/{run.playbook_id}/backtest", {"days": 30}, format="json"
    )
    found = answer.json()
    assert found["matched"] == 1 and found["fired"] + sum(found["blocked"].values()) == 1
    assert timedelta(days=found["days"]) == timedelta(days=30)


def test_globex_neither_holds_up_nor_learns_of_acmes_repairs():
    """The same target, named by another client, is another target; a stranger's id has the words of one that does not exist."""
    _, run = awaiting()
    acting.playbook(client=cast.globex())
    assert {key.partition("/")[0] for key in run.targets.values_list("key", flat=True)} == {str(cast.acme().pk)}
    mallory, alice = cast.api(cast.mallory()), cast.alice()
    body = {"name": "Mine", "steps": [{"kind": "wait", "config": {"seconds": 1}}]}
    said = [
        mallory.post("/api/v1/playbooks", {**body, "approver_ids": [pk]}, format="json") for pk in (alice.pk, 10**6)
    ]
    assert [a.status_code for a in said] == [400, 400]
    assert said[0].content.decode().replace(str(alice.pk), "N") == said[1].content.decode().replace(str(10**6), "N")
    assert alice.email not in said[0].content.decode()
