"""Many monitors at once: pasted and looked at before anything is stored, chosen on the list, copied, made with a new site."""

from __future__ import annotations

import re

import pytest

from monitors import checks, services, templates
from monitors.models import Monitor, MonitorTemplate
from portal.clock import database_now
from portal.models import AuditEntry, Site
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, form_of, text

pytestmark = pytest.mark.django_db


def several(caller, lines: str, **more):
    return caller.post("/monitors/several/", {"client": cast.acme().pk, "lines": lines, **more})


def names(of=None) -> list[str]:
    rows = Monitor.objects.filter(client=of) if of else Monitor.objects.all()
    return sorted(rows.values_list("name", flat=True))


def act(caller, action: str, *monitors, **more):
    return caller.post("/monitors/act/", {"action": action, "ids": [m.pk for m in monitors], **more}, follow=True)


# --- Add several: addresses ----------------------------------------------------------------------------------------------
def test_addresses_are_shown_first_and_stored_when_confirmed():
    cast.acme()
    caller = browser(cast.make_staff())
    lines = "https://shop.example/health\nwww.example.com\ndb.example.com:5432\n10.0.0.1\n# not this\n"
    seen = several(caller, lines)
    assert seen.status_code == 200 and not Monitor.objects.exists(), "nothing is stored before it was looked at"
    assert "4 monitors" in text(seen) and "Create all 4 for Acme" in text(seen)
    answer = several(caller, lines, create="1")
    assert answer.status_code == 302
    made = {m.name: (m.kind, m.config) for m in Monitor.objects.all()}
    assert made == {
        "shop.example": ("http", {"url": "https://shop.example/health"}),
        "www.example.com": ("http", {"url": "https://www.example.com"}),
        "db.example.com:5432": ("tcp", {"host": "db.example.com", "port": 5432}),
        "10.0.0.1": ("icmp", {"host": "10.0.0.1"}),
    }
    assert all(m.views.exists() and m.trusted for m in Monitor.objects.all())
    assert AuditEntry.objects.filter(action="monitor.create").count() == 4


def test_the_preview_sends_back_exactly_what_was_pasted():
    cast.acme()
    caller = browser(cast.make_staff())
    lines = '\nname,url\n"Shop, <b>&amp;</b>",https://shop.example/\n'
    page = several(caller, lines).content.decode()
    kept = re.search(r"<textarea name=\"lines\" hidden>\n(.*?)</textarea>", page, re.DOTALL)
    assert kept is not None and "<b>" not in kept[1]
    assert several(caller, lines, create="1").status_code == 302 and names() == ["Shop, <b>&amp;</b>"]


def test_one_bad_line_and_nothing_is_stored():
    cast.acme()
    caller = browser(cast.make_staff())
    lines = "https://a.example/\nftp://b.example/\nhttps://c.example/ and more\ndb.example:99999"
    answer = several(caller, lines, create="1")
    page = text(answer)
    assert answer.status_code == 400 and not Monitor.objects.exists()
    assert "Line 2: url:" in page and "Line 3: One address a line" in page and "Line 4: config.port:" in page
    assert "Line 1:" not in page and "Create" not in page


def test_a_clients_person_is_told_at_the_line_that_private_addresses_are_out_of_reach():
    cast.acme()
    answer = several(browser(cast.alice()), "https://a.example/\nhttp://10.0.0.1/", create="1")
    assert answer.status_code == 400 and "Line 2: url:" in text(answer) and not Monitor.objects.exists()


# --- Add several: CSV ----------------------------------------------------------------------------------------------------
CSV = """name,url,kind,interval,timeout,tags,site,severity,config.keyword,config.expected
Shop,https://shop.example/,http,5m,8,prod;web,Shop,warning,Welcome,
Mail,mail.example,smtp,60,,,,,,
Names,example.com,dns,,,,,,,192.0.2.1;192.0.2.2
Nightly,3600,heartbeat,,,,,,,
"""


