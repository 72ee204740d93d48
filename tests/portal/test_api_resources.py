"""The portal's own resources over the API: bodies as in SPEC 19, links within one's own rows, secrets never out."""

from __future__ import annotations

import pytest
from django.core import mail

from portal.models import AuditEntry, Client, ContactGroup, Membership, ProviderSettings, Site, Token, User
from portal.secrets import MASK
from tests import cast

pytestmark = pytest.mark.django_db
HOOK = "https://hooks.slack.example/services/T0/B0/verysecret"


def test_a_client_is_made_as_the_specification_says():
    caller = cast.api(cast.make_staff())
    body = {"name": "Acme", "email": "ops@acme.example", "slack_webhook": "", "tags": ["Prod", "prod"]}
    answer = caller.post("/api/v1/clients", body)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["slug"], made["tags"], made["active"], made["has_secret"]) == ("acme", ["prod"], True, False)
    entry = AuditEntry.objects.get(action="client.created")
    assert entry.client_id == made["id"] and "sam@msp.example" in entry.actor


def test_a_webhook_goes_in_and_never_comes_out():
    caller = cast.api(cast.make_staff())
    made = caller.post("/api/v1/clients", {"name": "Acme", "slack_webhook": HOOK}).json()
    assert made["slack_webhook"] == MASK and made["has_secret"] is True
    path = f"/api/v1/clients/{made['id']}"
    assert caller.put(path, {"slack_webhook": MASK, "email": "x@acme.example"}).status_code == 200
    assert Client.objects.get().slack_webhook.open() == HOOK
    assert caller.patch(path, {"slack_webhook": ""}).json()["has_secret"] is False
    assert "verysecret" not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example/",
        "not a url",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "http://user:pw@x.example/",
        "http://[fe80::1]/",
    ],
)
def test_a_webhook_to_a_place_we_must_not_post_to_is_refused_at_the_field(url):
    answer = cast.api(cast.make_staff()).post("/api/v1/clients", {"name": "Acme", "slack_webhook": url})
    assert answer.status_code == 400 and "slack_webhook" in answer.json()["error"]["fields"]
    assert Client.objects.count() == 0


def test_put_and_patch_both_change_only_the_given_fields():
    caller, site = cast.api(cast.make_staff()), cast.site()
    caller.patch(f"/api/v1/sites/{site.pk}", {"tags": ["a", "b"]})
    assert caller.put(f"/api/v1/sites/{site.pk}", {"address": "Main St 1"}).json()["name"] == "Shop"
    assert caller.get(f"/api/v1/sites/{site.pk}").json()["tags"] == ["a", "b"]


def test_a_name_twice_is_said_at_the_name():
    cast.site()
    answer = cast.api(cast.make_staff()).post("/api/v1/sites", {"client": cast.acme().pk, "name": "SHOP"})
    assert answer.status_code == 400 and answer.json()["error"]["fields"] == {
        "name": ["This client already has a site of this name."]
    }


def test_what_changes_nothing_leaves_no_entry():
    caller, site = cast.api(cast.make_staff()), cast.site()
    before = AuditEntry.objects.count()
    caller.patch(f"/api/v1/sites/{site.pk}", {"name": "Shop"})
    assert AuditEntry.objects.count() == before


# --- Tenancy ---------------------------------------------------------------------------------------------------------
def test_lists_hold_ones_own_rows():
    cast.site(cast.acme(), "Shop"), cast.site(cast.globex(), "Plant")
    names = {
        who.email: [r["name"] for r in cast.api(who).get("/api/v1/sites").json()["results"]]
        for who in (cast.alice(), cast.mallory(), cast.stranger())
    }
    assert list(names.values()) == [["Shop"], ["Plant"], []]
    assert len(cast.api(cast.make_auditor()).get("/api/v1/sites").json()["results"]) == 2
    bound = cast.api(cast.make_staff(), client=cast.acme())
    assert [r["name"] for r in bound.get("/api/v1/sites").json()["results"]] == ["Shop"]


def test_a_foreign_client_in_a_body_reads_like_one_that_does_not_exist():
    caller = cast.api(cast.mallory())
    foreign = caller.post("/api/v1/sites", {"client": cast.acme().pk, "name": "X"}).json()["error"]["fields"]["client"]
    unknown = caller.post("/api/v1/sites", {"client": 987654, "name": "X"}).json()["error"]["fields"]["client"]
    assert [t.replace(str(cast.acme().pk), "N") for t in foreign] == [t.replace("987654", "N") for t in unknown]


