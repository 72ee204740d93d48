"""Channels over the API: the printed examples, secrets in and never out, the private network refused at the field."""

from __future__ import annotations

import json
from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import limits
from alerts.channels import KINDS
from alerts.models import Channel, Delivery, Usage
from portal.clock import database_now
from portal.models import AuditEntry
from portal.secrets import MASK
from tests import cast
from tests.alerts import stage
from tests.rig.answers import Answer

pytestmark = pytest.mark.django_db
WHSEC = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SLACK = "https://hooks.slack.example/services/T00000000/B00000000/verysecretverysecretvery"


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


@pytest.mark.parametrize(
    "body",
    [
        {"name": "custom-webhook", "type": "webhook", "url": "https://your-service.example.com/alert"},
        {"name": "ops-slack", "type": "slack", "url": SLACK},
        {
            "client": None,
            "name": "ops",
            "type": "webhook",
            "url": "http://hooks.example/x",
            "headers": {},
            "secret": WHSEC,
            "config": {},
        },
        {"name": "mail", "type": "email", "url": "ops@acme.example"},
        {"name": "mail", "type": "email", "config": {"to": ["ops@acme.example", "ana@acme.example"]}},
    ],
)
def test_the_printed_examples_work(staff, body):
    answer = staff.post("/api/v1/channels", body)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert (
        made["type"] == body["type"] and made["enabled"] is True and made["healthy"] is True and made["client"] is None
    )
    assert staff.get(f"/api/v1/channels/{made['id']}").json() == made
    assert AuditEntry.objects.filter(action="channel.created").count() == 1


def test_the_shorthand_is_the_types_main_field(staff):
    made = staff.post(
        "/api/v1/channels", {"name": "m", "type": "email", "url": "a@acme.example, b@acme.example"}
    ).json()
    assert (
        made["config"] == {"to": ["a@acme.example", "b@acme.example"]}
        and made["url"] == "a@acme.example, b@acme.example"
    )
    path = f"/api/v1/channels/{made['id']}"
    assert staff.put(path, made).json() == made  # what was read can be sent back
    assert staff.patch(path, {"url": "c@acme.example"}).json()["config"] == {"to": ["c@acme.example"]}


@pytest.mark.parametrize("change", [{"url": "https://y.example/h"}, {"config": {"url": "https://y.example/h"}}])
def test_a_body_that_was_read_and_changed_in_one_place_means_that_place(staff, change):
    made = staff.post("/api/v1/channels", {"name": "ops", "type": "webhook", "url": "https://x.example/h"}).json()
    answer = staff.put(f"/api/v1/channels/{made['id']}", {**made, **change})
    assert answer.status_code == 200 and answer.json()["url"] == "https://y.example/h"


def test_secrets_go_in_and_never_come_out_and_a_mask_keeps_them(staff):
    body = {
        "name": "ops",
        "type": "webhook",
        "url": "https://x.example/h",
        "secret": WHSEC,
        "headers": {"X-Key": "opensesame"},
        "config": {"authorization": "Bearer abcdef"},
    }
    made = staff.post("/api/v1/channels", body).json()
    assert made["secret"] == MASK and made["headers"] == {"X-Key": MASK} and made["has_secret"] is True
    assert made["config"] == {
        "url": "https://x.example/h",
        "secret": MASK,
        "headers": {"X-Key": MASK},
        "authorization": MASK,
    }
    row = Channel.objects.get()
    path = f"/api/v1/channels/{row.pk}"
    changed = staff.put(
        path, {**made, "url": "https://y.example/h", "config": {**made["config"], "url": "https://y.example/h"}}
    )
    assert changed.status_code == 200, changed.json()
    row.refresh_from_db()
    assert row.secrets.open() == {"secret": WHSEC, "headers": {"X-Key": "opensesame"}, "authorization": "Bearer abcdef"}
    assert staff.patch(path, {"headers": {"X-Key": MASK, "X-More": "1"}}).json()["headers"] == {
        "X-Key": MASK,
        "X-More": MASK,
    }
    assert staff.patch(path, {"secret": ""}).json()["secret"] == ""
    row.refresh_from_db()
    assert row.secrets.open() == {"headers": {"X-Key": "opensesame", "X-More": "1"}, "authorization": "Bearer abcdef"}
    everywhere = (
        json.dumps(staff.get("/api/v1/channels").json()) + str(list(AuditEntry.objects.values())) + str(row.__dict__)
    )
    assert "opensesame" not in everywhere and "abcdef" not in everywhere


