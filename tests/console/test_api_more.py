"""What programs do over the API that people do on pages: the trash, branding, report recipients, configuration, saved filters."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from incidents.models import ReportRecipient
from portal import services
from portal.models import AuditEntry, Branding, Client, Contact, Site, TrashEntry
from tests import cast

pytestmark = pytest.mark.django_db

YAML = "version: 1\nclients:\n  - {slug: initech, name: Initech}\nsites:\n  - {client: initech, name: Tower}\n"


# --- The trash ------------------------------------------------------------------------------------------------------------
def test_the_trash_is_listed_put_back_and_emptied():
    site = cast.site()
    services.delete(site, by=cast.TESTS)
    api = cast.api(cast.alice())
    (entry,) = api.get("/api/v1/trash").data["results"]
    assert (entry["kind"], entry["object_id"], entry["label"]) == ("portal.site", site.pk, "Site") and entry["until"]
    Site.objects.create(client=cast.acme(), name=site.name)
    refused = api.post(f"/api/v1/trash/{entry['id']}/put-back")
    assert refused.status_code == 400 and "name" in refused.data["error"]["fields"]
    assert (
        api.post(f"/api/v1/trash/{entry['id']}/put-back", {"name": "Old hall"}, format="json").data["not_as_before"]
        == []
    )
    assert Site.objects.get(pk=site.pk).name == "Old hall"
    services.delete(site, by=cast.TESTS)
    (entry,) = api.get("/api/v1/trash").data["results"]
    assert api.delete(f"/api/v1/trash/{entry['id']}").status_code == 204
    assert not Site._base_manager.filter(pk=site.pk).exists()
    assert api.delete(f"/api/v1/trash/{entry['id']}").status_code == 404


def test_the_trash_is_for_who_may_write_and_clients_in_it_are_ours():
    services.delete(cast.site(), by=cast.TESTS)
    services.delete_client(cast.globex(), by=cast.TESTS)
    staff = cast.api(cast.make_staff()).get("/api/v1/trash").data["results"]
    assert {e["kind"] for e in staff} == {"portal.site", "portal.client"}
    assert {e["kind"] for e in cast.api(cast.alice()).get("/api/v1/trash").data["results"]} == {"portal.site"}
    for person, scope in ((cast.alice, "read"), (cast.viewer, "write"), (cast.make_auditor, "write")):
        assert cast.api(person(), scope).get("/api/v1/trash").status_code == 403
    entry = TrashEntry.objects.get(kind="portal.client")
    assert cast.api(cast.alice()).post(f"/api/v1/trash/{entry.pk}/put-back").status_code == 404
    assert cast.api(cast.make_staff()).post(f"/api/v1/trash/{entry.pk}/put-back").status_code == 200
    assert Client.objects.filter(name="Globex").exists()


# --- Branding, recipients -------------------------------------------------------------------------------------------------
def picture() -> str:
    out = io.BytesIO()
    Image.new("RGB", (40, 20), "#336699").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_branding_is_read_and_changed_field_by_field():
    api, path = cast.api(cast.make_staff()), f"/api/v1/clients/{cast.acme().pk}/branding"
    nothing = {"name": "", "accent": "", "logo_url": "", "domain": "", "domain_record": [], "domain_proved_at": None}
    assert api.get(path).data == nothing
    named = api.patch(path, {"domain": "portal.acme.example"}, format="json").data
    assert named["domain"] == "portal.acme.example" and len(named["domain_record"]) == 2
    assert named["domain_proved_at"] is None
    assert api.patch(path, {"domain": "localhost"}, format="json").data["error"]["fields"]["domain"]
    assert api.patch(path, {"domain": ""}, format="json").data == nothing
    said = api.patch(path, {"name": "Acme Care", "accent": "#336699", "logo": picture()}, format="json").data
    assert said["name"] == "Acme Care" and said["logo_url"].startswith("/branding/logo/")
    kept = api.patch(path, {"accent": ""}, format="json").data
    assert kept["name"] == "Acme Care" and kept["logo_url"] == said["logo_url"] and not kept["accent"]
    assert api.patch(path, {"logo": None}, format="json").data["logo_url"] == ""
    for wrong, field in (
        ({"accent": "blue"}, "accent"),
        ({"logo": base64.b64encode(b"<svg/>").decode()}, "logo"),
        ({"logo": "%%"}, "logo"),
    ):
        refused = api.patch(path, wrong, format="json")
        assert refused.status_code == 400 and list(refused.data["error"]["fields"]) == [field], wrong
    assert Branding.objects.get().name == "Acme Care"


def test_only_staff_brand_a_client_and_only_owners_the_portal():
    path = f"/api/v1/clients/{cast.acme().pk}/branding"
    assert cast.api(cast.alice()).get(path).status_code == 200
    assert cast.api(cast.alice()).patch(path, {"name": "Mine"}, format="json").status_code == 403
    assert cast.api(cast.mallory()).get(path).status_code == 404
    ours = "/api/v1/clients/our-branding"
    assert cast.api(cast.make_staff()).patch(ours, {"name": "X"}, format="json").status_code == 403
    assert cast.api(cast.make_owner()).patch(ours, {"name": "Northwind"}, format="json").data["name"] == "Northwind"


def test_recipients_of_the_months_report():
    path, ana = f"/api/v1/clients/{cast.acme().pk}/report-recipients", cast.contact()
    ours = Contact.objects.create(name="Sam", email="sam@msp.example")
    staff, alice = cast.api(cast.make_staff()), cast.api(cast.alice())
    assert staff.post(path, {"contacts": [ana.pk, ours.pk]}, format="json").data == {"contacts": [ana.pk, ours.pk]}
    assert alice.get(path).data == {"contacts": [ana.pk]}
    assert alice.post(path, {"contacts": []}, format="json").data == {"contacts": []}
    assert [r.contact for r in ReportRecipient.objects.all()] == [ours], "ours stay as they are"
    refused = alice.post(path, {"contacts": [ours.pk]}, format="json")
    assert refused.status_code == 400 and "contacts" in refused.data["error"]["fields"]
    assert cast.api(cast.viewer()).post(path, {"contacts": []}, format="json").status_code == 403


# --- Configuration --------------------------------------------------------------------------------------------------------
def test_configuration_is_written_down_planned_and_applied():
    api = cast.api(cast.make_owner())
    plan = api.post("/api/v1/config/plan", YAML, content_type="application/yaml").data
    assert [c["action"] for c in plan["changes"]] == ["create", "create"] and not Client.objects.exists()
    done = api.post("/api/v1/config/apply", {"yaml": YAML}, format="json", headers={"Idempotency-Key": "once"})
    assert done.status_code == 200 and Client.objects.get().slug == "initech"
    again = api.post("/api/v1/config/apply", {"yaml": YAML}, format="json", headers={"Idempotency-Key": "once"})
    assert again.data == done.data, "the same answer, and nothing done twice"
    assert api.post("/api/v1/config/plan", {"yaml": YAML}, format="json").data["changes"] == []
    text = api.get("/api/v1/config?client=initech").content.decode()
    assert (
        "name: Tower" in text
        and api.post("/api/v1/config/plan", text, content_type="application/yaml").data["changes"] == []
    )
    assert AuditEntry.objects.get(action="configuration.sent").actor.startswith("olga@msp.example")


def test_what_is_wrong_with_a_text_is_said_with_its_line():
    refused = cast.api(cast.make_owner()).post(
        "/api/v1/config/plan", {"yaml": "version: 1\nsites:\n  - {client: nobody, name: X}\n"}, format="json"
    )
    assert refused.status_code == 400 and "3" in refused.data["error"]["fields"]["yaml"][0]


def test_secrets_come_with_the_text_and_never_from_the_portals_own_environment(monkeypatch):
    monkeypatch.setenv("HOOK", "stolen")
    text = 'version: 1\nchannels:\n  - {name: Hook, type: webhook, config: {url: "https://hooks.example/x", authorization: !secret HOOK}}\n'
    api = cast.api(cast.make_owner())
    refused = api.post("/api/v1/config/plan", {"yaml": text}, format="json")
    assert refused.status_code == 400 and "HOOK" in json.dumps(refused.data)
    given = api.post(
        "/api/v1/config/apply", {"yaml": text, "secrets": {"HOOK": "Bearer s3cret-of-ours"}}, format="json"
    )
    assert given.status_code == 200, given.data
    assert given.data["taken_secrets"] == ["HOOK"] and "s3cret" not in json.dumps(given.data)


def test_configuration_is_for_our_own_people_and_applying_for_owners():
    cast.site(), cast.site(cast.globex(), "Vault")
    post = {"yaml": "version: 1\n"}
    for person in (cast.alice, cast.mallory):
        assert cast.api(person()).get("/api/v1/config").status_code == 403
        assert cast.api(person()).post("/api/v1/config/plan", post, format="json").status_code == 403
    assert cast.api(cast.make_auditor()).get("/api/v1/config").status_code == 200
    assert cast.api(cast.make_staff()).post("/api/v1/config/plan", post, format="json").status_code == 200
    assert cast.api(cast.make_staff()).post("/api/v1/config/apply", post, format="json").status_code == 403
    bound = cast.api(cast.make_staff(), client=cast.acme())
    assert "Vault" not in bound.get("/api/v1/config").content.decode()
    assert bound.get("/api/v1/config?client=globex").status_code == 400
    assert bound.post("/api/v1/config/plan", post, format="json").status_code == 403


def test_configuration_knows_nothing_of_a_client_in_the_trash():
    cast.service(), cast.group(), cast.schedule()
    services.delete_client(cast.acme(), by=cast.TESTS)
    text = cast.api(cast.make_owner()).get("/api/v1/config").content.decode()
    assert "acme" not in text.lower()


# --- Saved filters --------------------------------------------------------------------------------------------------------
def test_saved_filters_are_ones_own():
    alice, mallory = cast.api(cast.alice(), "read"), cast.api(cast.mallory(), "read")
    made = alice.post(
        "/api/v1/saved-filters", {"list": "monitors", "name": "Down", "query": "state=down&page=2"}, format="json"
    )
    assert made.status_code == 201 and made.data["query"] == "state=down"
    assert (
        alice.post(
            "/api/v1/saved-filters", {"list": "monitors", "name": "Down", "query": "page=2"}, format="json"
        ).status_code
        == 400
    )
    many = "&".join(f"state={n}" for n in range(60))
    assert (
        alice.post(
            "/api/v1/saved-filters", {"list": "monitors", "name": "Many", "query": many}, format="json"
        ).status_code
        == 400
    )
    assert [f["name"] for f in alice.get("/api/v1/saved-filters").data["results"]] == ["Down"]
    assert mallory.get("/api/v1/saved-filters").data["results"] == []
    assert mallory.delete(f"/api/v1/saved-filters/{made.data['id']}").status_code == 404
    assert alice.delete(f"/api/v1/saved-filters/{made.data['id']}").status_code == 204
