"""May a client's person ask for maintenance, does it hide nothing before staff accepts, and is everybody told?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from alerts import facts, quiet, requesting
from alerts.models import Alert, Delivery, MaintenanceRequest, MaintenanceWindow
from console.navigation import badges
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry
from portal.tenancy import viewer_of
from tests import cast
from tests.alerts import stage
from tests.console.visiting import browser, text
from tests.rig.mailbox import Mailbox
from tests.statuspages.reading import send

pytestmark = pytest.mark.django_db
HERE = "/api/v1/maintenance-requests"


@pytest.fixture(autouse=True)
def portal(settings: Any) -> None:
    cast.make_owner()
    settings.BASE_URL = "https://portal.example"


@pytest.fixture
def post(settings: Any, mailbox: Mailbox) -> Mailbox:
    """The installation's mail server."""
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "tls": "none"}
    settings.DEFAULT_FROM_EMAIL = "portal@portal.example"
    return mailbox


def asked(at: datetime | None = None, **values: Any) -> MaintenanceRequest:
    """April of Acme asks for an hour from `at` on; the whole of Acme, unless `values` says what."""
    at = at or database_now()
    about = {"title": "New switch", "starts_at": at, "ends_at": at + timedelta(hours=1), "timezone": "Europe/Lisbon"}
    return requesting.ask(cast.acme(), user=cast.approver(), by=cast.TESTS, at=at, **{**about, **values})


def body(**values: Any) -> dict[str, Any]:
    at = database_now()
    about = {"title": "New switch", "starts_at": at + timedelta(hours=1), "ends_at": at + timedelta(hours=2)}
    return {**about, **values}


# --- It hides nothing --------------------------------------------------------------------------------------------------------
def test_a_request_for_now_holds_no_message_and_an_accepted_one_does():
    ops = stage.webhook()
    stage.trigger(ops)
    at = database_now()
    row = asked(at)
    (first,) = stage.tell(stage.failing(7, at))
    assert first.hold_reason == "" and stage.told(first) == [("opened", "pending")]
    requesting.accept(row, by=cast.TESTS, at=at)
    (second,) = stage.tell(stage.failing(8, at))
    assert Alert.objects.get(pk=second.pk).hold_reason == "in_maintenance"


def test_accepting_plans_exactly_the_window_that_was_asked_for():
    site = cast.site()
    row = asked(scopes=[f"site:{site.pk}"], note="The old one hums.")
    row = requesting.accept(row, by=cast.TESTS, at=row.created_at)
    window = MaintenanceWindow.objects.get()
    assert row.window == window and row.state == "accepted" and row.decided_by == cast.TESTS.name
    said = (
        window.client,
        window.title,
        window.starts_at,
        window.ends_at,
        window.timezone,
        window.scopes,
        window.recurrence,
    )
    assert said == (cast.acme(), "New switch", row.starts_at, row.ends_at, "Europe/Lisbon", [f"site:{site.pk}"], "")
    assert facts.window_state(window, row.created_at, frozenset()) == "active"
    acts = set(AuditEntry.objects.filter(client_id=cast.acme().pk).values_list("action", flat=True))
    assert {"maintenance_request.create", "maintenance_request.accept", "maintenance.create"} <= acts


@pytest.mark.parametrize("first", ["accept", "decline", "withdraw"])
def test_it_is_answered_once(first):
    row, at = asked(), database_now()
    answers = {
        "accept": lambda: requesting.accept(row, by=cast.TESTS, at=at),
        "decline": lambda: requesting.decline(row, by=cast.TESTS, at=at, reason="No."),
        "withdraw": lambda: requesting.withdraw(row, by=cast.TESTS, at=at),
    }
    answers.pop(first)()
    for answer in answers.values():
        with pytest.raises(Refused, match="already|withdrawn"):
            answer()
    assert MaintenanceWindow.objects.count() == (first == "accept")


def test_what_is_over_cannot_be_accepted_any_more():
    row = asked()
    with pytest.raises(Refused, match="time is over"):
        requesting.accept(row, by=cast.TESTS, at=row.ends_at)
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"title": " "}, "title"),
        ({"ends_at": datetime(2020, 1, 1, 2, tzinfo=UTC), "starts_at": datetime(2020, 1, 1, 1, tzinfo=UTC)}, "ends_at"),
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ends_at"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"scopes": ["site:987654321"]}, "scopes.0"),
        ({"note": "x" * 2001}, "note"),
    ],
)
def test_nonsense_is_refused_at_its_field(values, field):
    with pytest.raises(ValidationError) as refused:
        asked(**values)
    assert field in refused.value.message_dict and not MaintenanceRequest.objects.exists()