def test_a_table_says_kind_interval_tags_place_and_settings():
    site = cast.site()
    answer = several(browser(cast.make_staff()), CSV, create="1")
    assert answer.status_code == 302, text(answer)
    shop = Monitor.objects.get(name="Shop")
    assert (shop.interval_seconds, shop.timeout_seconds, shop.severity, shop.site) == (300, 8, "warning", site)
    assert shop.config == {"url": "https://shop.example/", "keyword": "Welcome"}
    assert sorted(shop.tags.values_list("name", flat=True)) == ["prod", "web"]
    assert Monitor.objects.get(name="Names").config == {"name": "example.com", "expected": ["192.0.2.1", "192.0.2.2"]}
    assert Monitor.objects.get(name="Nightly").config == {"period_seconds": 3600}
    assert Monitor.objects.get(name="Names").interval_seconds == 300, "the kind's own default"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("A,https://a.example/,carrier pigeon,,", "Line 2: kind:"),
        ("A,https://a.example/,http,often,", "Line 2: interval: Write seconds, or as 30s"),
        ("A,https://a.example/,http,1,", "Line 2: interval: from 5"),
        ("A,https://a.example/,http,60,Nowhere", "Line 2: site: Acme has no site"),
        ("A,,,60,", "Line 2: url: Give an address"),
        ("A,https://a.example/,http,60,,,", "Line 2: 7 cells, but the header names 5"),
    ],
)
def test_a_bad_row_is_named_with_its_cure(row, sentence):
    cast.acme()
    answer = several(browser(cast.make_staff()), f"name,url,kind,interval,site\n{row}\n", create="1")
    assert answer.status_code == 400 and sentence in text(answer) and not Monitor.objects.exists()


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("http://[", "Line 1: url:"),
        ("a.example:99999999999", "Line 1: config.port:"),
        ("a.example:²", "Line 1: url:"),
        ("url,url\nhttps://a.example/,https://b.example/", "Line 1: The column 'url' is there twice"),
        ('name,url\n"open,https://a.example/', "Line 2: url: Give an address"),
        ("name,url,kind\nAll,1;x,group", "Line 2: url:"),
        ("# nothing", "There is no address in it"),
    ],
)
def test_odd_pastes_get_a_sentence(lines, sentence):
    cast.acme()
    answer = several(browser(cast.make_staff()), lines, create="1")
    shown = text(answer).replace("&#x27;", "'")
    assert answer.status_code == 400 and sentence in shown and not Monitor.objects.exists(), shown


def test_an_unknown_column_is_refused_and_a_secret_never_shown_back_in_the_table():
    cast.acme()
    caller = browser(cast.make_staff())
    assert "There is no column" in text(several(caller, "name,url,colour\nA,https://a.example/,red\n"))
    answer = several(caller, "name,url,config.password\nA,https://a.example/,s3cret\n")
    assert "A secret is not taken from a list" in text(answer) and answer.status_code == 400


def test_a_quoted_cell_over_two_lines_does_not_shift_the_numbers():
    cast.acme()
    table = 'name,url,notes\nA,https://a.example/,"two\nlines"\nB,nonsense://x,\n'
    assert "Line 4: url:" in text(several(browser(cast.make_staff()), table))


def test_more_than_two_hundred_are_refused_as_a_whole():
    cast.acme()
    answer = several(browser(cast.make_staff()), "\n".join(f"https://m{n}.example/" for n in range(201)), create="1")
    assert answer.status_code == 400 and "At most 200" in text(answer) and not Monitor.objects.exists()


def test_a_line_that_fails_at_the_last_moment_takes_the_others_with_it(monkeypatch):
    from django.core.exceptions import ValidationError

    from monitors import bulk

    cast.acme()
    save = services.save

    def late(m, **more):
        if m.name == "b.example":
            raise ValidationError({"config.url": "Somebody was quicker."})
        return save(m, **more)

    monkeypatch.setattr(bulk.services, "save", late)
    answer = several(browser(cast.make_staff()), "https://a.example/\nhttps://b.example/", create="1")
    assert answer.status_code == 400 and "Line 2: url: Somebody was quicker." in text(answer)
    assert not Monitor.objects.exists() and not AuditEntry.objects.filter(action="monitor.create").exists()


def test_two_jobs_of_one_name_each_get_an_address_of_their_own():
    cast.acme()
    table = "name,url,kind\nNightly,600,heartbeat\nNightly,600,heartbeat\n"
    assert several(browser(cast.make_staff()), table, create="1").status_code == 302
    assert sorted(Monitor.objects.values_list("slug", flat=True)) == ["nightly", "nightly-2"]


def test_what_is_watched_already_is_said_but_not_forbidden():
    scene.monitor(name="shop", config={"url": "https://a.example/"})
    page = text(several(browser(cast.make_staff()), "https://a.example/"))
    assert "Acme watches this already (shop)" in page and "Create the monitor" in page


