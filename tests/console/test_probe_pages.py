"""Probes as a person without scripts keeps them: listed, added, connected, looked into, switched off, revoked, deleted."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.test import override_settings

from alerts.models import Alert
from console.pages import probe_form
from monitors import blindness, probes, services
from monitors.models import Monitor, Probe, ProbeJob, ProbeState
from portal.clock import database_now
from portal.models import AuditEntry, Tag
from tests import cast
from tests.console.visiting import browser, form_of, text
from tests.monitors import rows
from tests.monitors.afar import Speaker, new_probe

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ours() -> Probe:
    """The portal's own probe, at work."""
    local = rows.probe()
    Probe.objects.filter(pk=local.pk).update(last_seen_at=database_now() + timedelta(minutes=10), name="Portal")
    return local


def seen(slug: str = "berlin", ago: int = -600, **more) -> Probe:
    """A probe that is enrolled and was heard so many seconds ago; the default stays well however slow this machine is."""
    probe = new_probe(
        slug, more.pop("of", None), public_key=f"key of {slug}", version="1", hostname=f"box-{slug}", **more
    )
    Probe.objects.filter(pk=probe.pk).update(last_seen_at=database_now() - timedelta(seconds=ago))
    probe.refresh_from_db()
    return probe


# --- The list ------------------------------------------------------------------------------------------------------------
def test_the_worst_comes_first_each_with_its_word():
    at = database_now()
    seen("well-one")
    seen("gone", ago=500)
    seen("dark", blind_since=at, blind_reason="Its line is dead.")
    seen("wrong-time", clock_offset_ms=90_000)
    seen("slow", health={"spool_oldest_s": 300})
    new_probe("fresh")
    seen("cut-off", revoked_at=at)
    page = browser(cast.make_staff()).get("/probes/")
    order = re.findall(r'id="p-\d+"[^>]*>([^<]+)<', page.content.decode())
    assert order == ["Gone", "Dark", "Wrong-Time", "Slow", "Fresh", "Cut-Off", "Portal", "Well-One"]
    said = text(page)
    for word in ("Disconnected", "Blind", "Clock off", "Stale", "Not connected yet", "Revoked", "Well"):
        assert word in said


def test_the_address_filters_by_client_and_by_health():
    seen("gone", ago=500)
    seen("acme-hq", of=cast.acme())
    caller = browser(cast.make_staff())

    def names(query: str) -> list[str]:
        return re.findall(r'id="p-\d+"[^>]*>([^<]+)<', caller.get(f"/probes/{query}").content.decode())

    assert names("?health=bad") == ["Gone"] and names(f"?client={cast.acme().pk}") == ["Acme-Hq"]
    assert names("?client=none") == ["Gone", "Portal"] and names("?health=silent&client=none") == ["Gone"]
    assert "Nothing matches" in text(caller.get("/probes/?health=revoked"))


def test_with_our_own_probe_alone_the_list_teaches():
    assert "Only this portal looks" in text(browser(cast.make_staff()).get("/probes/"))
    assert "Only this portal looks" not in text(browser(cast.alice()).get("/probes/"))


def test_a_clients_people_see_their_own_and_the_regions_by_name():
    region = seen("berlin", ago=500, network="AS3320", anchors=["192.0.2.7:443"], blind_reason="because of box-berlin")
    own, foreign = seen("acme-hq", of=cast.acme()), seen("globex-hq", of=cast.globex())
    alice = browser(cast.alice())
    page = alice.get("/probes/")
    said = page.content.decode()
    assert "Berlin" in said and "Disconnected" in said and "Globex" not in said
    assert "box-berlin" not in said and "192.0.2.7" not in said and "AS3320" not in said
    assert alice.get(f"/probes/{own.pk}/").status_code == 200
    assert alice.get(f"/probes/{region.pk}/").status_code == 404 == alice.get(f"/probes/{foreign.pk}/").status_code
    assert alice.get(f"/probes/{own.pk}/?", headers={"HX-Request": "true"}).status_code == 200