def test_another_clients_site_is_no_scope_of_ours():
    with pytest.raises(ValidationError, match="There is no site"):
        asked(scopes=[f"site:{cast.site(cast.globex(), 'Depot').pk}"])


def test_no_more_than_fifty_wait():
    at = database_now()
    about = {"client": cast.acme(), "title": "x", "starts_at": at, "ends_at": at + timedelta(hours=1), "created_at": at, "asked_name": "x"}  # fmt: skip
    MaintenanceRequest.objects.bulk_create(MaintenanceRequest(**about) for _ in range(50))
    with pytest.raises(Refused, match="50 requests wait"):
        asked(at)


# --- Who is told --------------------------------------------------------------------------------------------------------------
def test_our_staff_hears_of_it_by_their_own_channel(post):
    stage.mail("Desk")
    asked(note="The old one hums.")
    send(database_now() + timedelta(seconds=5))
    (mail,) = post.wait_for(1, "ana@acme.example")
    said = " ".join(mail.text.split())
    assert (
        "Acme asks for maintenance: New switch" in said and "april@acme.example" in said and "The old one hums." in said
    )
    assert f"https://portal.example/maintenance/requests/{MaintenanceRequest.objects.get().pk}/" in mail.text


def test_whoever_asked_is_mailed_the_answer_with_its_reason(post):
    row = asked()
    requesting.decline(row, by=cast.TESTS, at=row.created_at, reason="We move house that night.\nTry Sunday.")
    send(database_now() + timedelta(seconds=5))
    (mail,) = post.to("april@acme.example")
    assert mail.subject == "Your maintenance was not accepted: New switch"
    assert "We move house that night. Try Sunday." in " ".join(mail.text.split()) and "(Europe/Lisbon)" in mail.text
    assert f"https://portal.example/maintenance/requests/{row.pk}/" in mail.text


def test_whoever_asked_hears_of_the_planned_window_and_when_it_is_cancelled_after_all(post):
    row = asked()
    row = requesting.accept(row, by=cast.TESTS, at=row.created_at, words="We will be there.")
    quiet.cancel_window(row.window, by=cast.TESTS, at=row.created_at)
    send(database_now() + timedelta(seconds=5))
    first, second = post.to("april@acme.example")
    assert first.subject == "Your maintenance is planned: New switch" and "We will be there." in first.text
    assert second.subject == "Your maintenance does not take place: New switch"


def test_somebody_who_left_is_not_mailed(post):
    row = asked()
    requesting.decline(row, by=cast.TESTS, at=row.created_at, reason="No.")
    april = cast.approver()
    april.is_active = False
    april.save()
    send(database_now() + timedelta(seconds=5))
    assert post.to("april@acme.example") == []
    assert Delivery.objects.get(destination_key=f"request:{row.pk}").state == "failed"


# --- The pages ----------------------------------------------------------------------------------------------------------------
def test_an_approver_asks_on_the_page_staff_declines_and_the_reason_stands_there():
    april, sam, acme = browser(cast.approver()), browser(cast.make_staff()), cast.acme()
    assert "Ask for maintenance" in text(april.get("/maintenance/"))
    wish = {"client": acme.pk, "title": "New switch", "starts_at": "2036-11-24T22:00", "ends_at": "2036-11-24T23:30", "timezone": "Europe/Lisbon", "note": "Loud."}  # fmt: skip
    answer = april.post(reverse("maintenance_request_add"), wish, follow=True)
    row = MaintenanceRequest.objects.get()
    assert "Our staff has not answered yet" in text(answer) and row.asked_by == cast.approver()
    assert row.starts_at == datetime(2036, 11, 24, 22, tzinfo=UTC)
    here, decline = (
        reverse("maintenance_request", args=[row.pk]),
        reverse("maintenance_request_press", args=[row.pk, "decline"]),
    )
    assert "Answer" in text(sam.get("/maintenance/")) and "Loud." in text(sam.get(here))
    refused = sam.post(decline, {"reason": " "})
    assert refused.status_code == 400 and "Say why" in text(refused)
    assert "Declined" in text(sam.post(decline, {"reason": "The shop is open."}, follow=True))
    assert "The shop is open." in text(april.get(here)) and "The shop is open." in text(april.get("/maintenance/"))