def test_a_url_that_is_a_secret_shows_its_host_only(staff):
    made = staff.post("/api/v1/channels", {"name": "s", "type": "slack", "url": SLACK}).json()
    assert made["url"] == f"https://hooks.slack.example/{MASK}" and "verysecret" not in json.dumps(made)
    path = f"/api/v1/channels/{made['id']}"
    assert staff.patch(path, {"url": made["url"], "name": "t"}).json()["name"] == "t"
    assert Channel.objects.get().secrets.open() == {"url": SLACK}
    twisted = staff.patch(path, {"url": f"https://evil.example/{MASK}"})
    assert twisted.status_code == 400 and "url" in twisted.json()["error"]["fields"]


def test_a_mask_without_anything_behind_it_is_refused(staff):
    answer = staff.post("/api/v1/channels", {"name": "s", "type": "slack", "url": MASK})
    assert answer.status_code == 400 and "url" in answer.json()["error"]["fields"]


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/x",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/",
        "http://[fe80::1]/",
        "http://100.64.0.1/",
        "http://[::ffff:10.0.0.1]/",
    ],
)
def test_the_private_network_is_refused_where_it_was_typed(staff, url):
    short = staff.post("/api/v1/channels", {"name": "x", "type": "webhook", "url": url})
    assert short.status_code == 400 and list(short.json()["error"]["fields"]) == ["url"]
    whole = staff.post("/api/v1/channels", {"name": "x", "type": "webhook", "config": {"url": url}})
    assert whole.status_code == 400 and list(whole.json()["error"]["fields"]) == ["config.url"]
    mail = staff.post(
        "/api/v1/channels", {"name": "x", "type": "email", "config": {"to": "a@b.example", "smtp_host": "10.0.0.1"}}
    )
    assert mail.status_code == 400 and list(mail.json()["error"]["fields"]) == ["config.smtp_host"]
    assert Channel.objects.count() == 0


