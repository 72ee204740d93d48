"""The pages: what each shows to whom, that its forms work without scripts, and that it costs the same with 3 rows and with 30."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, Channel, Delivery, Silence, Trigger
from incidents import services as incident_services
from incidents.models import Incident
from monitors.models import Monitor, Result
from portal.clock import database_now
from portal.models import Client, Worker
from tests import cast
from tests.console import scene
from tests.rig.receiver import Receiver
from tests.rig.site import Site

pytestmark = pytest.mark.django_db

LISTS = ("/", "/monitors/", "/alerts/", "/incidents/", "/deliveries/", "/channels/", "/triggers/", "/silences/", "/clients/")
FORMS = ("/monitors/add/", "/monitors/add/?kind=heartbeat", "/incidents/add/", "/silences/add/", "/channels/add/?type=webhook", "/triggers/add/")


def browser(user=None) -> Browser:
    """Somebody signed in; CSRF is checked as it is for real people."""
    found = Browser()
    if user:
        found.force_login(user)
    return found


def text(answer) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def own_pages(s) -> list[str]:
    """The pages of what is on the stage."""
    trigger = Trigger.objects.get(name=f"To {s.theirs.name} of {s.client}")
    return [
        f"/monitors/{s.down.pk}/", f"/monitors/{s.up.pk}/?window=7d", f"/monitors/{s.up.pk}/edit/", f"/monitors/{s.up.pk}/delete/", f"/alerts/{s.alert.pk}/",
        f"/incidents/{s.incident.pk}/", f"/channels/{s.theirs.pk}/", f"/channels/{s.theirs.pk}/delete/", f"/triggers/{trigger.pk}/", f"/triggers/{trigger.pk}/delete/", f"/clients/{s.client.pk}/",
    ]  # fmt: skip


# --- Who sees what ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("who", ["make_owner", "make_staff", "alice"])
def test_whoever_may_change_things_opens_every_page(who):
    s = scene.outage()
    caller = browser(getattr(cast, who)())
    for path in [*LISTS, *FORMS, "/search/?q=shop", *own_pages(s)]:
        answer = caller.get(path)
        assert answer.status_code == 200, path
        assert "style=" not in answer.content.decode(), f"{path} has an inline style, which the content policy refuses"


@pytest.mark.parametrize("who", ["make_auditor", "viewer"])
def test_whoever_may_only_read_reads_and_is_offered_no_button(who):
    s = scene.outage()
    caller = browser(getattr(cast, who)())
    for path in [*LISTS, f"/monitors/{s.down.pk}/", f"/alerts/{s.alert.pk}/", f"/incidents/{s.incident.pk}/", f"/clients/{s.client.pk}/"]:
        answer = caller.get(path)
        assert answer.status_code == 200, path
        forms = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', answer.content.decode())
        assert set(forms) <= {"/logout/"}, f"{path} offers {forms}"
    for path in (*FORMS, f"/monitors/{s.up.pk}/edit/", f"/channels/{s.theirs.pk}/"):
        assert caller.get(path).status_code == 403, path
    for path in (f"/alerts/{s.alert.pk}/acknowledge/", f"/monitors/{s.up.pk}/pause/", f"/incidents/{s.incident.pk}/resolve/"):
        assert caller.post(path).status_code == 403, path
    assert Alert.objects.get().status == "open"


def test_an_approver_acknowledges_but_changes_nothing_else():
    s = scene.outage()
    caller = browser(cast.approver())
    assert caller.post(f"/alerts/{s.alert.pk}/acknowledge/").status_code == 302
    assert Alert.objects.get().acknowledged_by == str(cast.approver())
    assert caller.post(f"/monitors/{s.up.pk}/pause/").status_code == 403


def test_another_clients_things_do_not_exist():
    s = scene.outage()
    silence = Silence.objects.create(client=s.client, reason="Acme secret work", starts_at=database_now(), ends_at=database_now() + timedelta(hours=1))
    delivery = Delivery.objects.filter(channel=s.theirs).first()
    caller = browser(cast.mallory())
    for path in own_pages(s):
        assert caller.get(path).status_code == 404, path
    for path in (
        f"/monitors/{s.up.pk}/check/", f"/monitors/{s.up.pk}/delete/", f"/alerts/{s.alert.pk}/resolve/", f"/incidents/{s.incident.pk}/acknowledge/", f"/deliveries/{delivery.pk}/retry/",
        f"/channels/{s.theirs.pk}/test/", f"/silences/{silence.pk}/cancel/",
    ):  # fmt: skip
        assert caller.post(path).status_code == 404, path
    for path in [*LISTS, "/search/?q=shop", f"/silences/add/?alert={s.alert.pk}", f"/monitors/add/?client={s.client.pk}", f"/alerts/?client={s.client.pk}"]:
        assert "Acme" not in text(caller.get(path)), path
    assert Monitor.objects.count() == 2


def test_a_client_does_not_read_what_went_to_our_own_staff():
    s = scene.outage()
    page = text(browser(cast.alice()).get(f"/alerts/{s.alert.pk}/"))
    assert s.theirs.name in page and "Why it did" not in page
    assert not re.search(r"\bOps\b", page)
    assert "Ops" in text(browser(cast.make_staff()).get(f"/alerts/{s.alert.pk}/"))


def test_without_a_session_there_is_only_the_sign_in_page():
    for path in (*LISTS, "/monitors/1/", "/search/"):
        answer = browser().get(path)
        assert answer.status_code == 302 and answer["Location"].startswith("/login/")


def test_somebody_without_a_membership_sees_nothing():
    scene.outage()
    caller = browser(cast.stranger())
    for path in LISTS:
        assert "shop" not in text(caller.get(path))


# --- The first run ---------------------------------------------------------------------------------------------------
def test_a_url_is_enough_to_have_a_watched_site():
    caller = browser(cast.make_owner())
    home = caller.get("/")
    assert "Paste a URL" in text(home)
    answer = caller.post("/monitors/add/", {"quick": "1", "url": "shop.example.com/health"}, follow=True)
    m = Monitor.objects.get()
    assert (m.name, m.kind, m.config, m.client.name, m.trusted) == ("shop.example.com", "http", {"url": "https://shop.example.com/health"}, "My sites", True)
    assert answer.redirect_chain == [(f"/monitors/{m.pk}/", 302)] and "is watched from now on" in text(answer)
    assert m.views.count() == 1


def test_a_bad_url_is_refused_at_its_field_and_leaves_no_client_behind():
    caller = browser(cast.make_owner())
    answer = caller.post("/monitors/add/", {"quick": "1", "url": "https://user:pw@"})
    assert answer.status_code == 400 and 'id="id_config_url_error"' in answer.content.decode()
    assert not Client.objects.exists() and not Monitor.objects.exists()


def test_the_first_run_says_whether_anybody_can_be_told(settings):
    from alerts.defaults import ensure_owner

    owner = cast.make_owner()
    ensure_owner(owner)
    settings.SMTP = {**settings.SMTP, "host": ""}
    assert "no mail server is set" in text(browser(owner).get("/"))
    settings.SMTP = {**settings.SMTP, "host": "mail.example"}
    assert f"{owner.email} is mailed" in text(browser(owner).get("/")).replace(" ,", ",")


def test_the_overview_says_when_nobody_checks():
    scene.outage()
    caller, at = browser(cast.make_staff()), database_now()
    assert "Nothing is being checked" in text(caller.get("/"))
    Worker.objects.create(id="w", role="page,probe", host="h", pid=1, started_at=at, seen_at=at)
    assert "Nothing is being checked" not in text(caller.get("/"))


# --- Monitors --------------------------------------------------------------------------------------------------------
def form_of(answer) -> dict[str, object]:
    """What a browser would send back of a page's bound form, untouched."""
    form, data = answer.context["form"], {}
    for field in form:
        value = field.value()
        if value is None or value is False or value == "" or getattr(field.field.widget, "input_type", "") == "password":
            continue
        data[field.html_name] = "on" if value is True else [str(getattr(v, "pk", v)) for v in value] if isinstance(value, list | tuple) else str(getattr(value, "pk", value))
    return data


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("http", {"config_url": "https://a.example/"}),
        ("tcp", {"config_host": "db.example", "config_port": "5432"}),
        ("icmp", {"config_host": "gw.acme.example"}),
        ("dns", {"config_name": "a.example", "config_record_type": "MX", "config_expected": "10 mx.a.example\n20 mx2.a.example"}),
        ("tls", {"config_host": "a.example"}),
        ("domain", {"config_name": "a.example"}),
        ("smtp", {"config_host": "mail.example"}),
        ("heartbeat", {"config_schedule": "30 2 * * *", "config_timezone": "Europe/Lisbon"}),
        ("push", {"config_ttl_seconds": "600"}),
    ],
)
def test_every_kind_can_be_added_with_its_own_settings(kind, settings):
    of = cast.acme()
    caller = browser(cast.alice())
    data = {**form_of(caller.get(f"/monitors/add/?kind={kind}")), "kind": kind, "client": of.pk, "name": "It", **settings}
    answer = caller.post("/monitors/add/", data)
    assert answer.status_code == 302, answer.context["form"].errors
    m = Monitor.objects.get()
    assert (m.kind, m.client, m.trusted) == (kind, of, False)
    assert caller.get(f"/monitors/{m.pk}/").status_code == 200
    again = caller.post(f"/monitors/{m.pk}/edit/", {**form_of(caller.get(f"/monitors/{m.pk}/edit/")), "kind": kind})
    assert again.status_code == 302, again.context["form"].errors
    before = m.config
    m.refresh_from_db()
    assert m.config == before, "saving an untouched form changes nothing"