def test_nobody_pastes_into_another_clients_account():
    caller = browser(cast.mallory())
    assert several(caller, "https://a.example/", create="1").status_code == 400
    assert browser(cast.viewer()).get("/monitors/several/").status_code == 403 and not Monitor.objects.exists()


# --- A copy --------------------------------------------------------------------------------------------------------------
def test_a_copy_is_prefilled_and_asks_for_secrets_again():
    m = scene.monitor(config={"url": "https://a.example/", "auth": "basic", "user": "bob", "password": "s3cret"})
    Monitor.objects.filter(pk=m.pk).update(severity="warning", flapping_changes=9)
    caller = browser(cast.make_staff())
    assert f'href="/monitors/{m.pk}/clone/"' in caller.get(f"/monitors/{m.pk}/").content.decode()
    page = caller.get(f"/monitors/{m.pk}/clone/")
    assert "s3cret" not in page.content.decode() and "Not copied" in text(page)
    data = {**form_of(page), "kind": "http"}
    assert data["name"] == "shop (copy)" and data["config_url"] == "https://a.example/" and data["tags"] == "prod"
    answer = caller.post(f"/monitors/{m.pk}/clone/", {**data, "config_password": "other"})
    assert answer.status_code == 302
    copy = Monitor.objects.get(name="shop (copy)")
    assert (copy.secrets.open(), copy.severity, copy.flapping_changes) == ({"password": "other"}, "warning", 9)
    assert caller.post(f"/monitors/{m.pk}/clone/", {**data, "name": "open"}).status_code == 302
    assert not Monitor.objects.get(name="open").secrets, "what is not typed again is not there"
    assert copy.uuid != m.uuid and services.Monitor.objects.get(pk=m.pk).secrets.open() == {"password": "s3cret"}


def test_only_who_may_change_a_monitor_copies_it():
    m = scene.monitor()
    assert browser(cast.mallory()).get(f"/monitors/{m.pk}/clone/").status_code == 404
    assert browser(cast.viewer()).get(f"/monitors/{m.pk}/clone/").status_code == 403


# --- Several at once -----------------------------------------------------------------------------------------------------
def test_the_list_chooses_without_scripts():
    a, b = scene.monitor(name="a"), scene.monitor(name="b")
    caller = browser(cast.make_staff())
    page = caller.get("/monitors/").content.decode()
    assert page.count('name="ids"') == 2 and " checked" not in page and "all=1" in page
    ticked = caller.get("/monitors/?all=1")
    assert ticked.content.decode().count(" checked") == 2 and "Choose none" in text(ticked)
    refresh = caller.get("/monitors/?all=1", headers={"HX-Request": "true", "HX-Target": "live"})
    assert " checked" not in refresh.content.decode(), "a row that appears later is not chosen"
    assert 'name="ids"' not in browser(cast.viewer()).get("/monitors/").content.decode()
    assert {a.client, b.client} == {cast.acme()}


def test_several_are_paused_and_the_others_are_named_with_the_reason():
    a, b = scene.monitor(name="a"), scene.monitor(name="b")
    services.pause(b, by=cast.TESTS, at=database_now())
    answer = act(browser(cast.make_staff()), "pause", a, b)
    assert "1 monitor was paused. 1 was not: This monitor is paused already (b)." in text(answer)
    assert set(Monitor.objects.values_list("enabled", flat=True)) == {False}
    assert "2 monitors were resumed." in text(act(browser(cast.make_staff()), "resume", a, b))
    assert "2 monitors were asked for a check." in text(act(browser(cast.make_staff()), "check", a, b))


def test_tags_are_added_and_removed():
    a, b = scene.monitor(name="a"), scene.monitor(name="b")
    caller = browser(cast.make_staff())
    assert "Add tags to 2 monitors" in text(act(caller, "tag", a, b)), "it asks which"
    assert "2 monitors were tagged." in text(act(caller, "tag", a, b, confirmed="1", tags="Web, PROD"))
    assert sorted(a.tags.values_list("name", flat=True)) == ["Web", "prod"]
    assert act(caller, "untag", a, confirmed="1", tags="web").status_code == 200
    assert list(a.tags.values_list("name", flat=True)) == ["prod"] and b.tags.count() == 2
    again = act(caller, "untag", a, confirmed="1", tags="web")
    assert "No monitor was freed of the tags. 1 was not: It carries none of these tags (a)." in text(again)


