"""What if there are more of them than a page holds? Each list has further pages, and finds by name; nothing is out of reach."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client as Browser

from alerts.models import Channel, EscalationPolicy, Integration, MessageTemplate, OnCallSchedule, Trigger
from console.pages import incident_add, overview, visit
from monitors.models import Monitor, Probe
from playbooks.models import Playbook
from portal.clock import database_now
from portal.models import ContactGroup
from statuspages.models import Page
from tests import cast
from tests.console.visiting import text

pytestmark = pytest.mark.django_db
COUNT = visit.PAGE + 3
NAMES = [f"thing {n:03}" for n in range(COUNT)]


def many(model: type, **fields: object) -> Callable[[], None]:
    return lambda: model.objects.bulk_create(model(name=name, **fields) for name in NAMES)  # type: ignore[attr-defined]


LISTS: dict[str, Callable[[], None]] = {
    "/channels/": many(Channel, type="webhook", config={"url": "https://hooks.example/x"}),
    "/triggers/": many(Trigger),
    "/escalation-policies/": many(EscalationPolicy),
    "/on-call/": lambda: many(OnCallSchedule, timezone="UTC", client=cast.acme())(),  # our own stand above every page
    "/contact-groups/": many(ContactGroup),
    "/message-templates/": many(MessageTemplate, title="{{monitor}}"),
    "/playbooks/": many(Playbook),
    "/integrations/": lambda: Integration.objects.bulk_create(
        Integration(name=name, kind="events", key_hash=name) for name in NAMES
    ),
    "/status-pages/": lambda: Page.objects.bulk_create(Page(name=name, slug=name.replace(" ", "-")) for name in NAMES),
    "/probes/": lambda: Probe.objects.bulk_create(Probe(name=name, slug=name.replace(" ", "-")) for name in NAMES),
}


@pytest.fixture
def staff() -> Browser:
    browser = Browser()
    browser.force_login(cast.make_staff())
    return browser


@pytest.mark.parametrize("path", LISTS)
def test_what_does_not_fit_is_on_the_next_page_and_is_found_by_name(path: str, staff: Browser) -> None:
    LISTS[path]()
    first, second = text(staff.get(path)), text(staff.get(f"{path}?page=2"))
    assert sum(name in first for name in NAMES) in (visit.PAGE, visit.PAGE - 1)  # a probe of the portal's own is first
    assert all((name in first) != (name in second) for name in NAMES)
    found = text(staff.get(f"{path}?q=thing+052"))
    assert [name for name in NAMES if name in found] == ["thing 052"]
    assert "Nothing matches" in text(staff.get(f"{path}?q=no+such+thing"))


def test_a_channel_that_fails_is_on_the_first_page_whatever_it_is_called(staff: Browser) -> None:
    LISTS["/channels/"]()
    Channel.objects.filter(name=NAMES[-1]).update(unhealthy_since=database_now(), unhealthy_reason="It is gone.")
    assert NAMES[-1] in text(staff.get("/channels/"))


def test_schedules_with_nobody_are_counted_on_every_page(staff: Browser) -> None:
    LISTS["/on-call/"]()
    assert f"{COUNT} schedules have nobody" in text(staff.get("/on-call/?page=2"))


def test_the_overview_names_the_worst_clients_and_counts_the_others(
    staff: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_CLIENTS", 2)
    for n in range(4):
        cast.monitor(cast.client(f"Client {n}"), f"m{n}")
    Monitor.objects.update(state="up")
    Monitor.objects.filter(name="m3").update(state="down")
    seen = text(staff.get("/"))
    assert "Client 3" in seen and "Client 0" in seen and "Client 1" not in seen
    assert "2 more clients, all well" in seen
    Monitor.objects.update(state="down")
    assert "2 more clients, some of them not well either" in text(staff.get("/"))


def test_of_very_many_monitors_an_incident_offers_those_that_are_not_well_and_the_chosen_clients(
    staff: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident_add, "MOST", 2)
    well, bad, others = cast.monitor(name="well"), cast.monitor(name="bad"), cast.monitor(cast.globex(), "theirs")
    Monitor.objects.filter(pk=well.pk).update(state="up")
    Monitor.objects.filter(pk=others.pk).update(state="up")
    Monitor.objects.filter(pk=bad.pk).update(state="down")
    seen = text(staff.get("/incidents/add/"))
    assert "Acme · bad" in seen and "Acme · well" not in seen and "Globex · theirs" not in seen
    given = {"title": "Mail is slow", "severity": "minor", "client": others.client_id, "again": "1"}
    answer = staff.post("/incidents/add/", given)
    assert answer.status_code == 200
    assert "Globex · theirs" in text(answer) and "Acme · bad" not in text(answer)
    assert 'value="Mail is slow"' in answer.content.decode()
    told = {**given, "affected_monitor_ids": [others.pk], "status": "investigating"}
    del told["again"]
    assert staff.post("/incidents/add/", told).status_code == 302  # though the first page did not offer it


def test_pages_are_packed_for_browsers_that_can_unpack_them(staff: Browser) -> None:
    assert staff.get("/help/", headers={"accept-encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in staff.get("/help/").headers


def test_a_client_does_not_learn_a_regions_network_by_looking_for_it(staff: Browser) -> None:
    Probe.objects.create(name="Oslo", slug="oslo", network="AS64500")
    client = Browser()
    client.force_login(cast.viewer())
    assert "Oslo" in text(client.get("/probes/?q=osl")) and "Oslo" not in text(client.get("/probes/?q=AS64500"))
    assert "Oslo" in text(staff.get("/probes/?q=AS64500"))