def test_a_foreign_contact_in_a_group_is_refused():
    theirs = cast.contact(cast.acme())
    answer = cast.api(cast.mallory()).post("/api/v1/contact-groups", {"name": "G", "contact_ids": [theirs.pk]})
    assert answer.status_code == 400 and "contact_ids" in str(answer.json()["error"]["fields"])
    assert ContactGroup.objects.count() == 0
    mixed = cast.api(cast.make_staff()).post(
        "/api/v1/contact-groups", {"client": cast.globex().pk, "name": "G", "contact_ids": [theirs.pk]}
    )
    assert mixed.status_code == 400


def test_a_client_user_may_leave_the_client_out_and_rows_never_move():
    made = cast.api(cast.alice()).post("/api/v1/sites", {"name": "Warehouse"}).json()
    assert made["client"] == cast.acme().pk
    moved = cast.api(cast.make_staff()).patch(f"/api/v1/sites/{made['id']}", {"client": cast.globex().pk})
    assert moved.status_code == 400 and Site.objects.get().client == cast.acme()


@pytest.mark.parametrize("who", [cast.viewer, cast.approver, cast.make_auditor])
def test_who_may_only_look_is_403_on_what_they_see(who):
    site, caller = cast.site(), cast.api(who())
    assert caller.get(f"/api/v1/sites/{site.pk}").status_code == 200
    assert caller.patch(f"/api/v1/sites/{site.pk}", {"name": "X"}).status_code == 403
    assert caller.delete(f"/api/v1/sites/{site.pk}").status_code == 403
    assert caller.post("/api/v1/sites", {"client": site.client_id, "name": "X"}).status_code == 403


def test_foreign_rows_are_404_for_every_method():
    site, caller = cast.site(), cast.api(cast.mallory())
    for method in ("get", "put", "patch", "delete"):
        answer = getattr(caller, method)(f"/api/v1/sites/{site.pk}", {"name": "X"})
        missing = getattr(caller, method)("/api/v1/sites/987654", {"name": "X"})
        assert answer.status_code == missing.status_code == 404
        assert answer.json() == missing.json()
    assert caller.get("/api/v1/sites/99999999999999999999999").status_code == 404
    assert caller.get("/api/v1/sites/abc").status_code == 404


def test_a_clients_admin_changes_where_they_are_told_but_not_who_they_are():
    acme, caller = cast.acme(), cast.api(cast.alice())
    path = f"/api/v1/clients/{acme.pk}"
    assert "notes" not in caller.get(path).json()
    assert caller.patch(path, {"email": "new@acme.example", "name": "Acme"}).status_code == 200
    assert caller.patch(path, {"active": False}).status_code == 403
    assert caller.patch(path, {"name": "Globex"}).status_code == 403
    assert caller.delete(path).status_code == 403
    assert caller.post("/api/v1/clients", {"name": "Mine"}).status_code == 403


def test_a_deleted_client_leaves_its_audit_chain():
    acme = cast.acme()
    cast.site(acme)
    assert cast.api(cast.make_staff()).delete(f"/api/v1/clients/{acme.pk}").status_code == 204
    assert not Client.objects.filter(pk=acme.pk).exists() and not Site.objects.exists()
    assert AuditEntry.objects.filter(client_id=acme.pk, action="client.deleted").count() == 1


def test_people_of_an_inactive_client_see_nothing():
    site, caller = cast.site(), cast.api(cast.alice())
    Client.objects.update(active=False)
    assert caller.get(f"/api/v1/sites/{site.pk}").status_code == 404
    assert caller.get("/api/v1/sites").json()["results"] == []


# --- People, tokens, providers ---------------------------------------------------------------------------------------
def test_a_token_is_shown_once_and_never_gives_more_than_it_has():
    caller = cast.api(cast.make_staff(), "admin")
    made = caller.post("/api/v1/tokens", {"name": "ci", "scopes": ["read"]}).json()
    assert made["token"].startswith("wk_")
    assert "token" not in caller.get(f"/api/v1/tokens/{made['id']}").json()
    assert caller.post("/api/v1/tokens", {"name": "x", "scopes": ["approve"]}).status_code == 403
    assert (
        cast.api(cast.make_staff(), "write").post("/api/v1/tokens", {"name": "x", "scopes": ["read"]}).status_code
        == 403
    )
    bound = cast.api(cast.make_staff(), "admin", client=cast.acme())
    assert bound.post("/api/v1/tokens", {"name": "x", "scopes": ["read"]}).json()["client"] == cast.acme().pk
    assert (
        bound.post("/api/v1/tokens", {"name": "x", "scopes": ["read"], "client": cast.globex().pk}).status_code == 400
    )


def test_deleting_a_token_revokes_it():
    caller = cast.api(cast.make_staff())
    made = caller.post("/api/v1/tokens", {"name": "ci", "scopes": ["read"]}).json()
    assert caller.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert Token.objects.get(pk=made["id"]).revoked_at is not None