@pytest.mark.parametrize("path", ["edit/", "enrol/", "delete/", "look/", "disable/", "enable/", "revoke/"])
def test_only_staff_do_things_with_a_probe(path):
    own = seen("acme-hq", of=cast.acme())
    mallory, alice, audrey = browser(cast.mallory()), browser(cast.alice()), browser(cast.make_auditor())
    assert mallory.get(f"/probes/{own.pk}/{path}").status_code == 404
    page = alice.get(f"/probes/{own.pk}/")
    assert "Revoke" not in text(page) and "New token" not in text(page)
    token = alice.cookies["csrftoken"].value if "csrftoken" in alice.cookies else ""
    for caller in (alice, audrey):
        caller.handler.enforce_csrf_checks = False
        assert caller.post(f"/probes/{own.pk}/{path}", {"csrfmiddlewaretoken": token}).status_code in (403, 404)
    own.refresh_from_db()
    assert own.enabled and own.revoked_at is None and not ProbeJob.objects.exists()


def test_the_list_costs_the_same_for_three_and_for_thirty(django_assert_max_num_queries):
    caller = browser(cast.make_staff())
    for n in range(30):
        seen(f"p{n}").tags.add(Tag.named(["eu"])[0])
        if n in (2, 29):
            with django_assert_max_num_queries(16):
                assert caller.get("/probes/").status_code == 200


def test_a_probes_page_costs_the_same_for_three_monitors_and_for_thirty(django_assert_max_num_queries):
    caller, berlin = browser(cast.make_staff()), seen()
    for n in range(30):
        rows.monitor(name=f"m{n}", probes=[berlin])
        if n in (2, 29):
            with django_assert_max_num_queries(20):
                assert f"{n + 1}" in text(caller.get(f"/probes/{berlin.pk}/"))


# --- Adding and connecting ------------------------------------------------------------------------------------------------
def test_a_probe_is_added_and_its_token_shown_once(settings):
    settings.BASE_URL = "https://portal.example"
    caller = browser(cast.make_staff())
    page = caller.get(f"/probes/add/?client={cast.acme().pk}")
    data = form_of(page)
    assert data["anchors"].splitlines() == list(probes.USUAL_ANCHORS)
    answer = caller.post("/probes/add/", {**data, "name": "Acme HQ", "network": "AS3320", "tags": "office, eu"})
    probe = Probe.objects.get(slug="acme-hq")
    assert (probe.client, probe.network, probe.anchors) == (cast.acme(), "AS3320", list(probes.USUAL_ANCHORS))
    assert sorted(t.name for t in probe.tags.all()) == ["eu", "office"]
    token = re.search(r'id="token"[^>]*>(wkp_[^<]+)<', answer.content.decode())[1]
    assert f"enroll https://portal.example {token}" in answer.content.decode() and "no-store" in answer["Cache-Control"]
    assert "The token ends in 9:5" in text(answer) or "The token ends in 10:00" in text(answer)
    later = caller.get(f"/probes/{probe.pk}/enrol/")
    assert token not in later.content.decode() and "Waiting for the probe" in text(later)
    assert "systemctl enable --now watchkeeper-probe" in text(later)


def test_the_page_turns_to_connected_when_the_program_enrols_and_speaks():
    probe, caller = new_probe(), browser(cast.make_staff())
    answer = caller.post(
        f"/probes/{probe.pk}/enrol/", {"csrfmiddlewaretoken": csrf(caller, f"/probes/{probe.pk}/enrol/")}
    )
    token = re.search(r'id="token"[^>]*>(wkp_[^<]+)<', answer.content.decode())[1]

    def state() -> str:
        piece = caller.get(f"/probes/{probe.pk}/enrol/", headers={"HX-Request": "true", "HX-Target": "state"})
        assert b"<html" not in piece.content and token not in piece.content.decode()
        return piece.content.decode()

    assert "Waiting for the probe" in state() and "every 2s" in state()
    speaker = Speaker.enrolled(probe, speaking=False)
    assert "Enrolled, not running yet" in state()
    speaker.hello()
    assert "Connected" in state() and "every 2s" not in state()


def csrf(caller, path: str) -> str:
    """The page's token, as its form would send it."""
    return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', caller.get(path).content.decode())[1]


