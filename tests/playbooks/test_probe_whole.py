"""From a hung site to another process of it, whole: two real probes, the portal's real processes, a real supervisor, one order.

The portal runs as web and page apart: the web has only the public half of the key that orders are signed with, the page
worker alone can give one. The verdict is attached by hand (diagnosis asks the machine's own router, tests stay on
loopback); everything else is the product's own way.
"""

from __future__ import annotations

import html
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import transaction
from django.db.models import Q

from alerts import verdicts
from alerts.models import Alert
from incidents.models import Incident, TimelineEntry
from monitors import partitions, remote
from monitors.models import Monitor, Probe, ProbeJob
from monitors.probe import identity
from playbooks import facts, services
from playbooks.models import Mode, Playbook, Run, RunStep
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast, environment
from tests.alerts import stage
from tests.faults import plant as plants
from tests.faults.plant import until
from tests.monitors import afar, rows
from tests.monitors.acting_stage import Place
from tests.monitors.test_acting_whole import Obedient
from tests.monitors.test_remote_whole import enrolled
from tests.playbooks import acting
from tests.playbooks.premises import PATIENCE, Machine, Portal, Shop
from tests.rig import ground, postgres
from tests.rig.process import Child
from tests.rig.receiver import Receiver
from tests.rig.valkey import Valkey

pytestmark = pytest.mark.once


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """A migrated database of the test's own."""
    server = os.environ.get(environment.SERVER)
    if not server:
        yield f"sqlite://{ground.sqlite(tmp_path / 'portal.sqlite3', environment.for_programs())}"
        return
    name = f"acts_{os.getpid()}_{next(_numbers)}"
    yield postgres.create_database(server, name, ground.DATABASE)
    postgres.drop_database(server, name)


_numbers = iter(range(1, 1000))


@pytest.fixture
def place(tmp_path: Path) -> Machine:
    """That machine."""
    home = tmp_path / "machine"
    home.mkdir(mode=0o755)
    return Machine(home)


@pytest.fixture
def shop(place: Machine) -> Iterator[Shop]:
    made = Shop(place.home)
    yield made
    made.supervisor.end(signal.SIGTERM)


@pytest.fixture
def portal(database_url: str, valkey: Valkey, place: Machine, shop: Shop, tmp_path: Path, django_db_blocker: Any) -> Iterator[Portal]:  # fmt: skip
    """Web and page are up; the test's own Django looks into their database."""
    (home := tmp_path / "portal").mkdir()
    with django_db_blocker.unblock(), plants.look_into(database_url, home):
        with Portal(database_url, valkey.url(), home) as made:
            made.place = place
            partitions.ensure_ahead(database_now())
            for role in ("web", "page"):
                made.start(role, wait=False)
            for role, child in made.children:
                made.until_up(role, child)
            yield made
            print(made.logs())


@pytest.fixture
def probes(portal: Portal, place: Machine, tmp_path: Path) -> Iterator[dict[str, Obedient]]:
    """Two private probes of Acme's in two networks, by name. The one beside the site knows its machine's file."""
    made: dict[str, Obedient] = {}
    for slug in ("acme-lan", "acme-branch"):
        (home := tmp_path / slug).mkdir()
        made[slug] = Obedient(portal.url, home / "probe")
        made[slug].place = place if slug == "acme-lan" else Place(home)
        enrolled(made[slug], afar.new_probe(slug, cast.acme(), network=f"line of {slug}"))
        made[slug].start()
    yield made
    for program in made.values():
        program.end()
        print((program.home.parent / "probe.log").read_text())


def watched(shop: Shop, probes: dict[str, Obedient]) -> Monitor:
    """A monitor that both probes have seen well; the portal knows what may be asked of the one beside it."""
    seen_from = list(Probe.objects.filter(slug__in=probes))
    monitor = rows.monitor(name="shop", config={"url": shop.url}, probes=seen_from, quorum=2, interval_seconds=6, timeout_seconds=5)  # fmt: skip
    until(lambda: _state(monitor) == "up", within=PATIENCE, what="the site to be seen well")
    until(lambda: "restart-shop" in str(Probe.objects.get(slug="acme-lan").health), within=PATIENCE, what="the action to be told of")  # fmt: skip
    return monitor


def _state(monitor: Monitor) -> str:
    return str(Monitor.objects.values_list("state", flat=True).get(pk=monitor.pk))


