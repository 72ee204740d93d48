"""From the first run to a monitor's page: forms that work without scripts, errors at their field, secrets that stay hidden."""

from __future__ import annotations

import pytest

from monitors.models import Monitor, Result
from portal.clock import database_now
from portal.models import Client, Worker
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, form_of, text
from tests.rig.site import Site

pytestmark = pytest.mark.django_db


# --- The first run ---------------------------------------------------------------------------------------------------
def test_a_url_is_enough_to_have_a_watched_site():
    caller = browser(cast.make_owner())
    home = caller.get("/")
    assert "Paste a URL" in text(home)
    answer = caller.post("/monitors/add/", {"quick": "1", "url": "shop.example.com/health"}, follow=True)
    m = Monitor.objects.get()
    assert (m.name, m.kind, m.config, m.client.name, m.trusted) == (
        "shop.example.com",
        "http",
        {"url": "https://shop.example.com/health"},
        "My sites",
        True,
    )
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
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("http", {"config_url": "https://a.example/"}),
        ("tcp", {"config_host": "db.example", "config_port": "5432"}),
        ("icmp", {"config_host": "gw.acme.example"}),
        (
            "dns",
            {
                "config_name": "a.example",
                "config_record_type": "MX",
                "config_expected": "10 mx.a.example\n20 mx2.a.example",
            },
        ),
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
    data = {
        **form_of(caller.get(f"/monitors/add/?kind={kind}")),
        "kind": kind,
        "client": of.pk,
        "name": "It",
        **settings,
    }
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
    data = {
        **form_of(caller.get("/monitors/add/?kind=group")),
        "kind": "group",
        "client": cast.acme().pk,
        "name": "All",
    }
    assert caller.post("/monitors/add/", {**data, "config_monitor_ids": [other.pk]}).status_code == 400
    assert caller.post("/monitors/add/", {**data, "config_monitor_ids": [mine.pk]}).status_code == 302
    assert Monitor.objects.get(name="All").config == {"monitor_ids": [mine.pk]}


def test_what_is_wrong_is_said_at_its_field():
    caller = browser(cast.make_staff())
    of = cast.acme()
    data = {
        **form_of(caller.get("/monitors/add/")),
        "kind": "http",
        "client": of.pk,
        "config_url": "https://a.example/",
    }
    for changed, field in (
        ({"config_url": "ftp://a.example"}, "config_url"),
        ({"config_accepted_statuses": "200-"}, "config_accepted_statuses"),
        ({"config_headers": "no colon"}, "config_headers"),
        ({"timeout_seconds": "90"}, "timeout_seconds"),
        ({"interval_seconds": "2"}, "interval_seconds"),
    ):
        answer = caller.post("/monitors/add/", {**data, **changed})
        assert answer.status_code == 400 and field in answer.context["form"].errors, (
            changed,
            answer.context["form"].errors,
        )
    assert not Monitor.objects.exists()


def test_secrets_are_never_shown_and_stay_when_left_alone():
    caller = browser(cast.make_staff())
    of = cast.acme()
    data = {
        **form_of(caller.get("/monitors/add/")),
        "kind": "http",
        "client": of.pk,
        "config_url": "https://a.example/",
        "config_auth": "basic",
        "config_user": "ana",
    }
    caller.post(
        "/monitors/add/", {**data, "config_password": "hunter2-hunter2", "config_headers": "X-Api-Key: topsecret"}
    )
    m = Monitor.objects.get()
    page = caller.get(f"/monitors/{m.pk}/edit/")
    assert "hunter2" not in page.content.decode() and "topsecret" not in page.content.decode()
    caller.post(f"/monitors/{m.pk}/edit/", {**form_of(page), "kind": "http", "name": "renamed"})
    m.refresh_from_db()
    everything = {**m.config, **m.secrets.open()}
    assert (m.name, everything["password"], everything["headers"]) == (
        "renamed",
        "hunter2-hunter2",
        {"X-Api-Key": "topsecret"},
    )


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
    data = {
        **form_of(caller.get("/monitors/add/")),
        "kind": "http",
        "client": of.pk,
        "config_url": site.url(),
        "test": "1",
    }
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
    assert caller.get(f"/monitors/{s.up.pk}/pause/")["Location"] == f"/monitors/{s.up.pk}/", "looking does nothing"
    assert caller.post(f"/monitors/{s.up.pk}/explode/").status_code == 404
    assert "waits in the trash for 30 days" in text(caller.get(f"/monitors/{s.up.pk}/delete/"))
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