def test_a_group_is_chosen_from_monitors_that_one_may_see():
    mine, other = scene.monitor(cast.acme(), "mine"), scene.monitor(cast.globex(), "other")
    caller = browser(cast.alice())
    page = text(caller.get("/monitors/add/?kind=group"))
    assert "mine" in page and "other" not in page
    data = {**form_of(caller.get("/monitors/add/?kind=group")), "kind": "group", "client": cast.acme().pk, "name": "All"}
    assert caller.post("/monitors/add/", {**data, "config_monitor_ids": [other.pk]}).status_code == 400
    assert caller.post("/monitors/add/", {**data, "config_monitor_ids": [mine.pk]}).status_code == 302
    assert Monitor.objects.get(name="All").config == {"monitor_ids": [mine.pk]}


def test_what_is_wrong_is_said_at_its_field():
    caller = browser(cast.make_staff())
    of = cast.acme()
    data = {**form_of(caller.get("/monitors/add/")), "kind": "http", "client": of.pk, "config_url": "https://a.example/"}
    for changed, field in (
        ({"config_url": "ftp://a.example"}, "config_url"),
        ({"config_accepted_statuses": "200-"}, "config_accepted_statuses"),
        ({"config_headers": "no colon"}, "config_headers"),
        ({"timeout_seconds": "90"}, "timeout_seconds"),
        ({"interval_seconds": "2"}, "interval_seconds"),
    ):
        answer = caller.post("/monitors/add/", {**data, **changed})
        assert answer.status_code == 400 and field in answer.context["form"].errors, (changed, answer.context["form"].errors)
    assert not Monitor.objects.exists()