def test_only_owners_touch_people_and_providers():
    for path in ("users", "memberships", "provider-settings"):
        assert cast.api(cast.make_owner()).get(f"/api/v1/{path}").status_code == 200
        assert cast.api(cast.make_owner(), "read", "write").get(f"/api/v1/{path}").status_code == 403
        for who in (cast.make_staff(), cast.alice(), cast.stranger()):
            assert cast.api(who).get(f"/api/v1/{path}").status_code == 403
    assert cast.api(cast.make_staff()).get(f"/api/v1/users/{cast.make_owner().pk}").status_code == 404


def test_an_owner_invites_changes_and_switches_off():
    caller = cast.api(cast.make_owner())
    made = caller.post("/api/v1/users", {"email": "new@acme.example", "role": "viewer", "client": cast.acme().pk})
    assert made.status_code == 201 and "/invite/" in made.json()["invitation_url"]
    assert mail.outbox[0].to == ["new@acme.example"] and made.json()["invitation_url"] in mail.outbox[0].body
    member = Membership.objects.get(user__email="new@acme.example")
    assert caller.patch(f"/api/v1/memberships/{member.pk}", {"role": "owner"}).status_code == 400
    assert caller.patch(f"/api/v1/memberships/{member.pk}", {"role": "admin"}).json()["role"] == "admin"
    assert caller.patch(f"/api/v1/users/{member.user_id}", {"is_active": False}).status_code == 200
    assert User.objects.get(pk=member.user_id).is_active is False
    assert caller.delete(f"/api/v1/users/{member.user_id}").status_code == 405


def test_an_invitation_stands_when_it_cannot_be_mailed(monkeypatch):
    def refuse(*a, **k):
        raise OSError("no mail server")

    monkeypatch.setattr("portal.people.send_mail", refuse)
    made = cast.api(cast.make_owner()).post("/api/v1/users", {"email": "new@msp.example", "role": "staff"})
    assert made.status_code == 201 and "hand over" in made.json()["mail_error"]


def test_the_last_owner_stays():
    owner = cast.make_owner()
    caller, member = cast.api(owner), Membership.objects.get(user=owner)
    assert caller.patch(f"/api/v1/users/{owner.pk}", {"is_active": False}).status_code == 409
    assert caller.patch(f"/api/v1/memberships/{member.pk}", {"role": "staff"}).status_code == 409
    assert caller.delete(f"/api/v1/memberships/{member.pk}").status_code == 409


def test_provider_secrets_are_masked_kept_and_removed_by_name():
    caller = cast.api(cast.make_owner())
    body = {"provider": "twilio", "config": {"account_sid": "AC1"}, "secrets": {"auth_token": "hush", "spare": "hush2"}}
    made = caller.post("/api/v1/provider-settings", body)
    assert made.status_code == 201 and made.json()["secrets"] == {"auth_token": MASK, "spare": MASK}
    changed = caller.patch("/api/v1/provider-settings/twilio", {"secrets": {"auth_token": MASK, "spare": ""}})
    assert changed.json()["secrets"] == {"auth_token": MASK} and changed.json()["has_secret"] is True
    assert ProviderSettings.objects.get().values() == {"account_sid": "AC1", "auth_token": "hush"}
    assert "hush" not in str(list(AuditEntry.objects.values()))
    assert caller.post("/api/v1/provider-settings", body).status_code == 400


def test_what_staff_note_about_a_client_is_not_in_its_audit_log():
    of = cast.acme()
    cast.api(cast.make_staff()).patch(f"/api/v1/clients/{of.pk}", {"notes": "Pays late.", "timezone": "Europe/Lisbon"})
    seen = cast.api(cast.alice()).get(f"/api/v1/audit-log?subject=client:{of.pk}").json()["results"]
    assert seen and "Lisbon" in str(seen) and "Pays late" not in str(seen)
    assert "Pays late" in str(cast.api(cast.make_staff()).get("/api/v1/audit-log").json())


def test_the_audit_log_is_read_only_and_ones_own():
    cast.site(cast.acme()), cast.site(cast.globex(), "Plant")
    seen = cast.api(cast.mallory()).get("/api/v1/audit-log").json()["results"]
    assert seen and {row["client"] for row in seen} == {cast.globex().pk}
    caller = cast.api(cast.make_auditor())
    assert (
        caller.get(f"/api/v1/audit-log?client={cast.acme().pk}&action=site.created").json()["results"][0][
            "subject_name"
        ]
        == "Shop"
    )
    assert caller.get("/api/v1/audit-log?since=yesterday").status_code == 400
    assert caller.delete(f"/api/v1/audit-log/{seen[0]['id']}").status_code in (403, 405)
