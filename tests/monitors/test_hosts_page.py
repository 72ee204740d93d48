"""What does a person see of a machine and of its containers? On the monitor's page, at a desk and on a phone."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser

from alerts.models import Alert
from console.pages import host_chart
from monitors import findings, host_findings
from monitors.models import HostSample, Monitor, Probe
from portal.clock import database_now
from tests import cast
from tests.console.test_browser import DESK, PHONE, Visitor
from tests.console.visiting import form_of, text
from tests.monitors import rows
from tests.monitors.test_hosts_record import box, done
from tests.walks.window import CHROMIUM

pytestmark = pytest.mark.django_db


@pytest.fixture
def at() -> datetime:
    return database_now().replace(second=0, microsecond=0)


@pytest.fixture
def machine(at) -> Monitor:
    """A busy server with a day behind it."""
    host_findings._forecasts.clear()
    Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})
    config = {"services": ["nginx"], "cpu_minutes": 0, "disk_full_minutes": 0}
    m = rows.monitor(name="web-1", kind="host", config=config)
    HostSample.objects.bulk_create(
        HostSample(monitor=m, at=at - timedelta(minutes=n), values=minute(n))
        for n in range(1, 1440)
        if not 300 < n < 420
    )
    facts = {
        "name": "web-1",
        "system": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.1.0-28-amd64",
        "processors": 4.0,
        "memory_bytes": 8 << 30,
    }
    held = {"/etc/ssl/shop.pem": {"days": 20.4}}
    seen = {
        "values": minute(0) | {"cpu_percent": 96.0}, "facts": facts, "services": {"nginx": "active"}, "certificates": held,
        "updates": {"pending": 12, "security": 3, "reboot": True},
    }  # fmt: skip
    findings.note([done(m, at, {"host": seen})])
    return m


def minute(n: int) -> dict[str, float]:
    """What it looked like n minutes ago."""
    return {
        "cpu_percent": round(35 + 25 * math.sin(n / 90), 1), "memory_percent": round(61 + 5 * math.sin(n / 200), 1), "load5_per_core": round(0.6 + 0.4 * math.sin(n / 90), 2),
        "disk_percent:/": 41.2, "disk_used_bytes:/": 41.2e9, "disk_total_bytes:/": 1e11, "inode_percent:/": 12.0,
        "disk_percent:/srv/backups-of-everything": round(88 - n / 120, 2), "disk_used_bytes:/srv/backups-of-everything": 8.8e11,
        "disk_total_bytes:/srv/backups-of-everything": 1e12, "received_per_second:eth0": 120_000.0, "sent_per_second:eth0": 2_400_000.0,
        "uptime_seconds": 1_000_000.0, "swap_percent": 3.0, "temperature:coretemp": 61.0,
    }  # fmt: skip


@pytest.fixture
def engine(at) -> Monitor:
    """A server with containers, well and unwell."""
    Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})
    m = rows.monitor(name="web-1 containers", kind="container", config={})
    started = {"started_at": (at - timedelta(days=3)).isoformat()}
    figures = {"values": {"cpu_percent": 42.0, "memory_bytes": 3e8, "memory_percent": 57.0}} | started
    well = [
        box("db", image="postgres:16.4", **figures),
        box("shop", **figures),
        box("migrate", state="exited", **started),
    ]
    findings.note(
        [done(m, at - timedelta(minutes=1), {"containers": {"list": [*well, box("cache", **figures)], "cut": False}})]
    )
    dead = box(
        "cache",
        state="exited",
        exit_code=137,
        oom_killed=True,
        log="one\n<script>alert(1)</script>\nOut of memory",
        **started,
    )
    well[0] |= {"update": {"tag": "17.0", "digest": "", "major": True}}
    well[1] |= {"health": "unhealthy"}
    findings.note([done(m, at, {"containers": {"list": [*well, dead], "cut": False}})])
    return m


def page(m: Monitor, user: Any = None, query: str = "") -> str:
    browser = Browser()
    browser.force_login(user or cast.alice())
    answer = browser.get(f"/monitors/{m.pk}/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_of_a_machine_shows_its_figures_its_disks_and_what_is_too_high(machine):
    shown = page(machine)
    for words in (
        "Too high now", "96 %", "Debian GNU/Linux 12", "12 waiting", "3 for security", "wants a restart", "/srv/backups-of-everything", "nginx", "20 days left", "61 °C",
        "CPU: now 96 %", "Memory: now", "Load per processor: now",
    ):  # fmt: skip
        assert words in shown, words
    assert shown.index("/srv/backups-of-everything") < shown.index(">/</th>"), "the fullest disk first"
    assert 'href="?window=7d#charts"' in shown and "In 7d" in page(machine, query="?window=7d")


def test_the_page_of_a_machine_that_was_never_seen_says_so():
    assert "No figures yet" in page(rows.monitor(name="new", kind="host"))
    assert "No container has been seen yet" in page(rows.monitor(name="boxes", kind="container"))


def test_unwell_containers_come_first_and_their_last_words_are_text(engine):
    shown = page(engine)
    assert shown.index("cache") < shown.index("db<div") and shown.index("shop<div") < shown.index("db<div")
    for words in ("Out of memory", "Unhealthy", "Finished", "Running", "17.0, another major", "57 %"):
        assert words in shown, words
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown and "<script>alert(1)" not in shown


def test_the_alert_of_a_container_has_a_page_with_its_evidence(engine):
    alert = Alert.objects.get(event="down")
    browser = Browser()
    browser.force_login(cast.alice())
    shown = text(browser.get(f"/alerts/{alert.pk}/"))
    for words in ("Container cache is down", "ran out of memory", "acme/shop:1.2.3", "137", "web-1 containers"):
        assert words in shown, words


def test_other_pages_have_no_such_part_and_strangers_no_page(machine):
    assert "Server" not in page(cast.monitor()).partition('id="story"')[0]
    browser = Browser()
    browser.force_login(cast.mallory())
    assert browser.get(f"/monitors/{machine.pk}/").status_code == 404


def test_a_days_page_costs_as_many_queries_as_an_hours(machine, django_assert_max_num_queries):
    browser = Browser()
    browser.force_login(cast.alice())
    browser.get(f"/monitors/{machine.pk}/")
    with django_assert_max_num_queries(45):
        browser.get(f"/monitors/{machine.pk}/")


@pytest.mark.once
def test_a_hole_in_the_measurements_is_a_hole_in_the_line():
    noon = database_now()
    points = [(noon + timedelta(minutes=n), 50.0) for n in (*range(10), *range(30, 40))]
    drawn = str(
        host_chart.course(points, "CPU", " %", since=noon, until=noon + timedelta(minutes=40), most=100, limit=90)
    )
    assert drawn.count("M0 ") == 1 and drawn.split('class="band-line" d="')[1].split('"')[0].count("M") == 2
    assert "limit 90 %" in drawn and "100 %" in drawn and "style=" not in drawn
    assert "nothing measured" in str(host_chart.course([], "CPU", " %", since=noon, until=noon))


def test_a_machine_is_added_by_a_form_and_a_limit_is_turned_off_by_a_nought():
    rows.probe()
    browser = Browser()
    browser.force_login(cast.make_staff())
    for kind in ("host", "container"):
        assert browser.get(f"/monitors/add/?kind={kind}").status_code == 200
    given = {
        "kind": "host",
        "client": cast.acme().pk,
        "name": "db-1",
        "config_services": "postgresql\nnginx",
        "config_cpu_percent": "0",
        "config_updates": "on",
    }
    shown = browser.get("/monitors/add/?kind=host")
    form = {**form_of(shown), **given}
    answer = browser.post("/monitors/add/?kind=host", form)
    assert answer.status_code == 302, text(answer)[:2000]
    m = Monitor.objects.get(name="db-1")
    assert m.config == {"services": ["postgresql", "nginx"], "cpu_percent": 0} and m.trusted


# --- In a browser -----------------------------------------------------------------------------------------------------
@pytest.fixture
def chromium(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A headless Chromium."""
    sync = pytest.importorskip("playwright.sync_api", reason="NOT RUN: playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"NOT RUN: there is no {CHROMIUM}")
    monkeypatch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_scrolls_sideways_and_the_content_policy_holds(chromium, live_server, machine, engine, size):
    visitor = Visitor(chromium, live_server, cast.alice(), size)
    for m in (machine, engine):
        shown = visitor.open(f"/monitors/{m.pk}/")
        wide = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{m.name} is {wide} px too wide"
        if where := os.environ.get("WATCHKEEPER_PICTURES"):
            shown.screenshot(path=str(Path(where) / f"{m.kind}-{size['width']}.png"), full_page=True)
    assert visitor.complaints == []