def test_what_waits_is_counted_beside_maintenance_until_it_is_answered():
    row, sam = asked(), cast.make_staff()
    assert badges(viewer_of(sam)).get("/maintenance/") == 1 and not badges(viewer_of(cast.mallory())).get(
        "/maintenance/"
    )
    requesting.decline(row, by=cast.TESTS, at=row.created_at, reason="No.")
    assert not badges(viewer_of(sam)).get("/maintenance/")


def test_staff_accepts_on_the_page_and_the_window_is_linked():
    row, sam = asked(), browser(cast.make_staff())
    answer = sam.post(reverse("maintenance_request_press", args=[row.pk, "accept"]), follow=True)
    window = MaintenanceWindow.objects.get()
    assert "Planned." in text(answer) and reverse("maintenance_window", args=[window.pk]) in answer.content.decode()


def test_a_form_that_names_anothers_monitor_or_the_past_says_so_at_the_field():
    april, theirs = browser(cast.approver()), cast.monitor(cast.globex(), name="theirs")
    cast.monitor(name="ours")
    wish = {
        "client": cast.acme().pk,
        "title": "x",
        "starts_at": "2020-01-01T00:00",
        "ends_at": "2020-01-01T01:00",
        "timezone": "UTC",
    }
    past = april.post(reverse("maintenance_request_add"), wish)
    assert past.status_code == 400 and "That time is over" in text(past)
    foreign = april.post(reverse("maintenance_request_add"), {**wish, "monitors": [theirs.pk]})
    assert foreign.status_code == 400 and not MaintenanceRequest.objects.exists()


@pytest.mark.parametrize(
    ("who", "ask", "answer"),
    [
        (cast.make_owner, 201, 200), (cast.make_staff, 201, 200), (cast.make_auditor, 403, 403), (cast.alice, 201, 403), (cast.approver, 201, 403),
        (cast.viewer, 403, 403), (cast.mallory, 400, 404), (cast.stranger, 403, 404),
    ],
)  # fmt: skip
def test_who_may_ask_and_who_may_answer(who, ask, answer):
    row, caller = asked(), cast.api(who())
    assert caller.post(HERE, body(client=cast.acme().pk), format="json").status_code == ask
    assert caller.post(f"{HERE}/{row.pk}/accept", {}, format="json").status_code == answer
    page = browser(who()).post(reverse("maintenance_request_press", args=[asked().pk, "accept"]))
    assert page.status_code == {200: 302}.get(answer, answer)


# --- The API --------------------------------------------------------------------------------------------------------------------
def test_the_whole_way_by_script():
    april, sam = cast.api(cast.approver(), "ack"), cast.api(cast.make_staff(), "write")
    made = april.post(HERE, body(note="Loud."), format="json").json()
    assert (made["state"], made["client"], made["asked_by"], made["window"]) == (
        "requested", cast.acme().pk, "april@acme.example", None,
    )  # fmt: skip
    assert [r["id"] for r in sam.get(f"{HERE}?state=requested&client={cast.acme().pk}").json()["results"]] == [
        made["id"]
    ]
    accepted = sam.post(f"{HERE}/{made['id']}/accept", {"reason": "Fine."}, format="json").json()
    assert accepted["state"] == "accepted" and accepted["window"] == MaintenanceWindow.objects.get().pk
    again = sam.post(f"{HERE}/{made['id']}/decline", {"reason": "No."}, format="json")
    assert again.status_code == 409 and "accepted already" in again.json()["error"]["message"]
    other = april.post(HERE, body(title="Another"), format="json").json()
    assert april.post(f"{HERE}/{other['id']}/withdraw", {}, format="json").json()["state"] == "withdrawn"
    silent = sam.post(f"{HERE}/{april.post(HERE, body(), format='json').json()['id']}/decline", {}, format="json")
    assert silent.status_code == 400 and "reason" in silent.json()["error"]["fields"]


def test_a_client_sees_its_own_requests_only():
    row = asked()
    assert [r["id"] for r in cast.api(cast.viewer()).get(HERE).json()["results"]] == [row.pk]
    assert cast.api(cast.mallory()).get(HERE).json()["results"] == []
    assert not MaintenanceRequest.objects.for_user(viewer_of(cast.stranger())).exists()