def test_monitors_of_another_client_do_not_move_to_this_ones_site():
    site, a, g = cast.site(), scene.monitor(name="a"), scene.monitor(cast.globex(), "g")
    caller = browser(cast.make_staff())
    answer = act(caller, "move", a, g, confirmed="1", site=str(site.pk))
    assert "1 monitor was moved. 1 was not:" in text(answer) and "belongs to another client" in text(answer)
    assert Monitor.objects.get(pk=a.pk).site == site and Monitor.objects.get(pk=g.pk).site is None
    assert act(caller, "move", a, confirmed="1", site="none").status_code == 200
    assert Monitor.objects.get(pk=a.pk).site is None
    assert "Choose a site or a service." in text(act(caller, "move", a, confirmed="1"))


def test_deletion_lists_what_goes_before_it_goes():
    s = scene.outage()
    child = scene.monitor(name="child")
    Monitor.objects.filter(pk=child.pk).update(parent=s.down)
    caller = browser(cast.make_staff())
    page = text(act(caller, "delete", s.up, s.down))
    assert "Delete 2 monitors?" in page and "shop" in page and "api" in page
    assert "1 open alert closes without a message" in page and "1 other monitor depends on one of them" in page
    assert Monitor.objects.count() == 3
    assert "2 monitors were deleted." in text(act(caller, "delete", s.up, s.down, confirmed="1"))
    assert names() == ["child"]
    s.alert.refresh_from_db()
    assert s.alert.resolved_at is not None


def test_what_one_may_not_change_stays_and_what_one_does_not_see_is_not_there():
    mine, other = scene.monitor(name="mine"), scene.monitor(cast.globex(), "other")
    both = cast.alice()
    both.memberships.create(client=cast.globex(), role="viewer")
    answer = act(browser(both), "pause", mine, other)
    assert "1 monitor was paused. 1 was not: Your role does not allow this for Globex (other)." in text(answer)
    answer = act(browser(cast.mallory()), "delete", mine, confirmed="1")
    assert "1 is gone already" in text(answer) and "mine" not in text(answer)
    assert names() == ["mine", "other"] and Monitor.objects.get(name="other").enabled


def test_a_press_without_a_choice_says_so():
    scene.monitor()
    assert "Choose at least one monitor first." in text(act(browser(cast.make_staff()), "delete", confirmed="1"))
    assert browser(cast.make_staff()).get("/monitors/act/").status_code == 302 and Monitor.objects.count() == 1


def test_many_at_once_over_the_api():
    a, b = scene.monitor(name="a"), scene.monitor(name="b")
    services.pause(b, by=cast.TESTS, at=database_now())
    caller, where = cast.api(cast.make_staff()), "/api/v1/monitors/actions"
    answer = caller.post(where, {"action": "pause", "ids": [a.pk, b.pk]})
    assert answer.status_code == 200 and answer.json() == {
        "done": [a.pk],
        "refused": [{"id": b.pk, "name": "b", "why": "This monitor is paused already."}],
    }
    assert caller.post(where, {"action": "move", "ids": [a.pk], "site": cast.site().pk}).json()["done"] == [a.pk]
    assert Monitor.objects.get(pk=a.pk).site == cast.site()
    for body, field in (
        ({"action": "explode", "ids": [a.pk]}, "action"),
        ({"action": "pause", "ids": []}, "ids"),
        ({"action": "tag", "ids": [a.pk]}, "tags"),
        ({"action": "move", "ids": [a.pk]}, "site"),
        ({"action": "pause", "ids": [a.pk, 987654]}, "ids"),
    ):
        refused = caller.post(where, body)
        assert refused.status_code == 400 and field in refused.json()["error"]["fields"], refused.content
    theirs = cast.api(cast.mallory()).post(where, {"action": "delete", "ids": [a.pk]})
    assert theirs.status_code == 400 and Monitor.objects.count() == 2
    assert cast.api(cast.viewer()).post(where, {"action": "delete", "ids": [a.pk]}).status_code == 403


# --- A new site ----------------------------------------------------------------------------------------------------------
def new_site(caller, **more):
    return caller.post("/sites/add/", {"client": cast.acme().pk, "name": "Shop", "url": "shop.acme.example", **more})