def test_secrets_are_never_shown_and_stay_when_left_alone():
    caller = browser(cast.make_staff())
    of = cast.acme()
    data = {**form_of(caller.get("/monitors/add/")), "kind": "http", "client": of.pk, "config_url": "https://a.example/", "config_auth": "basic", "config_user": "ana"}
    caller.post("/monitors/add/", {**data, "config_password": "hunter2-hunter2", "config_headers": "X-Api-Key: topsecret"})
    m = Monitor.objects.get()
    page = caller.get(f"/monitors/{m.pk}/edit/")
    assert "hunter2" not in page.content.decode() and "topsecret" not in page.content.decode()
    caller.post(f"/monitors/{m.pk}/edit/", {**form_of(page), "kind": "http", "name": "renamed"})
    m.refresh_from_db()
    everything = {**m.config, **m.secrets.open()}
    assert (m.name, everything["password"], everything["headers"]) == ("renamed", "hunter2-hunter2", {"X-Api-Key": "topsecret"})


def test_a_clients_people_cannot_borrow_a_staff_made_monitors_private_reach():
    m = scene.monitor(cast.acme(), "lan", config={"url": "http://lan.acme.example/"})
    caller = browser(cast.alice())
    data = {**form_of(caller.get(f"/monitors/{m.pk}/edit/")), "kind": "http"}
    caller.post(f"/monitors/{m.pk}/edit/", {**data, "name": "lan box"})
    m.refresh_from_db()
    assert m.trusted and m.name == "lan box"
    caller.post(f"/monitors/{m.pk}/edit/", {**data, "config_url": "http://other.acme.example/"})
    m.refresh_from_db()
    assert not m.trusted
    assert caller.post(f"/monitors/{m.pk}/edit/", {**data, "config_url": "http://10.1.2.3/"}).status_code == 400