def test_a_token_that_ran_out_asks_for_a_new_one():
    probe = new_probe()
    assert "No token is open" in text(browser(cast.make_staff()).get(f"/probes/{probe.pk}/enrol/"))


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://portal.example", "A probe refuses this portal's address"), ("http://127.0.0.1:8000", "on this very machine only"), ("https://portal.example", None)],
)  # fmt: skip
def test_an_address_that_probes_refuse_is_named_before_anybody_tries(url, says):
    probe = new_probe()
    with override_settings(BASE_URL=url):
        page = text(browser(cast.make_staff()).get(f"/probes/{probe.pk}/enrol/")).replace("&#x27;", "'")
    both = ("A probe refuses this portal's address", "on this very machine only")
    assert [sentence for sentence in both if sentence in page] == ([says] if says else [])


@pytest.mark.parametrize(
    ("given", "field"), [({"name": ""}, "name"), ({"anchors": "no port"}, "anchors"), ({"tags": "x" * 51}, "tags"), ({"name": "Local"}, "name")]
)  # fmt: skip
def test_mistakes_stand_at_their_field_and_nothing_is_made(given, field):
    caller = browser(cast.make_staff())
    answer = caller.post("/probes/add/", {**form_of(caller.get("/probes/add/")), "name": "Berlin", **given})
    assert answer.status_code == 400 and answer.context["form"].errors[field]
    assert Probe.objects.count() == 1


def test_a_probe_is_edited_and_keeps_its_owner_and_slug():
    probe = seen("acme-hq", of=cast.acme(), anchors=["192.0.2.1:443"])
    caller = browser(cast.make_staff())
    data = form_of(caller.get(f"/probes/{probe.pk}/edit/"))
    assert "client" not in data
    caller.post(f"/probes/{probe.pk}/edit/", {**data, "name": "Acme Lisbon", "anchors": "https://example.com\n\n"})
    probe.refresh_from_db()
    assert (probe.name, probe.slug, probe.client, probe.anchors) == ("Acme Lisbon", "acme-hq", cast.acme(), ["https://example.com"])  # fmt: skip


# --- Its page ------------------------------------------------------------------------------------------------------------
def test_its_page_tells_the_story_of_its_blindness():
    probe, at = seen(anchors=["192.0.2.1:443"], health={"late_ms": 12, "checks_per_s": 3.5}), database_now()
    m = rows.monitor(probes=[probe])
    blindness.set_blind(probe, "3 of its 3 anchors are silent.", at)
    page = text(browser(cast.make_staff()).get(f"/probes/{probe.pk}/"))
    assert "Blind" in page and "3 of its 3 anchors are silent. Its results are kept and do not vote." in page
    assert m.name in page and "12 ms" in page and "3.5" in page and "192.0.2.1:443" in page and "box-berlin" in page
    assert "Probe Berlin cannot see" in page and "still" in page


def test_an_older_program_is_named_with_the_cure():
    probe = seen()
    Probe.objects.filter(pk=probe.pk).update(version="0.9")
    page = text(browser(cast.make_staff()).get(f"/probes/{probe.pk}/")).replace("&#x27;", "'")
    assert "Its program is version 0.9, this portal's is 1" in page and "make probe" in page


def test_it_looks_around_and_the_answer_shows():
    probe = new_probe(anchors=["192.0.2.1:443"])
    speaker, caller = Speaker.enrolled(probe), browser(cast.make_staff())
    caller.handler.enforce_csrf_checks = False
    caller.post(f"/probes/{probe.pk}/look/")
    job = speaker.work().json()["jobs"][0]
    again = caller.post(f"/probes/{probe.pk}/look/", follow=True)
    assert "looking around already" in text(again) and ProbeJob.objects.count() == 1
    said = {"host": "box", "load": [0.1], "anchors": {"192.0.2.1:443": False}}
    speaker.ask("POST", f"jobs/{job['id']}", json.dumps({"state": "done", "result": said}).encode())
    page = text(caller.get(f"/probes/{probe.pk}/"))
    assert "box, load 0.1" in page and "silent" in page


