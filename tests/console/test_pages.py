"""Who sees which page, and what does it cost? The same with 3 rows and with 30; another client's things do not exist."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, Delivery, Silence
from incidents import services as incident_services
from incidents.models import Incident
from monitors.models import Monitor, Result
from portal.clock import database_now
from tests import cast
from tests.console import scene
from tests.console.visiting import FORMS, LISTS, browser, own_pages, text

pytestmark = pytest.mark.django_db


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
    for path in [
        *LISTS,
        f"/monitors/{s.down.pk}/",
        f"/alerts/{s.alert.pk}/",
        f"/incidents/{s.incident.pk}/",
        f"/clients/{s.client.pk}/",
    ]:
        answer = caller.get(path)
        assert answer.status_code == 200, path
        forms = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', answer.content.decode())
        assert set(forms) <= {"/logout/"}, f"{path} offers {forms}"
    for path in (*FORMS, f"/monitors/{s.up.pk}/edit/", f"/channels/{s.theirs.pk}/"):
        assert caller.get(path).status_code == 403, path
    for path in (
        f"/alerts/{s.alert.pk}/acknowledge/",
        f"/monitors/{s.up.pk}/pause/",
        f"/incidents/{s.incident.pk}/resolve/",
    ):
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
    silence = Silence.objects.create(
        client=s.client,
        reason="Acme secret work",
        starts_at=database_now(),
        ends_at=database_now() + timedelta(hours=1),
    )
    delivery = Delivery.objects.filter(channel=s.theirs).first()
    caller = browser(cast.mallory())
    for path in own_pages(s):
        assert caller.get(path).status_code == 404, path
    for path in (
        f"/monitors/{s.up.pk}/check/", f"/monitors/{s.up.pk}/delete/", f"/alerts/{s.alert.pk}/resolve/", f"/incidents/{s.incident.pk}/acknowledge/", f"/deliveries/{delivery.pk}/retry/",
        f"/channels/{s.theirs.pk}/test/", f"/silences/{silence.pk}/cancel/",
    ):  # fmt: skip
        assert caller.post(path).status_code == 404, path
    for path in [
        *LISTS,
        "/search/?q=shop",
        f"/silences/add/?alert={s.alert.pk}",
        f"/monitors/add/?client={s.client.pk}",
        f"/alerts/?client={s.client.pk}",
    ]:
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
    with CaptureQueriesContext(
        connection,
    ) as seen:
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
        Silence.objects.create(
            client=of,
            reason="Quiet",
            starts_at=at,
            ends_at=at + timedelta(hours=1),
            matchers={"client": of.pk, "tag": "no such tag"},
        )


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