def test_an_address_named_in_outbound_allow_may_be_saved_and_localhost_is_looked_up(staff, settings):
    assert (
        staff.post("/api/v1/channels", {"name": "x", "type": "webhook", "url": "http://localhost:9/x"}).status_code
        == 201
    )
    settings.OUTBOUND_ALLOW = ()
    refused = staff.post("/api/v1/channels", {"name": "x", "type": "webhook", "url": "http://localhost:9/x"})
    assert refused.status_code == 400 and "OUTBOUND_ALLOW" in refused.json()["error"]["message"]
    stored = Channel.objects.get()
    assert (
        staff.patch(f"/api/v1/channels/{stored.pk}", {"enabled": False}).status_code == 200
    )  # what stands there already is no new address


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "type": "carrier_pigeon", "url": "x"}, "type"),
        ({"name": "x", "type": "webhook"}, "url"),
        ({"name": "", "type": "webhook", "url": "https://x.example/"}, "name"),
        ({"type": "webhook", "url": "https://x.example/"}, "name"),
        ({"name": "x", "url": "https://x.example/"}, "type"),
        ({"name": "x", "type": "webhook", "url": "ftp://x.example/"}, "url"),
        ({"name": "x", "type": "webhook", "url": "https://u:p@x.example/"}, "url"),
        ({"name": "x", "type": "webhook", "url": ["https://x.example/", {}]}, "url"),
        ({"name": "x", "type": "webhook", "url": "https://x.example/", "secret": "short"}, "secret"),
        ({"name": "x", "type": "webhook", "url": "https://x.example/", "headers": {"Host": "y"}}, "headers"),
        ({"name": "x", "type": "webhook", "url": "https://x.example/", "config": {"colour": "red"}}, "config.colour"),
        ({"name": "x", "type": "webhook", "url": "https://x.example/", "config": {"url": "https://y.example/"}}, "url"),
        ({"name": "x", "type": "webhook", "url": "https://x.example/", "config": []}, "config"),
        ({"name": "x", "type": "email", "url": "nobody"}, "url"),
        ({"name": "x", "type": "email", "url": "a@b.example", "secret": "whsec_x"}, "secret"),
        (
            {"name": "x", "type": "webhook", "url": "https://x.example/", "group_window_seconds": 99999},
            "group_window_seconds",
        ),
        ({"name": "x", "type": "webhook", "url": "https://x.example/", "client": 987654}, "client"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(staff, body, field):
    answer = staff.post("/api/v1/channels", body)
    assert answer.status_code == 400, answer.json()
    assert any(key == field or key.startswith(f"{field}.") for key in answer.json()["error"]["fields"]), answer.json()
    assert Channel.objects.count() == 0


def test_an_unknown_type_is_answered_with_the_known_ones(staff):
    (sentence,) = staff.post("/api/v1/channels", {"name": "x", "type": "fax", "url": "1"}).json()["error"]["fields"][
        "type"
    ]
    assert "fax" in sentence and all(kind in sentence for kind in KINDS)


def test_a_new_address_starts_healthy_and_a_new_name_does_not(staff):
    row = stage.webhook(unhealthy_since=stage.T, unhealthy_reason="HTTP 404")
    body = staff.patch(f"/api/v1/channels/{row.pk}", {"name": "renamed"}).json()
    assert body["healthy"] is False and body["unhealthy_reason"] == "HTTP 404"
    body = staff.patch(f"/api/v1/channels/{row.pk}", {"url": "https://hooks.example/new"}).json()
    assert body["healthy"] is True and body["unhealthy_reason"] == ""


def test_what_stays_the_same_leaves_no_entry(staff):
    made = staff.post(
        "/api/v1/channels", {"name": "ops", "type": "webhook", "url": "https://x.example/h", "secret": WHSEC}
    ).json()
    count = AuditEntry.objects.count()
    assert staff.put(f"/api/v1/channels/{made['id']}", made).status_code == 200
    assert AuditEntry.objects.count() == count


def test_type_and_client_stay(staff):
    row = stage.webhook()
    for body in ({"type": "email"}, {"client": cast.acme().pk}):
        assert staff.patch(f"/api/v1/channels/{row.pk}", body).status_code == 400


# --- Test ------------------------------------------------------------------------------------------------------------
def test_a_test_message_goes_out_at_once_and_says_what_the_vendor_answered(staff, receiver):
    row = stage.webhook(url=receiver.url("/hook"))
    answer = staff.post(f"/api/v1/channels/{row.pk}/test")
    assert answer.status_code == 200 and answer.json() == {"status": "delivered", "response_code": 200, "error": None}
    (call,) = receiver.at("/hook")
    assert json.loads(call.body)["event"] == "test"
    assert staff.get(f"/api/v1/channels/{row.pk}").json()["last_success_at"]
    (entry,) = staff.get(f"/api/v1/notification-logs?channel={row.pk}").json()["results"]
    assert entry["type"] == "test" and entry["outcome"] == "delivered"


def test_a_failed_test_is_not_tried_again_and_does_not_make_the_channel_ill(staff, receiver):
    row = stage.webhook(url=receiver.behave("/hook", Answer(503, b"down for repairs")))
    body = staff.post(f"/api/v1/channels/{row.pk}/test").json()
    assert (body["status"], body["response_code"]) == ("failed", 503) and "down for repairs" in body["error"]
    assert Delivery.objects.get().state == "failed" and len(receiver.at("/hook")) == 1
    shown = staff.get(f"/api/v1/channels/{row.pk}").json()
    assert shown["healthy"] is True and "503" in shown["last_answer"]


def test_a_channel_that_cannot_send_says_why(staff):
    row = Channel.objects.create(name="mail", type="email", config={"to": ["a@acme.example"]})
    shown = staff.get(f"/api/v1/channels/{row.pk}").json()
    assert "SMTP" in shown["problem"]
    body = staff.post(f"/api/v1/channels/{row.pk}/test").json()
    assert body["status"] == "failed" and body["response_code"] is None and body["error"] == shown["problem"]


def test_settings_of_another_time_do_not_break_the_list(staff):
    Channel.objects.create(name="odd", type="retired_type", config={"x": 1})
    Channel.objects.create(name="bad", type="webhook", config={"nonsense": 1})
    listed = staff.get("/api/v1/channels").json()["results"]
    assert [bool(c["problem"]) for c in listed] == [True, True]


# --- Who may ---------------------------------------------------------------------------------------------------------
def test_a_clients_admin_manages_their_own_and_never_ours():
    alice = cast.api(cast.alice())
    made = alice.post("/api/v1/channels", {"name": "ours", "type": "webhook", "url": "https://x.example/"}).json()
    assert made["client"] == cast.acme().pk
    assert (
        alice.post(
            "/api/v1/channels", {"client": None, "name": "x", "type": "webhook", "url": "https://x.example/"}
        ).status_code
        == 403
    )
    assert (
        alice.post(
            "/api/v1/channels",
            {"client": cast.globex().pk, "name": "x", "type": "webhook", "url": "https://x.example/"},
        ).status_code
        == 400
    )
    ours = stage.webhook("noc")
    theirs = stage.webhook("theirs", cast.globex())
    assert [c["name"] for c in alice.get("/api/v1/channels").json()["results"]] == ["ours"]
    for row in (ours, theirs):
        path = f"/api/v1/channels/{row.pk}"
        assert [
            alice.get(path).status_code,
            alice.patch(path, {"name": "x"}).status_code,
            alice.delete(path).status_code,
            alice.post(f"{path}/test").status_code,
        ] == [404] * 4
    assert alice.delete(f"/api/v1/channels/{made['id']}").status_code == 204


@pytest.mark.parametrize("who", [cast.viewer, cast.approver, cast.make_auditor])
def test_who_may_only_look(who):
    row, caller = stage.webhook(of=cast.acme()), cast.api(who())
    assert caller.get(f"/api/v1/channels/{row.pk}").status_code == 200
    assert caller.patch(f"/api/v1/channels/{row.pk}", {"name": "x"}).status_code == 403
    assert caller.post(f"/api/v1/channels/{row.pk}/test").status_code == 403


# --- Limits, weekly test, digest ---------------------------------------------------------------------------------------
def test_limits_are_for_what_people_read_and_bounded(staff):
    mail = staff.post(
        "/api/v1/channels",
        {
            "name": "m",
            "type": "email",
            "url": "a@acme.example",
            "rate_per_minute": 3,
            "monthly_quota": 40,
            "canary": True,
        },
    ).json()
    assert (mail["rate_per_minute"], mail["monthly_quota"], mail["canary"], mail["canary_at"]) == (3, 40, True, None)
    path = f"/api/v1/channels/{mail['id']}"
    for change in (
        {"rate_per_minute": 0},
        {"rate_per_minute": 601},
        {"monthly_quota": 0},
        {"monthly_quota": 10_000_001},
    ):
        answer = staff.patch(path, change)
        assert answer.status_code == 400 and next(iter(change)) in str(answer.json()), change
    assert staff.patch(path, {"monthly_quota": None}).json()["monthly_quota"] is None
    hook = {"name": "h", "type": "webhook", "url": "https://x.example/h"}
    for name in ("rate_per_minute", "monthly_quota"):
        answer = staff.post("/api/v1/channels", {**hook, name: 5})
        assert answer.status_code == 400 and "read by a program" in str(answer.json()), name
    made = staff.post("/api/v1/channels", hook).json()
    assert staff.put(f"/api/v1/channels/{made['id']}", made).json() == made


def test_the_usage_is_this_months_of_its_own_quota_or_its_types(staff):
    row = Channel.objects.create(name="SMS", type="twilio_sms", config={"to": "+351912345678"})
    month = limits.month_of(database_now())
    Usage.objects.create(channel=row, month=month, sent=125)
    Usage.objects.create(channel=row, month=date(2020, 1, 1), sent=400)
    path = f"/api/v1/channels/{row.pk}"
    usage = {"month": month.isoformat(), "sent": 125, "quota": 500, "percent": 25}
    assert staff.get(path).json()["usage"] == usage
    assert staff.get("/api/v1/channels").json()["results"][0]["usage"] == usage
    assert staff.patch(path, {"monthly_quota": 250}).json()["usage"] == {**usage, "quota": 250, "percent": 50}
    assert "segment is paid" in staff.get(path).json()["caveat"]
    hook = stage.webhook()
    assert staff.get(f"/api/v1/channels/{hook.pk}").json()["usage"]["quota"] is None


def test_channels_cost_the_same_with_three_and_with_thirty(staff):
    def seen() -> int:
        with CaptureQueriesContext(connection) as counted:
            assert staff.get("/api/v1/channels").status_code == 200
        return len(counted)

    for n in range(3):
        stage.mail(f"mail {n}", cast.acme(), monthly_quota=5)
    seen()
    few = seen()
    for n in range(27):
        Usage.objects.create(channel=stage.mail(f"more {n}", monthly_quota=5), month=limits.month_of(database_now()))
    assert seen() == few


def test_a_digest_is_sent_on_demand_and_refused_when_the_channel_is_off(staff):
    row = stage.mail(of=cast.acme())
    stage.tell(stage.failing(1), stage.failing(2, client=cast.globex()))
    answer = staff.post(f"/api/v1/channels/{row.pk}/digest")
    assert answer.status_code == 202 and (answer.json()["kind"], answer.json()["channel"]) == ("digest", row.pk)
    delivery = Delivery.objects.get(pk=answer.json()["id"])
    assert [line["name"] for line in delivery.notice.snapshot["lines"]] == ["monitor-1"], "its owner's alerts only"
    assert AuditEntry.objects.filter(action="channel.digest").count() == 1
    staff.patch(f"/api/v1/channels/{row.pk}", {"enabled": False})
    assert staff.post(f"/api/v1/channels/{row.pk}/digest").status_code == 409
    assert cast.api(cast.mallory()).post(f"/api/v1/channels/{row.pk}/digest").status_code == 404
    assert cast.api(cast.viewer()).post(f"/api/v1/channels/{row.pk}/digest").status_code == 403