def test_a_monitor_can_be_tried_before_it_is_saved(site: Site):
    caller = browser(cast.make_staff())
    of = cast.acme()
    data = {**form_of(caller.get("/monitors/add/")), "kind": "http", "client": of.pk, "config_url": site.url(), "test": "1"}
    page = caller.post("/monitors/add/", data)
    assert page.status_code == 200 and "Nothing was saved" in text(page) and "Up" in text(page)
    fragment = caller.post("/monitors/add/", data, headers={"HX-Request": "true", "HX-Target": "trial"})
    assert fragment.content.decode().strip().startswith('<div id="trial"')
    refused = caller.post("/monitors/add/", {**data, "config_url": "http://169.254.169.254/latest"})
    assert refused.status_code == 400 and "config_url" in refused.context["form"].errors
    assert not Monitor.objects.exists() and not Result.objects.exists()


def test_the_buttons_of_a_monitor():
    s = scene.outage()
    caller = browser(cast.alice())
    assert "paused" in text(caller.post(f"/monitors/{s.up.pk}/pause/", follow=True)).lower()
    assert "paused already" in text(caller.post(f"/monitors/{s.up.pk}/pause/", follow=True))
    assert "resume it first" in text(caller.post(f"/monitors/{s.up.pk}/check/", follow=True))
    assert "checked at once" in text(caller.post(f"/monitors/{s.up.pk}/resume/", follow=True))
    assert "A check was asked for" in text(caller.post(f"/monitors/{s.up.pk}/check/", follow=True))
    assert caller.get(f"/monitors/{s.up.pk}/pause/").status_code == 405
    assert caller.post(f"/monitors/{s.up.pk}/explode/").status_code == 404
    assert "results, uptime and pings are deleted" in text(caller.get(f"/monitors/{s.up.pk}/delete/"))
    caller.post(f"/monitors/{s.up.pk}/delete/")
    assert not Monitor.objects.filter(pk=s.up.pk).exists()


def test_a_heartbeats_page_has_its_lines_ready():
    m = scene.monitor(kind="heartbeat", name="backup", config={"period_seconds": 3600})
    page = text(browser(cast.alice()).get(f"/monitors/{m.pk}/"))
    for line in ("curl -fsS", "wget -q", "urllib.request", "Invoke-RestMethod", "ExecStopPost", f"/ping/{m.uuid}"):
        assert line in page