def repairing(mode: str) -> Playbook:
    """Acme's playbook that restarts the shop; Bob may agree."""
    step = {"kind": "restart", "config": {"probe": "acme-lan", "action": "restart-shop"}}
    row = services.save_playbook(None, by=cast.TESTS, at=database_now(), client=cast.acme(), name="Restart the shop", steps=[step], approvers=[acting.approver()], verify_within_seconds=120)  # fmt: skip
    by_itself = {"automatic_since": database_now(), "automatic_by": "Olivia"} if mode == Mode.AUTOMATIC else {}
    Playbook.objects.filter(pk=row.pk).update(mode=mode, **by_itself)
    return row


def proposed(monitor: Monitor) -> Run:
    """It is down by the word of both probes, and the verdict says what it is: the run that answers it."""
    until(lambda: _state(monitor) == "down", within=PATIENCE, what="both probes to see it hang")
    alert = Alert.objects.get(monitor_id=monitor.pk, condition="health", resolved_at=None)
    verdict = {"summary": "It accepts connections and answers nobody.", "layer": "service", "confidence": 0.95}
    with transaction.atomic():
        verdicts.attach(alert, verdict, {}, "", at=database_now())
    return Run.objects.get()


def reached(run: Run, *states: str) -> Run:
    """Wait until the run is in one of these states."""
    until(lambda: Run.objects.filter(pk=run.pk, state__in=states).exists(), within=PATIENCE, what=f"{run} to be {' or '.join(states)}")  # fmt: skip
    run.refresh_from_db()
    return run


def says_yes(portal: Portal, run: Run) -> str:
    """Bob signs in, reads the run's page and agrees, by HTTP as a browser does. Returns the page that he gets then."""
    with requests.Session() as browser:
        where = f"{portal.url}/login/"
        browser.post(where, {**acting.sent_back(browser.get(where), "password"), "login": "bob@msp.example", "password": cast.PASSWORD})  # fmt: skip
        page = browser.get(f"{portal.url}/runs/{run.pk}/")
        assert "its action “restart-shop” with no parameters" in page.text
        whose = f'signer = "{identity.public_of(portal.place.signer)}"'
        assert whose in html.unescape(browser.get(f"{portal.url}/playbooks/{run.playbook_id}/").text)
        browser.post(page.url, {**acting.sent_back(page, "plan_hash"), "word": "approve"})
        reached(run, "succeeded", "failed", "rolled_back", "outcome_unknown", "void")
        return browser.get(page.url).text


def heard(receiver: Receiver, word: str) -> list[dict[str, Any]]:
    """What the people's channel was told under this name."""
    return [call.json() for call in receiver.calls if call.json().get("type") == word]


def test_a_hung_site_is_restarted_through_its_probe_when_a_person_agrees(portal, probes, shop, place, receiver):
    stage.trigger(stage.webhook(url=receiver.url("/people")))
    monitor, book = watched(shop, probes), repairing(Mode.APPROVAL)
    before = shop.pid
    shop.hangs()
    run = proposed(monitor)
    assert reached(run, "awaiting_approval").plan[0]["target"] == "probe:acme-lan/restart-shop"
    assert all(gate["passed"] for gate in run.gates) and shop.pid == before and not place.calls.exists()

    page = says_yes(portal, run)

    # Another process serves it, and the probes have seen so since.
    run.refresh_from_db()
    assert run.state == "succeeded", run.reason
    assert place.calls.read_text() == "called\n" and shop.pid != before
    assert requests.get(shop.url, timeout=30).text == f"served by {shop.pid}\n"
    assert run.verification["well"] == run.verification["asked"] == 2 and _state(monitor) == "up"
    # What was said and how long it took is on the run, on its page, in the incident and in the audit log.
    step = RunStep.objects.get(run=run)
    output = f"process {before} was replaced by {shop.pid}\n"
    assert (step.state, step.output, step.after["exit_code"]) == ("done", output, 0) and step.after["seconds"] > 0
    assert step.started_at < step.finished_at and output.strip() in page and book.name in page
    until(lambda: Incident.objects.get(pk=run.incident_id).status == "resolved", within=PATIENCE, what="the incident to be resolved")  # fmt: skip
    told = " ".join(TimelineEntry.objects.filter(incident=run.incident_id).order_by("seq").values_list("text", flat=True))  # fmt: skip
    order = [
        told.index(word) for word in ("awaiting approval", "bob@msp.example approved", "step 1: done", "succeeded")
    ]
    assert order == sorted(order)
    acts = list(AuditEntry.objects.filter(action__startswith="playbook.", subject=f"run:{run.pk}").order_by("seq").values_list("action", flat=True))  # fmt: skip
    moves = [
        f"playbook.run.{state}" for state in ("awaiting_approval", "approved", "running", "verifying", "succeeded")
    ]
    assert acts == [moves[0], "playbook.approve", *moves[1:]]
    # The order named this run, this client and this plan; the web process that took the approval could not have signed it.
    assert ProbeJob.objects.get(kind="act").key == f"run:{run.pk}:1" and not heard(receiver, "playbook.failed")
    assert "ACTION_SIGNING_KEY" not in _environment_of(portal.of("web")[0]) and "ACTION_SIGNING_KEY" in _environment_of(portal.of("page")[0])  # fmt: skip
    _one_changed_line_of_the_audit_log_is_named(portal, run)


