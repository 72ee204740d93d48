"""Status pages as scripts see them: made whole, published on, planned, read; and what other people's tokens get."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.models import Incident
from portal.clock import database_now
from portal.models import AuditEntry
from portal.secrets import MASK
from statuspages import services
from statuspages.models import Component, Page, Publication, Subscriber
from tests import cast

pytestmark = pytest.mark.django_db
PAGES = "/api/v1/status-pages"


def page(of=None, **values) -> Page:
    at = database_now()
    return services.save_page(
        None, by=cast.TESTS, at=at, client=of or cast.acme(), **{"name": "Acme status", "slug": "acme", **values}
    )


def part(on: Page, name: str = "Shop", *monitors) -> Component:
    return services.save_component(on, None, by=cast.TESTS, at=database_now(), name=name, monitors=monitors)


# --- The page -------------------------------------------------------------------------------------------------------------
def test_a_page_is_made_whole_and_found_again():
    shop = cast.monitor()
    body = {
        "name": "Acme status", "slug": "acme", "client": cast.acme().pk, "visibility": "public",
        "components": [{"name": "Shop", "group": None, "monitor_ids": [shop.pk], "service_id": None}, {"name": "Checkout", "group": "Payments", "service_id": cast.service().pk}],
    }  # fmt: skip
    made = cast.api(cast.make_staff()).post(PAGES, body, format="json")
    assert made.status_code == 201, made.json()
    told = made.json()
    assert told["url"].endswith("/status/acme/") and [g["name"] for g in told["groups"]] == ["Payments"]
    assert [(c["name"], c["group"], c["monitor_ids"], c["service_id"]) for c in told["components"]] == [
        ("Shop", None, [shop.pk], None), ("Checkout", "Payments", [], cast.service().pk),
    ]  # fmt: skip
    listed = cast.api(cast.alice()).get(f"{PAGES}/?client={cast.acme().pk}").json()["results"]
    assert [p["id"] for p in listed] == [told["id"]]
    assert cast.api(cast.alice()).get(f"{PAGES}/{told['id']}").json()["components"][0]["monitor_ids"] == [shop.pk]


def test_a_list_of_components_becomes_the_list():
    made = page()
    shop, mail = part(made), part(made, "Mail")
    call = cast.api(cast.alice())
    body = {
        "components": [{"name": "New"}, {"id": mail.pk, "name": "E-mail"}],
        "groups": [{"name": "Core", "collapsed": True}],
    }
    told = call.patch(f"{PAGES}/{made.pk}", body, format="json").json()
    assert [(c["name"], c["id"] == mail.pk) for c in told["components"]] == [("New", False), ("E-mail", True)]
    assert told["groups"][0]["collapsed"] is True and not Component.objects.filter(pk=shop.pk).exists()
    again = call.patch(
        f"{PAGES}/{made.pk}", {"components": [{"name": "New"}, {"name": "E-mail"}]}, format="json"
    ).json()
    assert [c["id"] for c in again["components"]] == [c["id"] for c in told["components"]], (
        "found by name: the same twice"
    )
    assert (
        call.patch(f"{PAGES}/{made.pk}", {"name": "Other"}, format="json").json()["components"] == again["components"]
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"accent": "red"}, "accent"), ({"visibility": "password"}, "password"), ({"slug": "admin"}, "slug"), ({"custom_domain": "nonsense"}, "custom_domain"),
        ({"logo": "PHN2Zy8+"}, "logo"), ({"logo": "%%%"}, "logo"), ({"components": [{"name": "A"}, {"name": ""}]}, "components.1.name"),
        ({"components": [{"name": "A", "monitor_ids": [987654]}]}, "components.0.monitor_ids"), ({"components": [{"id": 987654, "name": "A"}]}, "components.0.id"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_dotted_key(body, field):
    made = page()
    answer = cast.api(cast.make_staff()).patch(f"{PAGES}/{made.pk}", body, format="json")
    assert answer.status_code == 400
    assert any(key.startswith(field) for key in answer.json()["error"]["fields"]), answer.json()


def test_nothing_is_half_stored():
    made, theirs = page(), cast.monitor(cast.globex())
    body = {"name": "Other", "components": [{"name": "A"}, {"name": "B", "monitor_ids": [theirs.pk]}]}
    answer = cast.api(cast.make_staff()).patch(f"{PAGES}/{made.pk}", body, format="json")
    assert answer.status_code == 400 and "components.1.monitor_ids" in answer.json()["error"]["fields"]
    made.refresh_from_db()
    assert made.name == "Acme status" and not made.components.exists()


def test_a_password_goes_in_and_never_comes_out():
    call = cast.api(cast.alice())
    told = call.post(PAGES, {"name": "Inside", "visibility": "password", "password": "correct-horse"}, format="json")
    assert told.status_code == 201 and told.json()["has_password"] is True
    assert (
        "correct-horse" not in told.content.decode()
        and "pbkdf2" not in told.content.decode()
        and "argon" not in told.content.decode()
    )
    assert call.patch(f"{PAGES}/{told.json()['id']}", {"password": ""}, format="json").json()["has_password"] is True


def test_the_style_sheet_says_what_is_not_kept():
    made = page(custom_css="p { position: fixed }")
    assert "position" in cast.api(cast.viewer()).get(f"{PAGES}/{made.pk}").json()["css_complaints"][0]


def test_clients_people_may_what_their_role_says():
    made = page()
    for who, status in ((cast.alice(), 200), (cast.viewer(), 403), (cast.make_auditor(), 403), (cast.mallory(), 404)):
        assert cast.api(who).patch(f"{PAGES}/{made.pk}", {"headline": "Hi"}, format="json").status_code == status, who
    assert cast.api(cast.alice()).post(PAGES, {"name": "x", "client": None}, format="json").status_code in (400, 403)
    assert (
        cast.api(cast.alice()).post(PAGES, {"name": "x", "client": cast.globex().pk}, format="json").status_code == 400
    )
    answer = cast.api(cast.alice()).patch(f"{PAGES}/{made.pk}", {"publish_folder": "x"}, format="json")
    assert "publish_folder" in answer.json()["error"]["fields"]
    assert (
        cast.api(cast.alice()).patch(f"{PAGES}/{made.pk}", {"client": cast.globex().pk}, format="json").status_code
        == 400
    )
    assert cast.api(cast.alice()).delete(f"{PAGES}/{made.pk}").status_code == 204


def test_a_list_costs_the_same_for_three_pages_and_for_twelve(django_assert_max_num_queries):
    for number in range(12):
        part(page(slug=f"acme-{number}"), "Shop", cast.monitor())
    call = cast.api(cast.make_staff())
    with django_assert_max_num_queries(14):
        assert len(call.get(PAGES).json()["results"]) == 12


# --- Components -----------------------------------------------------------------------------------------------------------
def test_one_component_is_added_changed_said_by_hand_and_taken_off():
    made, call = page(), cast.api(cast.alice())
    row = call.post(
        f"{PAGES}/{made.pk}/components",
        {"name": "Shop", "group": "Core", "monitor_ids": [cast.monitor().pk]},
        format="json",
    )
    assert row.status_code == 201 and row.json()["group"] == "Core"
    where = f"{PAGES}/{made.pk}/components/{row.json()['id']}"
    assert call.patch(where, {"name": "Store"}, format="json").json()["monitor_ids"] == [cast.monitor().pk]
    until = (database_now() + timedelta(hours=1)).isoformat()
    assert (
        call.post(f"{where}/override", {"status": "degraded", "until": until}, format="json").json()["override"]
        == "degraded"
    )
    assert call.post(f"{where}/override", {"status": "broken"}, format="json").status_code == 400
    assert call.delete(f"{where}/override").json()["override"] is None
    assert call.delete(where).status_code == 204 and call.get(where).status_code == 404


# --- Incidents ------------------------------------------------------------------------------------------------------------
def test_an_incident_is_published_by_its_own_door():
    made, call = page(), cast.api(cast.alice())
    shop = part(made, "Shop", cast.monitor())
    incident = call.post(
        "/api/v1/incidents",
        {"title": "Down", "affected_monitor_ids": [cast.monitor().pk], "notify": False},
        format="json",
    ).json()
    answer = call.post(f"/api/v1/incidents/{incident['id']}/publish", {"status_page_id": made.pk}, format="json")
    assert answer.status_code == 200 and answer.json()["status_page_id"] == made.pk
    listed = call.get(f"{PAGES}/{made.pk}/incidents").json()["results"]
    assert [(p["incident"], p["components"]) for p in listed] == [(incident["id"], [shop.pk])]
    assert call.delete(f"{PAGES}/{made.pk}/incidents/{incident['id']}").status_code == 204
    assert call.delete(f"{PAGES}/{made.pk}/incidents/{incident['id']}").status_code == 404
    assert AuditEntry.objects.filter(action="incident.publish", client_id=cast.acme().pk).exists()


@pytest.mark.parametrize("where", ["/api/v1/incidents", "/incident"])
def test_an_incident_that_names_its_page_is_published_at_once(where):
    made = page()
    body = {"title": "Down", "affected_http_job_ids": [cast.monitor().pk], "status_page_id": made.pk, "notify": False}
    answer = cast.api(cast.alice()).post(where, body, format="json")
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["status_page_id"], answer.json()["affected_http_job_ids"]) == (made.pk, [cast.monitor().pk])
    assert Publication.objects.get().page == made


@pytest.mark.parametrize("where", ["/api/v1/status-pages/{}/incidents", "/status_page/{}/incident"])
def test_a_page_takes_an_incident_of_its_own(where):
    made = page()
    answer = cast.api(cast.alice()).post(
        where.format(made.pk),
        {"title": "Down", "severity": "critical", "message": "We look.", "notify": False},
        format="json",
    )
    assert answer.status_code == 201, answer.json()
    told = answer.json()
    assert (told["status_page_id"], told["client"], told["affected_http_job_ids"], told["updates"][0]["message"]) == (
        made.pk,
        cast.acme().pk,
        [],
        "We look.",
    )
    assert Publication.objects.filter(page=made, incident=told["id"]).exists()
    assert cast.api(cast.mallory()).post(where.format(made.pk), {"title": "x"}, format="json").status_code == 404
    assert cast.api(cast.viewer()).post(where.format(made.pk), {"title": "x"}, format="json").status_code == 403


def test_nobody_publishes_on_a_page_that_is_not_theirs():
    theirs = page(cast.globex(), slug="globex")
    call = cast.api(cast.alice())
    incident = call.post("/api/v1/incidents", {"title": "Down", "notify": False}, format="json").json()
    answer = call.post(f"/api/v1/incidents/{incident['id']}/publish", {"status_page_id": theirs.pk}, format="json")
    unknown = call.post(f"/api/v1/incidents/{incident['id']}/publish", {"status_page_id": 987654}, format="json")
    assert answer.status_code == unknown.status_code == 400
    assert answer.json()["error"]["fields"].keys() == unknown.json()["error"]["fields"].keys() == {"status_page_id"}
    assert call.post("/api/v1/incidents", {"title": "x", "status_page_id": theirs.pk}, format="json").status_code == 400
    staff = cast.api(cast.make_staff())
    refused = staff.post(f"/api/v1/incidents/{incident['id']}/publish", {"status_page_id": theirs.pk}, format="json")
    assert refused.status_code == 409 and "There is no incident" in refused.json()["error"]["message"]
    before = Incident.objects.count()
    body = {"title": "x", "client": cast.acme().pk, "status_page_id": theirs.pk}
    assert staff.post("/api/v1/incidents", body, format="json").status_code == 400
    assert Incident.objects.count() == before and not Publication.objects.exists()


# --- Planned work -----------------------------------------------------------------------------------------------------------
def test_work_is_planned_moved_and_refused():
    made, call, at = page(), cast.api(cast.alice()), database_now()
    shop = part(made, "Shop", cast.monitor())
    body = {
        "title": "Upgrade",
        "starts_at": (at + timedelta(hours=1)).isoformat(),
        "ends_at": (at + timedelta(hours=2)).isoformat(),
        "component_ids": [shop.pk],
        "rest": True,
    }
    told = call.post(f"{PAGES}/{made.pk}/works", body, format="json")
    assert told.status_code == 201 and told.json()["component_ids"] == [shop.pk] and told.json()["window_id"], (
        told.json()
    )
    where = f"{PAGES}/{made.pk}/works/{told.json()['id']}"
    assert call.patch(where, {"title": "Big upgrade"}, format="json").json()["title"] == "Big upgrade"
    moved = call.post(f"{where}/move", {"status": "in_progress", "message": "We begin."}, format="json").json()
    assert moved["status"] == "in_progress" and moved["updates"][-1]["message"] == "We begin."
    assert call.post(f"{where}/move", {"status": "completed"}, format="json").json()["status"] == "completed"
    assert call.post(f"{where}/move", {"status": "in_progress"}, format="json").status_code == 409
    body["component_ids"] = [987654]
    assert "component_ids" in call.post(f"{PAGES}/{made.pk}/works", body, format="json").json()["error"]["fields"]
    assert call.get(f"{PAGES}/{made.pk}/works").json()["results"][0]["id"] == told.json()["id"]


# --- Readers and domain -------------------------------------------------------------------------------------------------------
def reader(on: Page, kind: str = "email", address: str = "reader@acme.example") -> Subscriber:
    at = database_now()
    return Subscriber.objects.create(
        page=on, kind=kind, address=address, address_hash=address[:64], state="active", created_at=at, asked_at=at
    )


def test_addresses_of_readers_are_for_those_who_may_write():
    made = page()
    row = reader(made)
    reader(made, "webhook", "https://hooks.example/secret-path")
    for who, clear in (
        (cast.alice(), True),
        (cast.make_staff(), True),
        (cast.viewer(), False),
        (cast.approver(), False),
        (cast.make_auditor(), False),
    ):
        told = cast.api(who).get(f"{PAGES}/{made.pk}/subscribers")
        assert ("reader@acme.example" in told.content.decode()) is clear, who
        assert "secret-path" not in told.content.decode()
        assert MASK in [r["address"] for r in told.json()["results"]]
    assert "reader@" not in cast.api(cast.alice(), "read").get(f"{PAGES}/{made.pk}/subscribers").content.decode()
    assert cast.api(cast.mallory()).get(f"{PAGES}/{made.pk}/subscribers").status_code == 404
    assert cast.api(cast.viewer()).delete(f"{PAGES}/{made.pk}/subscribers/{row.pk}").status_code == 403
    assert cast.api(cast.alice()).delete(f"{PAGES}/{made.pk}/subscribers/{row.pk}").status_code == 204
    assert not Subscriber.objects.filter(pk=row.pk).exists()


def test_proving_a_domain_without_one_is_refused():
    made = page()
    answer = cast.api(cast.alice()).post(f"{PAGES}/{made.pk}/verify-domain")
    assert answer.status_code == 409 and "no domain of its own" in answer.json()["error"]["message"]


def test_the_documentation_knows_it_all():
    text = cast.api(cast.make_staff()).get("/api/schema/?format=json").json()
    paths = text["paths"]
    for tail in (
        "",
        "{id}",
        "{id}/incidents",
        "{id}/subscribers",
        "{id}/works",
        "{id}/verify-domain",
        "{id}/components",
    ):
        assert any(p.rstrip("/").replace("/?", "") == f"/api/v1/status-pages/{tail}".rstrip("/") for p in paths), tail


# --- The rule of a service ------------------------------------------------------------------------------------------------------
def test_a_service_names_the_page_that_its_incidents_come_onto():
    made, theirs = page(), page(cast.globex(), slug="globex")
    ours = services.save_page(None, by=cast.TESTS, at=database_now(), name="Platform")
    where = f"/api/v1/services/{cast.service().pk}"
    call, staff = cast.api(cast.alice()), cast.api(cast.make_staff())
    assert call.patch(where, {"auto_publish_page": made.pk}, format="json").json()["auto_publish_page"] == made.pk
    assert call.patch(where, {"auto_publish_page": theirs.pk}, format="json").status_code == 400
    assert call.patch(where, {"auto_publish_page": ours.pk}, format="json").status_code == 400
    assert (
        "auto_publish_page"
        in staff.patch(where, {"auto_publish_page": theirs.pk}, format="json").json()["error"]["fields"]
    )
    assert staff.patch(where, {"auto_publish_page": ours.pk}, format="json").status_code == 200
    assert call.patch(where, {"auto_publish_page": ours.pk, "name": "Till"}, format="json").status_code == 200, (
        "sent back as it was"
    )
    assert call.patch(where, {"auto_publish_page": None}, format="json").json()["auto_publish_page"] is None