def test_lists_filter_by_their_address():
    s = scene.outage()
    other = scene.monitor(cast.globex(), "intranet", kind="tcp", config={"host": "in.globex.example", "port": 80})
    caller = browser(cast.make_staff())

    def names(query: str) -> set[str]:
        return {row["monitor"].name for row in caller.get(f"/monitors/?{query}").context["rows"]}

    assert names("") == {"shop", "api", "intranet"}
    assert names("state=down") == {"api"} and names("state=unwell") == {"api"}
    assert names(f"client={other.client_id}") == {"intranet"} and names("kind=tcp") == {"intranet"}
    assert names("tag=PROD") == {"shop", "api", "intranet"} and names("q=in.globex") == {"intranet"}
    assert names("client=x") == names("client=99999999999999999999") == set()
    assert caller.get("/alerts/?status=active").context["rows"][0]["alert"].pk == s.alert.pk
    assert not caller.get("/alerts/?severity=info").context["rows"]
    assert not caller.get("/deliveries/?state=held").context["rows"]


# --- Alerts and incidents --------------------------------------------------------------------------------------------
def test_the_alert_page_tells_the_whole_story():
    s = scene.outage()
    page = text(browser(cast.make_staff()).get(f"/alerts/{s.alert.pk}/"))
    for words in ("api is down", "The connection was refused", "nobody has it yet", "Ops", "Failed", "HTTP 503", "Acme ops", "Delivered", "Why it did, or did not, go out"):
        assert words in page, words


def test_acknowledge_snooze_and_resolve_without_scripts():
    s = scene.outage()
    caller, path = browser(cast.alice()), f"/alerts/{s.alert.pk}"
    assert 'id="acknowledge"' in caller.get(f"{path}/").content.decode()
    assert "You have it" in text(caller.post(f"{path}/acknowledge/", follow=True))
    assert Incident.objects.get().responder_status == "acknowledged"
    assert "Choose how long" in text(caller.post(f"{path}/snooze/", follow=True))
    assert "Snoozed for 30 minutes" in text(caller.post(f"{path}/snooze/", {"minutes": "30"}, follow=True))
    assert "Resolved." in text(caller.post(f"{path}/resolve/", follow=True))
    assert "resolved already" in text(caller.post(f"{path}/resolve/", follow=True))


def test_a_press_goes_back_only_to_our_own_pages():
    s = scene.outage()
    caller = browser(cast.alice())
    for wish, where in (("/", "/"), ("/alerts/?status=open", "/alerts/?status=open"), ("https://evil.example/", f"/alerts/{s.alert.pk}/"), ("//evil.example", f"/alerts/{s.alert.pk}/")):
        assert caller.post(f"/alerts/{s.alert.pk}/acknowledge/", {"next": wish})["Location"] == where


def test_every_form_asks_for_its_csrf_token():
    s = scene.outage()
    caller = Browser(enforce_csrf_checks=True)
    caller.force_login(cast.alice())
    assert caller.post(f"/alerts/{s.alert.pk}/acknowledge/").status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', caller.get(f"/alerts/{s.alert.pk}/").content.decode())[1]
    assert caller.post(f"/alerts/{s.alert.pk}/acknowledge/", {"csrfmiddlewaretoken": token}).status_code == 302


def test_an_incident_is_updated_resolved_and_reopened():
    s = scene.outage()
    caller, path = browser(cast.alice()), f"/incidents/{s.incident.pk}"
    assert caller.post(f"{path}/", {"status": "identified", "message": ""}).status_code == 400
    page = text(caller.post(f"{path}/", {"status": "identified", "message": "A broken switch."}, follow=True))
    assert "A broken switch." in page and "Identified" in page
    assert caller.post(f"{path}/", {"status": "investigating", "message": "Back."}).status_code == 400
    assert "Told Acme ops" in page, "the pages sent are part of the timeline"
    assert "A broken switch." not in text(caller.get(f"{path}/?show=pages"))
    caller.post(f"{path}/acknowledge/")
    assert "Resolved, for the public" in text(caller.post(f"{path}/resolve/", follow=True))
    assert "Open again" in text(caller.post(f"{path}/reopen/", follow=True))


