"""What is on this network? Sent by a press, shown when it is known, and watched when somebody ticks it."""

from __future__ import annotations

import pytest

from monitors import discovery
from monitors.models import Monitor, Probe, ProbeJob
from portal.clock import database_now
from tests import cast
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db
RESULT = {
    "networks": ["192.168.7.0/24"], "asked": 253, "took_s": 41.5, "cut": True,
    "hosts": [{"address": "192.168.7.4", "name": "nas.lan", "hardware": "", "ports": {"443": "<b>NAS</b>", "22": "SSH-2.0"}}],
}  # fmt: skip


@pytest.fixture
def probe() -> Probe:
    row = cast.probe(cast.acme())
    Probe.objects.filter(pk=row.pk).update(public_key="k", enrolled_at=database_now(), last_seen_at=database_now())
    row.refresh_from_db()
    return row


def path(probe: Probe) -> str:
    return f"/probes/{probe.pk}/network/"


def looked(probe: Probe, state: str = "done", result: dict | None = None) -> ProbeJob:
    job = discovery.ask(probe, by=cast.TESTS, at=database_now())
    ProbeJob.objects.filter(pk=job.pk).update(
        state=state, result=RESULT if result is None else result, finished_at=database_now()
    )
    return job


def test_before_the_first_look_the_page_says_what_will_happen_and_how_it_is_allowed(probe):
    page = text(browser(cast.make_staff()).get(path(probe)))
    assert "Nothing is watched before you choose it" in page
    assert "WATCHKEEPER_PROBE_DISCOVERY=own" in page


def test_a_press_sends_the_probe_once(probe):
    staff = browser(cast.make_staff())
    for _ in range(2):
        assert staff.post(path(probe), {"look": "1"}).status_code == 302
    assert ProbeJob.objects.filter(probe=probe, kind="discover").count() == 1
    page = staff.get(path(probe))
    assert "is looking around" in text(page) and 'hx-trigger="every 3s"' in page.content.decode()


def test_a_refusal_of_the_machine_is_said_in_its_words(probe):
    looked(probe, "refused", {"why": "This machine does not allow it."})
    assert "This machine does not allow it." in text(browser(cast.make_staff()).get(path(probe)))


def test_what_was_found_is_shown_as_text_and_watched_when_ticked(probe):
    looked(probe)
    staff = browser(cast.make_staff())
    page = staff.get(path(probe)).content.decode()
    assert "nas.lan" in page and "&lt;b&gt;NAS&lt;/b&gt;" in page and "may be more on this network" in page
    answer = staff.post(path(probe), {"create": "1", "chosen": ["192.168.7.4:443", "192.168.7.4:ping"]})
    assert answer.status_code == 302
    assert set(Monitor.objects.filter(client=cast.acme(), views__probe=probe).values_list("kind", flat=True)) == {"http", "icmp"}  # fmt: skip
    assert "watched" in text(staff.get(path(probe)))


def test_nothing_ticked_is_said_at_the_form_and_nothing_is_made(probe):
    looked(probe)
    answer = browser(cast.make_staff()).post(path(probe), {"create": "1"})
    assert answer.status_code == 400 and "Choose at least one" in text(answer)


def test_the_clients_own_admin_may_another_client_does_not_know_it(probe):
    looked(probe)
    assert browser(cast.alice()).post(path(probe), {"create": "1", "chosen": ["192.168.7.4:22"]}).status_code == 302
    assert browser(cast.mallory()).get(path(probe)).status_code == 404


def test_scripts_ask_and_accept_too(probe):
    api = cast.api(cast.alice())
    assert api.get(f"/api/v1/probes/{probe.pk}/discovery").status_code == 409
    assert api.post(f"/api/v1/probes/{probe.pk}/discovery").status_code == 202
    ProbeJob.objects.filter(probe=probe).update(state="done", result=RESULT, finished_at=database_now())
    found = api.get(f"/api/v1/probes/{probe.pk}/discovery").json()
    assert [p["key"] for p in found["proposals"]] == ["192.168.7.4:443", "192.168.7.4:22", "192.168.7.4:ping"]
    wrong = api.post(f"/api/v1/probes/{probe.pk}/discovery/accept", {"chosen": ["192.168.7.4:22"], "site": 10**6})
    assert wrong.status_code == 400 and "site" in wrong.json()["error"]["fields"]
    made = api.post(f"/api/v1/probes/{probe.pk}/discovery/accept", {"chosen": ["192.168.7.4:22"]})
    assert made.status_code == 201 and Monitor.objects.get(pk=made.json()["monitors"][0]).kind == "ssh"