def test_a_new_site_offers_what_fits_and_makes_it_with_the_site():
    cast.acme()
    caller = browser(cast.make_staff())
    page = new_site(caller)
    assert page.status_code == 200 and not Site.objects.exists() and not Monitor.objects.exists()
    assert page.content.decode().count(" checked") == 4
    ticked = {f"make_{kind}": "on" for kind in ("http", "tls", "dns")}
    answer = new_site(caller, create="1", offered_for="https://shop.acme.example", name_tls="Its paper", **ticked)
    assert answer.status_code == 302, text(answer)
    site = Site.objects.get()
    assert (site.name, site.url, site.client) == ("Shop", "https://shop.acme.example", cast.acme())
    assert {m.name: (m.kind, m.interval_seconds, m.config) for m in site.monitors.all()} == {
        "Shop": ("http", 60, {"url": "https://shop.acme.example"}),
        "Its paper": ("tls", 3600, {"host": "shop.acme.example"}),
        "Shop DNS": ("dns", 300, {"name": "shop.acme.example"}),
    }


@pytest.mark.parametrize(
    ("url", "fitting"),
    [
        ("http://shop.example/", {"http", "domain", "dns"}),
        ("https://192.0.2.7/", {"http", "tls"}),
        ("https://shop.example:8443/", {"http", "tls", "domain", "dns"}),
        ("http://intranet/", {"http"}),
    ],
)
def test_what_does_not_fit_is_not_offered(url, fitting):
    from monitors.proposals import proposals

    assert {p.kind for p in proposals("Shop", url) if p.fits} == fitting


@pytest.mark.parametrize(
    ("host", "registered"),
    [
        ("www.acme.example", "acme.example"),
        ("shop.acme.co.uk", "acme.co.uk"),
        ("acme.com.br", "acme.com.br"),
        ("a.b.c.io", "c.io"),
    ],
)
def test_the_registered_name_is_asked_of_the_registry(host, registered):
    from monitors.proposals import registered_name

    assert registered_name(host) == registered


def test_one_bad_offer_and_not_even_the_site_is_stored():
    cast.acme()
    caller = browser(cast.make_staff())
    ticked = {"make_http": "on", "make_domain": "on", "registered": "not a name"}
    answer = new_site(caller, create="1", offered_for="https://shop.acme.example", **ticked)
    assert answer.status_code == 400 and "url:" in text(answer)
    assert not Site.objects.exists() and not Monitor.objects.exists()


def test_with_another_url_the_offers_are_made_anew():
    cast.acme()
    caller = browser(cast.make_staff())
    answer = new_site(caller, create="1", offered_for="https://elsewhere.example", make_http="on")
    assert answer.status_code == 200 and not Site.objects.exists()


def test_a_second_site_of_that_name_is_refused_at_its_field():
    cast.site()
    answer = new_site(browser(cast.make_staff()))
    assert answer.status_code == 400 and "already has a site of this name" in text(answer)


# --- Templates -----------------------------------------------------------------------------------------------------------
def website(**values) -> MonitorTemplate:
    row = MonitorTemplate(name="Websites", kind="http", values=values or {"interval_seconds": 30, "tags": ["web"]})
    return templates.save(row, by=cast.TESTS)


def test_a_template_is_written_on_its_page_and_names_only_what_was_filled_in():
    caller = browser(cast.make_staff())
    page = caller.get("/monitor-templates/add/?kind=http")
    assert "config_password" not in page.content.decode()
    data = {
        **form_of(page),
        "kind": "http",
        "name": "Websites",
        "interval_seconds": "30",
        "severity": "warning",
        "config_verify_tls": "false",
        "config_keyword": "ok",
        "tags": "web",
    }
    answer = caller.post("/monitor-templates/add/", data)
    assert answer.status_code == 302, answer.context["form"].errors
    row = MonitorTemplate.objects.get()
    wanted = {
        "interval_seconds": 30,
        "severity": "warning",
        "config": {"verify_tls": False, "keyword": "ok"},
        "tags": ["web"],
    }
    assert row.values == wanted
    untouched = {**form_of(caller.get(f"/monitor-templates/{row.pk}/")), "kind": "http"}
    assert caller.post(f"/monitor-templates/{row.pk}/", untouched).status_code == 302
    row.refresh_from_db()
    assert row.values == wanted and row.version == 1, "saving an untouched form changes nothing"
    bad = caller.post(f"/monitor-templates/{row.pk}/", {**untouched, "config_accepted_statuses": "many"})
    assert bad.status_code == 400 and 'id="id_config_accepted_statuses_error"' in bad.content.decode()