def test_a_person_opens_an_incident():
    s = scene.outage()
    caller = browser(cast.alice())
    other = scene.monitor(cast.globex(), "other")
    data = {"title": "Nobody can pay", "severity": "major", "client": s.client.pk, "message": "We look into it.", "notify": "on"}
    assert caller.post("/incidents/add/", {**data, "affected_monitor_ids": [other.pk]}).status_code == 400
    answer = caller.post("/incidents/add/", {**data, "affected_monitor_ids": [s.up.pk]}, follow=True)
    assert "Nobody can pay" in text(answer)
    assert Alert.objects.filter(source="incident", client=s.client).count() == 1


# --- Deliveries, channels, triggers, silences, clients -----------------------------------------------------------------
def test_a_failed_delivery_is_tried_again():
    s = scene.outage()
    failed = Delivery.objects.get(alert=s.alert, channel=s.ours)
    assert browser(cast.alice()).post(f"/deliveries/{failed.pk}/retry/").status_code == 404
    caller = browser(cast.make_staff())
    assert "tried again now" in text(caller.post(f"/deliveries/{failed.pk}/retry/", follow=True))
    assert "Only failed deliveries" in text(caller.post(f"/deliveries/{failed.pk}/retry/", follow=True))


def test_a_channel_is_added_tested_and_keeps_its_secret(receiver: Receiver):
    of = cast.acme()
    caller = browser(cast.alice())
    data = {"type": "webhook", "client": of.pk, "name": "Hook", "enabled": "on", "config_url": receiver.url(), "config_authorization": "Bearer topsecret"}
    assert caller.post("/channels/add/", {**data, "config_url": "nonsense"}).status_code == 400
    assert "stays silent until a trigger" in text(caller.post("/channels/add/", data, follow=True))
    row = Channel.objects.get(name="Hook")
    assert "was delivered" in text(caller.post(f"/channels/{row.pk}/test/", follow=True)) and len(receiver.calls) == 1
    page = caller.get(f"/channels/{row.pk}/")
    assert "topsecret" not in page.content.decode()
    assert caller.post(f"/channels/{row.pk}/", {**form_of(page), "name": "Hook 2"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.secrets.open()["authorization"]) == ("Hook 2", "Bearer topsecret")
    assert caller.post("/channels/add/", {**data, "client": ""}).status_code == 400, "a client's people make their client's channels only"


def test_a_trigger_is_added_and_says_what_it_would_have_told():
    s = scene.outage()
    caller = browser(cast.make_staff())
    data = {"name": "Critical ones", "filter_severities": ["critical"], "channels": [s.ours.pk], "timezone": "UTC", "enabled": "on", "notify_on_resolve": "on"}
    assert "filter_scopes" in caller.post("/triggers/add/", {**data, "filter_scopes": "nonsense"}).context["form"].errors
    assert caller.post("/triggers/add/", data).status_code == 302
    row = next(r for r in caller.get("/triggers/").context["rows"] if r["trigger"].name == "Critical ones")
    assert row["matched"] == 1 and row["which"] == ["severity critical"]
    page = caller.get(f"/triggers/{row['trigger'].pk}/")
    caller.post(f"/triggers/{row['trigger'].pk}/", {**form_of(page), "weekdays": ["0", "4"]})
    saved = Trigger.objects.get(name="Critical ones")
    assert (saved.weekdays, saved.filter_severities, list(saved.channels.all())) == ("0,4", "critical", [s.ours])


def test_a_silence_shows_what_it_hides_before_it_hides_it():
    s = scene.outage()
    caller = browser(cast.alice())
    form = caller.get(f"/silences/add/?alert={s.alert.pk}")
    assert "About Acme · api" in text(form)
    data = {**form_of(form), "reason": "Works on the switch"}
    assert "api is down" in text(caller.post("/silences/add/", {**data, "preview": "1"})) and not Silence.objects.exists()
    assert "Quiet until" in text(caller.post("/silences/add/", data, follow=True))
    row = Silence.objects.get()
    assert row.client == s.client and row.matchers["entity_id"] == str(s.down.pk)
    assert caller.post("/silences/add/", {**data, "duration": "at"}).status_code == 400
    assert caller.post("/silences/add/", {**data, "client": ""}).status_code == 400, "a client's people silence their own alerts only"
    assert "Cancelled." in text(caller.post(f"/silences/{row.pk}/cancel/", follow=True))


def test_only_staff_adds_clients():
    assert browser(cast.alice()).get("/clients/add/").status_code == 404
    caller = browser(cast.make_staff())
    assert "is a client now" in text(caller.post("/clients/add/", {"name": "Initech", "timezone": "Europe/Lisbon", "tags": "gold"}, follow=True))
    assert "timezone" in caller.post("/clients/add/", {"name": "Hooli", "timezone": "Nowhere/City"}).context["form"].errors


def test_search_finds_within_what_one_may_see():
    s = scene.outage()
    caller = browser(cast.alice())
    assert "shop" in text(caller.get("/search/?q=sho"))
    assert caller.get(f"/search/?q=alert {s.alert.pk}")["Location"] == f"/alerts/{s.alert.pk}/"
    assert "Nothing found" in text(browser(cast.mallory()).get("/search/?q=shop"))


# --- Fragments and costs ---------------------------------------------------------------------------------------------
def test_a_refresh_brings_only_the_part_that_changes():
    s = scene.outage()
    caller = browser(cast.make_staff())
    for path, target in (
        ("/", "live"), (f"/monitors/{s.down.pk}/", "live"), (f"/monitors/{s.down.pk}/", "charts"), (f"/monitors/{s.down.pk}/", "story"), (f"/alerts/{s.alert.pk}/", "live"),
        (f"/incidents/{s.incident.pk}/", "live"), ("/alerts/", "live"), ("/monitors/", "live"), ("/incidents/", "live"), ("/deliveries/", "live"),
    ):  # fmt: skip
        answer = caller.get(path, headers={"HX-Request": "true", "HX-Target": target})
        body = answer.content.decode()
        assert "<html" not in body and f'id="{target}"' in body[:200], path
        assert "HX-Request" in answer["Vary"] and "no-store" in answer["Cache-Control"]


def queries(caller: Browser, path: str) -> int:
    """How many questions a page asks of the database, with warm caches."""
    caller.get(path)
    with CaptureQueriesContext(connection, ) as seen:
        assert caller.get(path).status_code == 200
    return len(seen)


def stage(count: int) -> None:
    """`count` more of everything a list shows."""
    at, have = database_now(), Monitor.objects.count()
    for n in range(have, have + count):
        of = cast.client(f"Client {n}")
        where = scene.channel(of, f"Channel {n}")
        m = scene.monitor(of, f"monitor {n}", config={"url": f"https://m{n}.example/"})
        scene.results(m, at, 3)
        alert = scene.fail(m, at)
        assert alert.deliveries.filter(channel=where).exists()
        incident_services.acknowledge(Incident.objects.get(pk=alert.incident_id), by=cast.TESTS, at=at)
        Silence.objects.create(client=of, reason="Quiet", starts_at=at, ends_at=at + timedelta(hours=1), matchers={"client": of.pk, "tag": "no such tag"})


def test_lists_cost_the_same_with_three_rows_and_with_thirty():
    caller = browser(cast.make_staff())
    paths = [*LISTS, "/search/?q=monitor", "/monitors/add/", "/incidents/add/", "/triggers/add/"]
    cache.clear()
    stage(3)
    few = {path: queries(caller, path) for path in paths}
    stage(27)
    many = {path: queries(caller, path) for path in paths}
    assert many == few
    assert max(many.values()) <= 30, many


def test_one_monitors_page_costs_the_same_however_much_it_has_seen():
    caller, at = browser(cast.make_staff()), database_now()
    m = scene.monitor()
    scene.results(m, at, 3)
    scene.fail(m, at)
    few = queries(caller, f"/monitors/{m.pk}/")
    Result.objects.filter(monitor_id=m.pk).delete()
    scene.results(m, at, 300)
    for n in range(21):
        scene.state(m, "up" if n % 2 else "down", at - timedelta(minutes=n), "It changed")
    assert queries(caller, f"/monitors/{m.pk}/") == few
