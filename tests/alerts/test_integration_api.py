"""Integrations over the API: the key is shown once, renewed, taken away; a body is tried without consequences."""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache

from alerts.models import Alert, Integration
from portal.models import AuditEntry
from portal.models.people import digest
from tests import cast
from tests.alerts import outside

pytestmark = pytest.mark.django_db
PATH = "/api/v1/integrations"


@pytest.fixture(autouse=True)
def fresh_counters():
    cache.clear()


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def test_made_read_changed_renewed_and_deleted(staff):
    made = staff.post(PATH, {"client": cast.acme().pk, "site": cast.site().pk, "name": "Prometheus", "tags": ["prod"]})
    assert made.status_code == 201, made.json()
    body = made.json()
    key, path = body.pop("key"), f"{PATH}/{body['id']}"
    assert (
        len(key) == 32
        and body["key_hint"] == key[:6]
        and body["kind"] == "events"
        and body["url"].endswith("/api/v1/events")
    )
    assert staff.get(path).json() == body and staff.get(PATH).json()["results"] == [body]
    assert Integration.objects.get().key_hash == digest(key)
    assert outside.post("/api/v1/events", outside.event(key)).status_code == 202
    assert staff.get(path).json()["last_event_at"] is not None
    assert staff.patch(path, {"name": "Prom", "enabled": False}).json()["name"] == "Prom"
    renewed = staff.post(f"{path}/rotate").json()
    assert renewed["key"] != key and renewed["key_hint"] == renewed["key"][:6]
    assert staff.delete(path).status_code == 204 and staff.get(path).status_code == 404
    entries = AuditEntry.objects.filter(action__startswith="integration.").order_by("id")
    assert [e.action.partition(".")[2] for e in entries] == ["created", "changed", "key_rotated", "deleted"]
    written = json.dumps([[e.before, e.after] for e in entries])
    assert all(secret not in written for secret in (key, renewed["key"], digest(key), digest(renewed["key"])))


def test_the_key_is_not_read_again_and_not_written(staff):
    made = staff.post(PATH, {"name": "x", "client": cast.acme().pk}).json()
    before = Integration.objects.get().key_hash
    changed = staff.patch(f"{PATH}/{made['id']}", {"key": "mine", "key_hash": "0" * 64, "key_hint": "zz"}).json()
    assert "key" not in changed and Integration.objects.get().key_hash == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"kind": "moon"}, "kind"),
        ({"kind": "generic"}, "mapping.title"),
        ({"kind": "generic", "mapping": {"title": "$.a["}}, "mapping.title"),
        (
            {"kind": "generic", "mapping": {"title": "$.a", "severity": {"values": {"1": "bad"}}}},
            "mapping.severity.values",
        ),
        ({"kind": "events", "mapping": {"title": "$.a"}}, "mapping"),
        ({"tags": ["a,b"]}, "tags"),
        ({"tags": [f"t{n}" for n in range(21)]}, "tags"),
        ({"site": 987654}, "site"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_field(staff, body, field):
    answer = staff.post(PATH, {"name": "x", "client": cast.acme().pk, **body})
    assert answer.status_code == 400, answer.json()
    assert any(name == field or name.startswith(f"{field}.") for name in answer.json()["error"]["fields"]), (
        answer.json()
    )
    assert not Integration.objects.exists()


def test_site_and_service_are_of_the_integrations_client(staff):
    for body in ({"client": cast.acme().pk}, {"client": None}):
        for name, row in (("site", cast.site(cast.globex())), ("service", cast.service(cast.globex()))):
            answer = staff.post(PATH, {"name": "x", **body, name: row.pk})
            assert answer.status_code == 400 and name in answer.json()["error"]["fields"]


def test_client_and_kind_are_for_good(staff):
    row, _ = outside.integration()
    for change in ({"client": cast.globex().pk}, {"kind": "alertmanager"}):
        assert staff.patch(f"{PATH}/{row.pk}", change).status_code == 400


# --- Trying a body -------------------------------------------------------------------------------------------------------
def test_a_preview_says_what_would_happen_and_does_nothing(staff):
    row, key = outside.integration()
    path = f"{PATH}/{row.pk}/preview"
    body = outside.event("whatever")

    def verb(**change: object) -> str:
        return staff.post(path, {"body": {**body, **change}}).json()["events"][0]["would"]

    assert (verb(), verb(event_action="resolve"), verb(event_action="acknowledge")) == ("open", "nothing", "nothing")
    assert not Alert.objects.exists() and Integration.objects.get().last_event_at is None
    outside.post("/api/v1/events", outside.event(key, severity="warning"))
    assert (verb(), verb(event_action="resolve"), verb(event_action="acknowledge")) == (
        "raise",
        "resolve",
        "acknowledge",
    )
    assert Alert.objects.get().status == "open" and Alert.objects.get().severity == "warning"


def test_a_mapping_is_tried_before_it_is_saved(staff):
    row, _ = outside.integration("generic")
    wish = {"title": "$.what", "severity": {"path": "$.how", "values": {"bad": "critical"}}}
    answer = staff.post(f"{PATH}/{row.pk}/preview", {"body": {"what": "Fire", "how": "bad"}, "mapping": wish}).json()
    (event,) = answer["events"]
    assert (event["title"], event["severity"], event["would"]) == ("Fire", "critical", "open")
    assert Integration.objects.get().mapping == outside.MAPPING
    refused = staff.post(f"{PATH}/{row.pk}/preview", {"body": {}, "mapping": {"title": "$["}})
    assert refused.status_code == 400 and "mapping.title" in refused.json()["error"]["fields"]
    assert staff.post(f"{PATH}/{row.pk}/preview", {"body": 7}).status_code == 400
    assert staff.post(f"{PATH}/{row.pk}/preview", {}).status_code == 400


# --- Whose ---------------------------------------------------------------------------------------------------------------
def test_a_clients_admin_keeps_their_own_and_sees_no_other():
    alice, mallory = cast.api(cast.alice()), cast.api(cast.mallory())
    made = alice.post(PATH, {"name": "Ours"})
    assert made.status_code == 201 and made.json()["client"] == cast.acme().pk
    assert alice.post(PATH, {"name": "x", "client": None}).status_code == 403
    assert alice.post(PATH, {"name": "x", "client": cast.globex().pk}).status_code == 400
    path = f"{PATH}/{made.json()['id']}"
    assert [
        mallory.get(path).status_code, mallory.patch(path, {"name": "y"}).status_code, mallory.post(f"{path}/rotate").status_code,
        mallory.post(f"{path}/preview", {"body": {}}).status_code, mallory.delete(path).status_code,
    ] == [404] * 5  # fmt: skip
    assert mallory.get(PATH).json()["results"] == []


@pytest.mark.parametrize("who", [cast.viewer, cast.approver, cast.make_auditor])
def test_who_may_only_look(who):
    row, _ = outside.integration()
    caller, path = cast.api(who()), f"{PATH}/{row.pk}"
    assert caller.get(path).status_code == 200
    for answer in (caller.patch(path, {"enabled": False}), caller.post(f"{path}/rotate"), caller.delete(path)):
        assert answer.status_code == 403


def test_a_list_costs_the_same_with_three_and_with_thirty(staff, django_assert_max_num_queries):
    staff.get(PATH)
    for n in range(30):
        outside.integration(name=f"i{n}")
    with django_assert_max_num_queries(4):
        assert len(staff.get(PATH).json()["results"]) == 30