@pytest.mark.parametrize("kind", sorted(set(checks.KINDS) - {"http"}))
def test_every_kind_can_have_a_template(kind):
    caller = browser(cast.make_staff())
    data = {**form_of(caller.get(f"/monitor-templates/add/?kind={kind}")), "kind": kind, "name": kind}
    answer = caller.post("/monitor-templates/add/", {**data, "severity": "info"})
    assert answer.status_code == 302, answer.context["form"].errors
    assert MonitorTemplate.objects.get().values == {"severity": "info"}


def test_a_new_monitor_starts_from_a_template_and_follows_it():
    row, of = website(), cast.acme()
    caller = browser(cast.make_staff())
    data = form_of(caller.get(f"/monitors/add/?kind=http&template={row.pk}"))
    assert (data["interval_seconds"], data["tags"], data["template"]) == ("30", "web", str(row.pk))
    answer = caller.post(
        "/monitors/add/", {**data, "kind": "http", "client": of.pk, "config_url": "https://a.example/"}
    )
    assert answer.status_code == 302, answer.context["form"].errors
    m = Monitor.objects.get()
    assert (m.template, m.template_version, m.interval_seconds) == (row, 1, 30)


def test_who_differs_is_shown_and_only_the_ticked_ones_change():
    row, a, b = website(), scene.monitor(name="a"), scene.monitor(cast.globex(), "b")
    caller, where = browser(cast.make_staff()), f"/monitor-templates/{row.pk}/diff/"
    assert "Nobody differs" in text(caller.get(where))
    answer = caller.post(where, {"ids": [a.pk], "version": 1}, follow=True)
    assert "1 monitor was brought to “Websites”." in text(answer)
    assert [Monitor.objects.get(pk=m.pk).interval_seconds for m in (a, b)] == [30, 60]
    row.values = {"interval_seconds": 45}
    templates.save(row, by=cast.TESTS)
    page = text(caller.get(where))
    assert "1 differs" in page and "Check every (s): 30 → 45" in page
    stale = caller.post(where, {"ids": [a.pk], "version": 1}, follow=True)
    assert "changed after you looked" in text(stale) and Monitor.objects.get(pk=a.pk).interval_seconds == 30


def test_a_clients_people_neither_see_nor_lose_the_template_of_the_msp():
    row, m = website(), scene.monitor(name="a")
    staff = browser(cast.make_staff())
    staff.post(f"/monitor-templates/{row.pk}/diff/", {"ids": [m.pk], "version": 1})
    caller = browser(cast.alice())
    for path in ("", "diff/", "delete/"):
        assert caller.get(f"/monitor-templates/{row.pk}/{path}").status_code == 404
    data = {**form_of(caller.get(f"/monitors/{m.pk}/edit/")), "kind": "http", "name": "renamed"}
    assert caller.post(f"/monitors/{m.pk}/edit/", data).status_code == 302
    m.refresh_from_db()
    assert m.name == "renamed" and m.template == row
    assert "Websites" not in text(caller.get("/monitors/add/"))
    assert browser(cast.viewer()).post("/monitor-templates/add/").status_code == 403


def test_a_deleted_template_says_who_followed_it():
    row, m = website(), scene.monitor(name="a")
    caller = browser(cast.make_staff())
    caller.post(f"/monitor-templates/{row.pk}/diff/", {"ids": [m.pk], "version": 1})
    assert "1 monitor follows it and keeps the values" in text(caller.get(f"/monitor-templates/{row.pk}/delete/"))
    assert caller.post(f"/monitor-templates/{row.pk}/delete/").status_code == 302
    assert not MonitorTemplate.objects.exists() and Monitor.objects.get().interval_seconds == 30


def test_a_longer_list_costs_no_more_queries():
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    row, caller = website(), browser(cast.make_staff())
    counts = {}
    for n in range(12):
        m = scene.monitor(cast.client(f"Client {n}"), f"m{n}", config={"url": f"https://m{n}.example/"})
        Monitor.objects.filter(pk=m.pk).update(template=row if n % 2 else None)
        if n in (2, 11):
            for path in ("/monitor-templates/", f"/monitor-templates/{row.pk}/diff/", "/monitors/?all=1"):
                with CaptureQueriesContext(connection) as seen:
                    assert caller.get(path).status_code == 200
                counts.setdefault(path, []).append(len(seen))
    for path, (few, many) in counts.items():
        assert many <= few, f"{path}: {few} queries with 3 monitors, {many} with 12"
