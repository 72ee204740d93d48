"""From where is it watched? Chosen by name, by tag, by API, form, list, template and copy; and what may be reached from there."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from monitors import bulk, paste, places, plans, running, services, templates
from monitors.models import Monitor, MonitorTemplate, Probe
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Tag
from portal.tenancy import viewer_of
from tests import cast
from tests.console.visiting import browser, form_of, text
from tests.monitors import rows
from tests.monitors.afar import new_probe

pytestmark = pytest.mark.django_db


def region(slug: str, *tags: str, **more) -> Probe:
    """A probe that is enrolled and carries these tags."""
    probe = new_probe(slug, more.pop("of", None), public_key=f"key of {slug}", **more)
    probe.tags.set(Tag.named(tags))
    return probe


@pytest.fixture(autouse=True)
def stage() -> None:
    rows.probe()
    for slug in ("berlin", "paris", "rome"):
        region(slug, "eu", slug)


def new(**more) -> Monitor:
    values = {"client": cast.acme(), "name": "shop", "kind": "http", "config": {"url": "https://shop.example"}}
    return Monitor(**{**values, **{k: v for k, v in more.items() if k not in ("probes", "rule", "trusted")}})


def save(m: Monitor | None = None, **more) -> Monitor:
    """Through the door, as staff."""
    door = {k: more.pop(k) for k in ("probes", "rule", "trusted") if k in more}
    return services.save(m or new(**more), by=cast.TESTS, at=database_now(), **{"trusted": True, **door})


def seen_from(m: Monitor) -> list[str]:
    return sorted(m.views.values_list("probe__slug", flat=True))


def body(**more) -> dict:
    return {"client": cast.acme().pk, "name": "shop", "kind": "http", "config": {"url": "https://shop.example"}, **more}


# --- The door ------------------------------------------------------------------------------------------------------------
def test_one_definition_of_a_plan():
    assert plans.Plan is running.Plan


def test_a_new_monitor_follows_its_rule_at_once():
    m = save(rule={"tags": ["EU"], "any": 2}, quorum=2)
    assert len(seen_from(m)) == 2 and set(seen_from(m)) < {"berlin", "paris", "rome"}
    assert m.probe_rule == {"tags": ["eu"], "any": 2}


def test_probes_by_name_end_the_rule():
    m = save(rule={"tags": ["eu"], "any": 2})
    save(m, probes=[rows.probe()])
    m.refresh_from_db()
    assert m.probe_rule == {} and seen_from(m) == ["local"]


def test_an_edit_of_something_else_leaves_the_places_alone():
    m = save(rule={"tags": ["eu"], "any": 2})
    before, m.name = seen_from(m), "other"
    save(m)
    assert seen_from(m) == before and m.probe_rule


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rule": {"tags": ["eu"], "any": 2}, "quorum": 3}, "2 probes fit this rule, but 3 are to agree"),
        ({"rule": {"tags": ["mars"]}}, "No probe carries mars"),
        ({"rule": {"probes": ["berlin", "mars"]}}, "No probe that can watch: mars"),
        ({"rule": {"any": 2}}, "Like"),
        ({"rule": {"tags": ["eu"]}, "kind": "heartbeat", "config": {"period_seconds": 60, "grace_seconds": 30}}, "needs no rule"),
        ({"rule": {"tags": ["eu"], "any": 2}, "kind": "host", "config": {}}, "choose one probe"),
        ({"rule": {"probes": ["berlin", "paris"]}, "kind": "container", "config": {}}, "choose one probe"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused_with_the_cure(more, says):
    with pytest.raises(ValidationError, match=says):
        save(**more)
    assert not Monitor.objects.exists()


def test_a_machine_is_watched_from_one_place_only():
    berlin, paris = Probe.objects.get(slug="berlin"), Probe.objects.get(slug="paris")
    with pytest.raises(ValidationError, match="choose one probe"):
        save(kind="host", config={}, probes=[berlin, paris])
    assert seen_from(save(kind="host", config={}, probes=[berlin])) == ["berlin"]
    assert seen_from(save(kind="host", config={}, name="the portal's own")) == ["local"]


def test_more_must_agree_than_look_is_refused_also_later():
    m = save(probes=list(Probe.objects.filter(slug__in=("berlin", "paris"))), quorum=2)
    m.quorum = 3
    with pytest.raises(ValidationError, match="only 2 watch it"):
        save(m)


def test_who_edits_a_name_need_not_mend_what_a_revoked_probe_left():
    m = save(rule={"tags": ["eu"], "any": 3}, quorum=3)
    Probe.objects.filter(slug="rome").update(revoked_at=database_now())
    m = Monitor.objects.get(pk=m.pk)
    m.name = "other"
    save(m)
    assert seen_from(m) == ["berlin", "paris"]


# --- What may be reached -------------------------------------------------------------------------------------------------
PRIVATE = {"url": "http://192.168.7.5/"}


def test_a_clients_people_may_watch_private_addresses_from_their_own_probe():
    hq = region("acme-hq", "lan", of=cast.acme())
    m = save(config=PRIVATE, probes=[hq], trusted=False)
    assert seen_from(m) == ["acme-hq"] and not m.trusted
    assert seen_from(save(config=PRIVATE, rule={"tags": ["lan"]}, trusted=False)) == ["acme-hq"]


@pytest.mark.parametrize("others", [["local"], ["berlin"], ["local", "berlin"]])
def test_not_when_a_region_or_the_portal_would_have_to_reach_them(others):
    hq = region("acme-hq", of=cast.acme())
    with pytest.raises(ValidationError, match="private probe"):
        save(config=PRIVATE, probes=[hq, *Probe.objects.filter(slug__in=others)], trusted=False)
    save(config=PRIVATE, probes=[hq, *Probe.objects.filter(slug__in=others)], trusted=True)


def test_not_when_a_rule_might_take_a_region():
    region("acme-hq", "eu", of=cast.acme())
    with pytest.raises(ValidationError, match="private probe"):
        save(config=PRIVATE, rule={"tags": ["eu"]}, trusted=False)


def test_not_without_a_choice_and_not_after_moving_away():
    hq = region("acme-hq", of=cast.acme())
    with pytest.raises(ValidationError):
        save(config=PRIVATE, trusted=False)
    m = save(config=PRIVATE, probes=[hq], trusted=False)
    with pytest.raises(ValidationError):
        save(Monitor.objects.get(pk=m.pk), probes=[rows.probe()], trusted=False)
    assert seen_from(m) == ["acme-hq"]
    save(Monitor.objects.get(pk=m.pk), trusted=False)  # it stays where it is


def test_link_local_and_metadata_stay_shut_for_private_probes_too():
    hq = region("acme-hq", of=cast.acme())
    for url in ("http://169.254.169.254/latest", "http://[fe80::1]/"):
        m = new(config={"url": url})
        with pytest.raises(ValidationError):
            services.save(m, by=cast.TESTS, at=database_now(), probes=[hq], trusted=False)


def test_what_staff_let_into_one_network_is_not_taken_to_another_by_a_client():
    hq = region("acme-hq", of=cast.acme())
    m = save(config=PRIVATE, probes=[hq])
    alice = cast.api(cast.alice())
    refused = alice.patch(f"/api/v1/monitors/{m.pk}", {"probes": ["local"]})
    assert refused.status_code == 400 and "config.url" in refused.json()["error"]["fields"]
    assert alice.patch(f"/api/v1/monitors/{m.pk}", {"name": "plant"}).status_code == 200
    outcome = bulk.act(
        "watch_from", [m], bulk.Wish(rule={"probes": ["local"]}), viewer=viewer_of(cast.alice()), by=cast.TESTS, at=database_now()
    )  # fmt: skip
    assert outcome.refused and seen_from(m) == ["acme-hq"]


# --- The API -------------------------------------------------------------------------------------------------------------
def test_the_api_takes_a_rule_and_shows_it():
    alice = cast.api(cast.alice())
    made = alice.post("/api/v1/monitors", body(probe_rule={"tags": ["eu"], "any": 3}, quorum=2))
    assert made.status_code == 201, made.json()
    assert made.json()["probe_rule"] == {"tags": ["eu"], "any": 3} and made.json()["probes"] == ["berlin", "paris", "rome"]  # fmt: skip
    where = f"/api/v1/monitors/{made.json()['id']}"
    moved = alice.patch(where, {"probes": ["berlin", "local"]}).json()
    assert moved["probes"] == ["berlin", "local"] and moved["probe_rule"] == {}
    assert alice.patch(where, {"probe_rule": {"probes": ["rome", "paris"]}}).json()["probes"] == ["paris", "rome"]


def test_a_body_that_was_read_may_be_sent_back():
    alice = cast.api(cast.alice())
    made = alice.post("/api/v1/monitors", body(probe_rule={"tags": ["eu"], "any": 2})).json()
    where = f"/api/v1/monitors/{made['id']}"
    same = alice.put(where, {"probes": made["probes"], "probe_rule": made["probe_rule"]}).json()
    assert (same["probes"], same["probe_rule"]) == (made["probes"], made["probe_rule"])
    other = alice.put(where, {"probes": ["local"], "probe_rule": made["probe_rule"]}).json()
    assert (other["probes"], other["probe_rule"]) == (["local"], {})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"probes": ["local"], "probe_rule": {"tags": ["eu"]}}, "probe_rule"), ({"probe_rule": {"tags": []}}, "probe_rule"), ({"probe_rule": "eu"}, "probe_rule"),
        ({"probe_rule": {"tags": ["eu"], "any": 2}, "quorum": 3}, "probe_rule"), ({"probe_rule": {"probes": ["globex-hq"]}}, "probe_rule"),
    ],
)  # fmt: skip
def test_the_api_says_mistakes_at_their_field(more, field):
    region("globex-hq", of=cast.globex())
    refused = cast.api(cast.alice()).post("/api/v1/monitors", body(**more))
    assert refused.status_code == 400 and field in refused.json()["error"]["fields"]
    assert "globex" not in str(refused.json()["error"]["fields"]).partition("there are")[2]


def test_many_are_moved_at_once_over_the_api():
    ids = [save(name=f"m{n}").pk for n in range(3)]
    staff = cast.api(cast.make_staff())
    assert staff.post("/api/v1/monitors/actions", {"action": "watch_from", "ids": ids}).status_code == 400
    done = staff.post("/api/v1/monitors/actions", {"action": "watch_from", "ids": ids, "probe_rule": {"tags": ["eu"], "any": 2}})  # fmt: skip
    assert done.status_code == 200 and done.json()["done"] == ids, done.json()
    assert all(len(seen_from(m)) == 2 for m in Monitor.objects.all())


def test_probes_over_the_api_to_the_end():
    staff, alice = cast.api(cast.make_staff()), cast.api(cast.alice())
    made = staff.post("/api/v1/probes", {"name": "Acme HQ", "slug": "hq", "client": cast.acme().pk, "network": "AS1"}).json()  # fmt: skip
    assert made["enrol_token"].startswith("wkp_") and made["health"] == "never_seen"
    where = f"/api/v1/probes/{made['id']}"
    assert "enrol_token" not in staff.get(where).json() and "public_key" not in str(staff.get(where).json())
    changed = staff.patch(where, {"name": "HQ", "tags": ["lan"], "anchors": ["1.1.1.1:443"], "enabled": False}).json()
    assert (changed["name"], changed["tags"], changed["anchors"], changed["health"]) == ("HQ", ["lan"], ["1.1.1.1:443"], "disabled")  # fmt: skip
    assert staff.post(f"{where}/token").status_code == 201 and alice.delete(where).status_code == 403
    assert cast.api(cast.mallory()).delete(where).status_code == 404
    m = save(probes=[Probe.objects.get(slug="hq")])
    assert staff.delete(where).status_code == 409
    services.delete(m, by=cast.TESTS, at=database_now())
    assert staff.delete(where).status_code == 204 and staff.delete("/api/v1/probes/1").status_code in (404, 409)


def test_of_a_region_a_clients_token_does_not_learn_what_ails_it():
    region("dark", blind_since=database_now(), blind_reason="The line of box-7 is dead.", last_seen_at=database_now())
    seen = {p["slug"]: p for p in cast.api(cast.alice()).get("/api/v1/probes").json()["results"]}
    assert seen["dark"]["health"] == "blind" and "box-7" not in str(seen["dark"])


# --- Lists, templates --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cell", "rule"),
    [("3 of eu", {"tags": ["eu"], "any": 3}), ("berlin; paris", {"probes": ["berlin", "paris"]}), ("2 OF eu + ssd", {"tags": ["eu", "ssd"], "any": 2})],
)  # fmt: skip
def test_a_pasted_list_says_from_where(cell, rule):
    (line,) = paste.read(f"url,probes\nhttps://shop.example,{cell}\n")
    assert line.values["probe_rule"] == rule and not line.errors


def test_a_pasted_line_is_judged_and_created():
    (bad,) = paste.read("url,probes\nhttps://shop.example,0 of eu\n")
    assert "probes:" in bad.errors[0]
    caller = browser(cast.make_staff())
    caller.handler.enforce_csrf_checks = False
    lines = "url,probes\nhttps://a.example,2 of eu\nhttps://b.example,mars"
    seen = caller.post("/monitors/several/", {"client": cast.acme().pk, "lines": lines})
    assert "No probe that can watch: mars" in text(seen) and not Monitor.objects.exists()
    caller.post("/monitors/several/", {"client": cast.acme().pk, "lines": lines.replace("mars", "rome"), "create": "1"})
    assert [len(seen_from(m)) for m in Monitor.objects.order_by("name")] == [2, 1]


def test_a_template_carries_its_places_out_and_its_form_keeps_them():
    template = templates.save(
        MonitorTemplate(name="EU", kind="http", values={"interval_seconds": 60, "probe_rule": {"tags": ["eu"], "any": 2}}), by=cast.TESTS
    )  # fmt: skip
    m = save()
    assert [d.field for d in templates.diff(template, m, [])] == ["probe_rule"]
    templates.roll_out(template, [m], viewer=viewer_of(cast.make_staff()), by=Actor("t"), at=database_now())
    assert len(seen_from(m)) == 2 and templates.diff(template, Monitor.objects.get(pk=m.pk), []) == []
    caller = browser(cast.make_staff())
    page = caller.get(f"/monitor-templates/{template.pk}/")
    caller.post(f"/monitor-templates/{template.pk}/", {**form_of(page), "interval_seconds": "120"})
    template.refresh_from_db()
    assert template.values == {"interval_seconds": 120, "probe_rule": {"tags": ["eu"], "any": 2}}
    template.values = {"interval_seconds": 120, "probe_rule": {}}
    assert templates.save(template, by=cast.TESTS).values == {"interval_seconds": 120}
    with pytest.raises(ValidationError, match="needs no rule"):
        templates.save(MonitorTemplate(name="x", kind="push", values={"probe_rule": {"tags": ["eu"]}}), by=cast.TESTS)


# --- The form ------------------------------------------------------------------------------------------------------------
def typed(page, **more) -> dict:
    return {**form_of(page), "kind": "http", "config_url": "https://shop.example", **more}


def test_the_form_chooses_by_tag_without_scripts():
    caller = browser(cast.make_staff())
    page = caller.get(f"/monitors/add/?client={cast.acme().pk}")
    assert f"Would be watched from: {rows.probe().name} ." in text(page)
    data = typed(page, where="tagged", probe_tags="eu", probe_any="2", quorum="2", client=cast.acme().pk)
    assert caller.post("/monitors/add/", data).status_code == 302
    m = Monitor.objects.get()
    assert m.probe_rule == {"tags": ["eu"], "any": 2}
    again = caller.get(f"/monitors/{m.pk}/edit/")
    data = form_of(again)
    assert (data["where"], data["probe_tags"], data["probe_any"]) == ("tagged", "eu", "2")
    caller.post(f"/monitors/{m.pk}/edit/", {**data, "kind": "http", "where": "named"})
    m.refresh_from_db()
    assert m.probe_rule == {} and len(seen_from(m)) == 2


def test_a_copy_is_watched_from_the_same_places():
    m = save(rule={"tags": ["eu"], "any": 2})
    caller = browser(cast.make_staff())
    page = caller.get(f"/monitors/{m.pk}/clone/")
    assert caller.post(f"/monitors/{m.pk}/clone/", {**form_of(page), "kind": "http"}).status_code == 302
    assert Monitor.objects.exclude(pk=m.pk).get().probe_rule == m.probe_rule
    named = save(name="named", probes=list(Probe.objects.filter(slug__in=("rome", "local"))))
    page = caller.get(f"/monitors/{named.pk}/clone/")
    caller.post(f"/monitors/{named.pk}/clone/", {**form_of(page), "kind": "http", "name": "twin"})
    assert seen_from(Monitor.objects.get(name="twin")) == ["local", "rome"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"where": "named", "probes": []}, "Choose at least one place"), ({"where": "tagged", "probe_tags": ""}, "Name at least one tag"),
        ({"where": "tagged", "probe_tags": "mars"}, "No probe carries mars"), ({"where": "tagged", "probe_tags": "eu", "probe_any": "2", "quorum": "3"}, "3 must agree, and only 2 would look"),
    ],
)  # fmt: skip
def test_the_form_says_what_is_missing(more, says):
    caller = browser(cast.make_staff())
    page = caller.get(f"/monitors/add/?client={cast.acme().pk}")
    answer = caller.post("/monitors/add/", typed(page, client=cast.acme().pk, **more))
    assert answer.status_code == 400 and says in text(answer) and not Monitor.objects.exists()


def test_the_preview_says_of_which_places_some_would_be_taken():
    caller = browser(cast.make_staff())
    page = caller.get(f"/monitors/add/?client={cast.acme().pk}")
    data = typed(page, client=cast.acme().pk, where="tagged", probe_tags="eu", probe_any="2", preview="1")
    piece = caller.post("/monitors/add/", data, headers={"HX-Request": "true", "HX-Target": "seen-from"})
    assert "Would be watched from 2 of: Berlin, Paris, Rome ." in text(piece) and not Monitor.objects.exists()
    assert b"<form" not in piece.content


def test_a_clients_form_offers_their_own_and_nobody_elses():
    region("acme-hq", of=cast.acme())
    region("globex-hq", of=cast.globex())
    said = text(browser(cast.alice()).get("/monitors/add/"))
    assert "Acme-Hq (private" in said and "Globex" not in said


def test_a_test_before_saving_says_that_the_portal_cannot_reach_it():
    hq = region("acme-hq", of=cast.acme())
    alice = browser(cast.alice())
    page = alice.get("/monitors/add/")
    data = typed(page, client=cast.acme().pk, config_url="http://192.168.7.5/", probes=[str(hq.pk)], where="named")
    tried = alice.post("/monitors/add/", {**data, "test": "1"})
    assert "Only the portal itself can test before saving" in text(tried) and not Monitor.objects.exists()
    assert alice.post("/monitors/add/", data).status_code == 302 and seen_from(Monitor.objects.get()) == ["acme-hq"]


def test_places_in_words():
    assert places.in_words({"tags": ["eu", "ssd"], "any": 2}) == "2 of eu + ssd"
    assert places.in_words({"probes": ["a", "b"]}) == "a, b" and places.in_words({}) == ""
