"""Monitor templates: edited once, seen as a diff, rolled out. What a template does not name stays each monitor's own."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.test import Client as Browser

from monitors import services, templates
from monitors.models import Monitor, MonitorTemplate
from portal.clock import database_now
from portal.models import AuditEntry
from portal.tenancy import viewer_of
from tests import cast
from tests.monitors.rows import monitor

pytestmark = pytest.mark.django_db
VALUES = {
    "interval_seconds": 30,
    "timeout_seconds": 5,
    "severity": "warning",
    "config": {"keyword": "ok", "accepted_statuses": "200-204"},
    "tags": ["Web"],
}


def template(of=None, name="Websites", kind="http", values=None) -> MonitorTemplate:
    row = MonitorTemplate(client=of, name=name, kind=kind, values=VALUES if values is None else values)
    return templates.save(row, by=cast.TESTS)


def rolled(row, *monitors, by=None):
    found = Monitor.objects.filter(pk__in=[m.pk for m in monitors]).select_related("client").order_by("name")
    return templates.roll_out(row, found, viewer=viewer_of(by or cast.make_staff()), by=cast.TESTS, at=database_now())


def again(m):
    return Monitor.objects.get(pk=m.pk)


def wrong(kind="http", **values) -> dict:
    with pytest.raises(ValidationError) as error:
        templates.judged(kind, values)
    return error.value.message_dict


# --- What a template may say ---------------------------------------------------------------------------------------------
def test_what_is_wrong_is_said_at_its_dotted_key():
    assert set(
        wrong(interval_seconds=2, severity="loud", config={"accepted_statuses": "many", "nonsense": 1}, tags="prod")
    ) == {
        "values.interval_seconds",
        "values.severity",
        "values.config.accepted_statuses",
        "values.config.nonsense",
        "values.tags",
    }
    assert list(wrong(interval_seconds=10, timeout_seconds=20)) == ["values.timeout_seconds"]
    assert list(wrong(enabled=False)) == ["values.enabled"], "nobody pauses monitors by a template"
    assert list(wrong(kind="carrier pigeon")) == ["kind"]


@pytest.mark.parametrize("name", ["password", "token", "headers", "proxy"])
def test_a_template_holds_no_secret(name):
    value = {"X-Key": "s3cret"} if name == "headers" else "http://u:s3cret@proxy.example"
    said = wrong(config={name: value})
    assert list(said) == [f"values.config.{name}"] and "s3cret" not in str(said)


def test_a_template_needs_no_url_and_may_name_settings_that_need_others_beside_them():
    assert templates.judged("http", {"config": {"auth": "basic"}}) == {"config": {"auth": "basic"}}
    assert templates.judged("heartbeat", {"config": {"grace_seconds": "90"}}) == {"config": {"grace_seconds": 90}}
    assert templates.judged("tcp", {"config": {}, "tags": []}) == {}


def test_a_change_of_its_values_is_a_new_version_and_leaves_the_monitors_alone():
    row, m = template(), monitor()
    rolled(row, m)
    row.values = {**VALUES, "interval_seconds": 300}
    templates.save(row, by=cast.TESTS)
    assert row.version == 2 and again(m).interval_seconds == 30
    row.description = "For shops"
    templates.save(row, by=cast.TESTS)
    assert row.version == 2
    row.kind = "tcp"
    with pytest.raises(ValidationError, match="cannot be changed"):
        templates.save(row, by=cast.TESTS)


# --- Who differs ---------------------------------------------------------------------------------------------------------
def test_the_diff_names_each_field_before_and_after():
    row, m = template(), monitor(config={"url": "https://a.example/", "keyword": "fine"}, severity="warning")
    assert templates.diff(row, m, ["prod"]) == [
        ("interval_seconds", 60, 30),
        ("timeout_seconds", 10, 5),
        ("config.keyword", "fine", "ok"),
        ("config.accepted_statuses", "200-299", "200-204"),
        ("tags", ["prod"], ["prod", "Web"]),
    ]
    assert templates.diff(row, m, ["web"])[-1].field != "tags", "the case of a tag does not matter"


def test_a_setting_at_its_default_is_no_difference():
    row = template(values={"config": {"method": "GET", "verify_tls": True}})
    assert templates.diff(row, monitor(), []) == []


def test_a_period_takes_the_place_of_a_schedule():
    row = template(kind="heartbeat", values={"config": {"period_seconds": 600}})
    m = monitor(kind="heartbeat", config={"schedule": "30 2 * * *"})
    assert templates.diff(row, m, []) == [("config.period_seconds", None, 600), ("config.schedule", "30 2 * * *", None)]
    rolled(row, m)
    assert again(m).config == {"period_seconds": 600}


# --- Rolling out ---------------------------------------------------------------------------------------------------------
def test_rolling_out_changes_what_it_names_and_nothing_else():
    row = template()
    m = monitor(config={"url": "https://a.example/", "headers": {"X-Key": "s3cret"}}, tags=["prod"], notes="Ours")
    other = monitor(name="other")
    outcome = rolled(row, m)
    assert [n.pk for n in outcome.done] == [m.pk] and not outcome.refused
    m = again(m)
    assert (m.interval_seconds, m.severity, m.notes) == (30, "warning", "Ours")
    assert m.config == {"url": "https://a.example/", "keyword": "ok", "accepted_statuses": "200-204"}
    assert m.secrets.open() == {"headers": {"X-Key": "s3cret"}}
    assert sorted(m.tags.values_list("name", flat=True)) == ["Web", "prod"]
    assert (m.template, m.template_version) == (row, 1)
    assert again(other).interval_seconds == 60 and again(other).template is None
    entry = AuditEntry.objects.filter(action="monitor.change", subject=f"monitor:{m.pk}").latest("pk")
    assert entry.after["interval_seconds"] == 30 and "s3cret" not in str(entry.after)
    assert templates.diff(row, m, ["prod", "Web"]) == []


def test_one_that_cannot_take_it_does_not_hold_up_the_others():
    row = template(values={"interval_seconds": 5})
    slow, quick = monitor(name="slow", timeout_seconds=20), monitor(name="quick", timeout_seconds=2)
    outcome = rolled(row, slow, quick)
    assert [m.name for m in outcome.done] == ["quick"]
    assert [(m.name, "timeout_seconds" in why) for m, why in outcome.refused] == [("slow", True)]
    assert again(slow).interval_seconds == 60 and again(slow).template is None


def test_rolling_out_what_is_there_already_writes_nothing():
    row, m = template(), monitor()
    rolled(row, m)
    before = again(m).config_version
    assert rolled(row, m).done and again(m).config_version == before


def test_settings_that_a_clients_people_may_have_written_do_not_get_the_reach_of_staff():
    theirs = template(cast.acme(), values={"config": {"url": "http://10.0.0.1/"}})
    m = monitor(config={"url": "http://10.0.0.9/"})
    outcome = rolled(theirs, m)
    assert not outcome.done and "private" in outcome.refused[0][1]
    assert again(m).trusted and again(m).config["url"] == "http://10.0.0.9/"
    ours = template(name="Ours", values={"config": {"keyword": "ok"}})
    assert rolled(ours, m).done and again(m).trusted


def test_a_viewer_rolls_out_nothing():
    row, m = template(cast.acme()), monitor()
    outcome = rolled(row, m, by=cast.viewer())
    assert not outcome.done and "role does not allow" in outcome.refused[0][1]


def test_a_deleted_template_leaves_the_values_where_they_are():
    row, m = template(), monitor()
    rolled(row, m)
    templates.delete(row, by=cast.TESTS)
    m = again(m)
    assert (m.template, m.template_version, m.interval_seconds) == (None, None, 30)


def test_a_monitor_follows_a_template_of_its_kind_and_its_client_only():
    m = monitor()
    for row, sentence in (
        (template(kind="tcp", name="Ports", values={}), "choose one for http"),
        (template(cast.globex(), name="Theirs"), "belongs to another client"),
    ):
        m.template = row
        with pytest.raises(ValidationError, match=sentence):
            services.save(m, by=cast.TESTS, at=database_now())


# --- Over the API --------------------------------------------------------------------------------------------------------
def test_a_template_is_made_compared_and_rolled_out_over_the_api():
    caller = cast.api(cast.make_staff())
    a, b = monitor(name="a"), monitor(cast.globex(), name="b")
    made = caller.post("/api/v1/monitor-templates", {"name": "Websites", "kind": "http", "values": VALUES})
    assert made.status_code == 201, made.content
    where = f"/api/v1/monitor-templates/{made.json()['id']}"
    assert made.json()["client"] is None and made.json()["version"] == 1 and made.json()["monitors"] == 0
    assert caller.get(f"{where}/diff").json() == [], "nobody follows it yet"
    (seen,) = caller.get(f"{where}/diff?monitor_ids={a.pk}").json()
    assert seen["follows"] is False
    assert {"field": "interval_seconds", "before": 60, "after": 30} in seen["changes"]
    answer = caller.post(f"{where}/roll-out", {"monitor_ids": [a.pk, b.pk]})
    assert answer.status_code == 200 and answer.json() == {"done": [a.pk, b.pk], "refused": []}
    assert again(b).interval_seconds == 30
    assert caller.get(f"{where}").json()["monitors"] == 2
    changed = caller.patch(where, {"values": {**VALUES, "interval_seconds": 120}})
    assert changed.status_code == 200 and changed.json()["version"] == 2
    assert [(row["monitor"], row["version"], len(row["changes"])) for row in caller.get(f"{where}/diff").json()] == [
        (a.pk, 1, 1),
        (b.pk, 1, 1),
    ]
    body = caller.get(f"/api/v1/monitors/{a.pk}").json()
    assert (body["template"], body["template_version"]) == (made.json()["id"], 1)
    assert caller.patch(f"/api/v1/monitors/{a.pk}", {"template": None}).json()["template"] is None
    assert caller.delete(where).status_code == 204


def test_mistakes_stand_at_dotted_keys_and_nothing_is_stored():
    caller = cast.api(cast.make_staff())
    values = {"interval_seconds": 1, "config": {"password": "s3cret"}}
    answer = caller.post("/api/v1/monitor-templates", {"name": "X", "kind": "http", "values": values})
    assert answer.status_code == 400 and set(answer.json()["error"]["fields"]) == {
        "values.interval_seconds",
        "values.config.password",
    }
    assert not MonitorTemplate.objects.exists()


def test_a_client_has_templates_of_its_own_and_sees_no_others():
    ours, theirs = template(name="Ours"), template(cast.globex(), name="Globex sites")
    caller = cast.api(cast.alice())
    assert caller.get("/api/v1/monitor-templates").json()["results"] == []
    for row in (ours, theirs):
        assert caller.get(f"/api/v1/monitor-templates/{row.pk}/diff").status_code == 404
        assert caller.post(f"/api/v1/monitor-templates/{row.pk}/roll-out", {"monitor_ids": [1]}).status_code == 404
    made = caller.post("/api/v1/monitor-templates", {"name": "Mine", "kind": "http", "values": {}})
    assert made.status_code == 201 and made.json()["client"] == cast.acme().pk
    foreign = monitor(cast.globex(), name="foreign")
    answer = caller.post(f"/api/v1/monitor-templates/{made.json()['id']}/roll-out", {"monitor_ids": [foreign.pk]})
    assert answer.status_code == 400 and "No such monitor" in answer.json()["error"]["message"]


def test_who_does_not_see_the_template_may_still_change_the_monitor_that_follows_it():
    row, m = template(), monitor(config={"url": "https://a.example/"})
    rolled(row, m)
    answer = cast.api(cast.alice()).patch(f"/api/v1/monitors/{m.pk}", {"template": row.pk, "name": "Shop"})
    assert answer.status_code == 200, answer.content
    assert again(m).template == row and again(m).name == "Shop"


# --- At the desk ---------------------------------------------------------------------------------------------------------
def test_the_desk_saves_through_the_same_door():
    desk = Browser()
    desk.force_login(cast.make_owner())
    data = {"client": "", "name": "Websites", "description": "", "kind": "http"}
    bad = desk.post("/admin/monitors/monitortemplate/add/", {**data, "values": '{"config": {"password": "s3cret"}}'})
    assert bad.status_code == 200 and "each monitor&#x27;s own" in bad.content.decode()
    assert not MonitorTemplate.objects.exists()
    desk.post("/admin/monitors/monitortemplate/add/", {**data, "values": '{"interval_seconds": 30}'})
    row = MonitorTemplate.objects.get()
    desk.post(f"/admin/monitors/monitortemplate/{row.pk}/change/", {**data, "values": '{"interval_seconds": 60}'})
    row.refresh_from_db()
    assert (row.values, row.version) == ({"interval_seconds": 60}, 2)
    assert desk.get("/admin/monitors/monitortemplate/").status_code == 200
    desk.post(f"/admin/monitors/monitortemplate/{row.pk}/delete/", {"post": "yes"})
    actions = AuditEntry.objects.filter(action__startswith="monitor_template.").order_by("pk")
    assert [entry.action.partition(".")[2] for entry in actions] == ["create", "change", "delete"]