# --- Off, revoked, deleted --------------------------------------------------------------------------------------------------
def test_switching_off_asks_first_and_names_what_goes_blind():
    probe, caller = seen(), browser(cast.make_staff())
    rows.monitor(name="shop", probes=[probe])
    asked = text(caller.get(f"/probes/{probe.pk}/disable/"))
    assert "1 monitor is watched from Berlin" in asked and "shop would have too few places left" in asked
    caller.handler.enforce_csrf_checks = False
    blindness.set_blind(probe, "3 of its 3 anchors are silent.", database_now())
    caller.post(f"/probes/{probe.pk}/disable/")
    probe.refresh_from_db()
    assert not probe.enabled and probe.blind_since is None
    assert not Alert.objects.filter(source="probe", resolved_at=None).exists()
    assert ProbeState.objects.get(probe=probe).changed
    assert "Disabled" in text(caller.get(f"/probes/{probe.pk}/"))
    caller.post(f"/probes/{probe.pk}/enable/")
    assert Probe.objects.get(pk=probe.pk).enabled
    actions = set(AuditEntry.objects.filter(subject=f"probe:{probe.pk}").values_list("action", flat=True))
    assert "probe.changed" in actions


def test_revoking_asks_first_and_ends_its_key():
    probe = new_probe()
    speaker, caller = Speaker.enrolled(probe), browser(cast.make_staff())
    assert "Its key opens nothing from this moment on" in text(caller.get(f"/probes/{probe.pk}/revoke/"))
    assert speaker.work().status_code == 200
    caller.handler.enforce_csrf_checks = False
    caller.post(f"/probes/{probe.pk}/revoke/")
    assert speaker.work().status_code in (401, 403) and Probe.objects.get(pk=probe.pk).revoked_at


def test_a_probe_is_not_deleted_under_a_monitor_that_has_no_other():
    probe, caller = seen(), browser(cast.make_staff())
    m = rows.monitor(name="shop", probes=[probe])
    assert "Not possible yet: shop would have too few places left" in text(caller.get(f"/probes/{probe.pk}/delete/"))
    caller.handler.enforce_csrf_checks = False
    said = text(caller.post(f"/probes/{probe.pk}/delete/", follow=True))
    assert "Without it too few places would watch shop" in said and Probe.objects.filter(pk=probe.pk).exists()
    services.save(m, by=cast.TESTS, at=database_now(), probes=[probe, rows.probe()])
    caller.post(f"/probes/{probe.pk}/delete/")
    assert not Probe.objects.filter(pk=probe.pk).exists()
    view = ProbeState.objects.get(monitor=m)
    assert view.probe.slug == "local" and view.changed and not view.settled
    assert AuditEntry.objects.filter(action="probe.deleted").exists()


def test_a_deleted_probe_is_replaced_where_a_rule_finds_another():
    berlin, paris = seen("berlin"), seen("paris")
    for probe in (berlin, paris):
        probe.tags.set(Tag.named(["eu"]))
    m = services.save(
        Monitor(client=cast.acme(), name="shop", kind="http", config={"url": "https://shop.example"}),
        by=cast.TESTS, at=database_now(), rule={"tags": ["eu"], "any": 1},
    )  # fmt: skip
    first = m.views.get().probe
    probes.delete(first, by=cast.TESTS, at=database_now())
    assert m.views.get().probe == (paris if first == berlin else berlin)


def test_our_own_workers_are_not_deleted(ours):
    caller = browser(cast.make_staff())
    caller.handler.enforce_csrf_checks = False
    assert "disable it instead" in text(caller.post(f"/probes/{ours.pk}/delete/", follow=True))
    assert Probe.objects.filter(pk=ours.pk).exists()


# --- The overview --------------------------------------------------------------------------------------------------------
def test_the_overview_counts_the_well_and_names_the_others():
    rows.monitor()
    seen("berlin")
    gone = seen("hq-lan", ago=480, of=cast.acme())
    page = browser(cast.make_staff()).get("/")
    assert "2 regions ok · Hq-Lan Disconnected 8 min" in text(page).replace("disconnected", "Disconnected")
    assert f'href="/probes/{gone.pk}/"' in page.content.decode() and 'href="/probes/"' in page.content.decode()
    assert f'href="/probes/{gone.pk}/"' not in browser(cast.mallory()).get("/").content.decode()


def test_the_lines_to_paste_hold_the_units_own_text():
    said = "\n".join(line["text"] for line in probe_form.lines("wkp_x"))
    assert "AmbientCapabilities=CAP_NET_RAW" in said and "enroll" in said and said.count("wkp_x") == 2