def _environment_of(child: Child) -> set[str]:
    """The names of the variables that a process was started with and that hold something."""
    pairs = Path(f"/proc/{child.pid}/environ").read_bytes().decode().split("\0")
    return {name for name, _, value in (pair.partition("=") for pair in pairs) if value}


def _one_changed_line_of_the_audit_log_is_named(portal: Portal, run: Run) -> None:
    whole = portal.manage("verify_audit")
    assert whole.returncode == 0 and "The audit log is whole" in whole.stdout, whole.stderr
    entry = AuditEntry.objects.get(action="playbook.approve", subject=f"run:{run.pk}")
    AuditEntry.objects.filter(pk=entry.pk).update(actor="somebody.else@msp.example")
    broken = portal.manage("verify_audit")
    assert broken.returncode == 1
    assert broken.stderr.strip() == f"{entry.chain}: entry {entry.seq} (playbook.approve) was changed after it was written."  # fmt: skip


@pytest.mark.parametrize("who", ["probe", pytest.param("worker", marks=pytest.mark.soak)])
def test_whoever_dies_after_the_order_was_accepted_leaves_it_unknown_and_wakes_people(who, portal, probes, shop, place, receiver):  # fmt: skip
    """Killed with signal 9 between the beginning and the end: nobody knows, nothing is repeated, the cap counts it."""
    os.mkfifo(place.gate)
    stage.trigger(stage.webhook(url=receiver.url("/people")))
    monitor, book = watched(shop, probes), repairing(Mode.AUTOMATIC)
    before = shop.pid
    shop.hangs()
    run = proposed(monitor)
    until(place.calls.exists, within=PATIENCE, what="the order to be carried out")
    if who == "probe":
        probes["acme-lan"].kill()
        Probe.objects.filter(slug="acme-lan").update(last_seen_at=database_now() - remote.SPEAKING)
        probes["acme-lan"].start()
    else:
        portal.kill9(portal.of("page")[0])
        portal.start("page")

    assert reached(run, "outcome_unknown", "succeeded", "failed", "rolled_back").state == "outcome_unknown"

    said = "its end was not seen" if who == "probe" else "when its worker died"
    assert said in run.reason and RunStep.objects.get(run=run).state == "unknown"
    alert = Alert.objects.get(source="playbook", event="failed", resolved_at=None)
    assert alert.severity == "critical" and "not repeated" in alert.message
    until(lambda: heard(receiver, "playbook.failed"), within=PATIENCE, what="people to be woken")
    assert Playbook.objects.get(pk=book.pk).mode == Mode.APPROVAL, "it is not trusted to act by itself any more"
    # What was begun may end by itself; nobody begins it again, and no other run stands in for it.
    place.gate.write_text("go on\n")
    until(lambda: shop.pid != before, within=PATIENCE, what="what was begun to end")
    until(lambda: _state(monitor) == "up", within=PATIENCE, what="the probes to see it well")
    assert (
        place.calls.read_text() == "called\n"
        and ProbeJob.objects.filter(kind="act").count() == Run.objects.count() == 1
    )
    run.refresh_from_db()
    assert run.state == "outcome_unknown" and facts.acted(Q(playbook=book), database_now()) == 1, "the cap counts it"
    assert not re.search(r"playbook\.run\.(succeeded|failed)", str(AuditEntry.objects.values_list("action", flat=True)))
