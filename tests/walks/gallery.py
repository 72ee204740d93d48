"""Which pictures do the guides show, of which pages? Their stage is set by hand, so that they look the same whenever they are made.

`make pictures` draws them anew, each with a list of the headings, labels and buttons that its page had; a daily test compares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

from alerts import schedules
from alerts.models import Channel
from monitors import partitions
from monitors.models import Monitor, Probe, Result, Rollup
from monitors.probe.runner import VERSION
from portal.clock import database_now
from portal.models import Contact
from tests import cast
from tests.alerts import climbing
from tests.console import scene
from tests.monitors import rows
from tests.playbooks import acting
from tests.portal import an_app
from tests.statuspages import showing

ADDRESS = "https://watch.example.com"  # the portal's own, on every picture
WIDE, HIGH = 880, 640  # of the window: without the menu beside the page, and small enough to read in a column
BYTES = 60_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One page of the stage; `of` are the parts that are shown, from the first one's top to the last one's end."""

    guide: str
    path: Callable[[SimpleNamespace], str]
    who: Callable[[], Any] | None = cast.make_owner
    of: str = "#main"
    high: int = HIGH


def _probes(s: SimpleNamespace) -> str:
    """Their page, just after all of them were heard."""
    Probe.objects.update(last_seen_at=database_now())
    return "/probes/"


PICTURES = {
    "first-monitor": Picture("first-site", lambda s: f"/monitors/{s.up.pk}/", of="#charts"),
    "who-is-told": Picture("first-site", lambda s: f"/simulate/?monitor={s.down.pk}", high=450),
    "probes": Picture("first-probe", _probes, high=460),
    "schedule": Picture("on-call", lambda s: f"/on-call/{s.schedule.pk}/"),
    "ladder": Picture("on-call", lambda s: f"/escalation-policies/{s.policy.pk}/", high=520),
    "alert": Picture("answering", lambda s: f"/alerts/{s.alert.pk}/", high=760),
    "approval": Picture("playbooks", lambda s: f"/runs/{s.run.pk}/", cast.approver, high=880),
    "playbook": Picture("playbooks", lambda s: f"/playbooks/{s.playbook.pk}/"),
    "status-page": Picture("status-page", lambda s: "/status/acme/", None, "main"),
    "publish": Picture("status-page", lambda s: f"/incidents/{s.incident.pk}/publication/", high=420),
    "several": Picture("moving-over", lambda s: "/monitors/several/", high=420),
}


def stage() -> SimpleNamespace:
    """A client's bad evening, made through the doors."""
    at = database_now()
    partitions.ensure_ahead(at)
    Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})
    acme, ana = cast.acme(), cast.contact()
    turns = [ana, Contact.objects.create(client=acme, name="Ben", email="ben@acme.example")]
    begin = at - timedelta(days=28)
    schedule = schedules.save_schedule(None, by=cast.TESTS, client=acme, name="Nights and days", layers=[{"contacts": turns, "starts_at": begin}])  # fmt: skip
    way = Channel.objects.create(client=acme, contact=ana, name="Ana's mail", type="email", config={"to": ["ana@acme.example"]})  # fmt: skip
    ana.ways.create(channel=way)
    policy = climbing.policy(climbing.level(0, way), climbing.level(600, way, schedules=[schedule]), name="Nights", client=acme)  # fmt: skip
    s = scene.outage()
    s.schedule, s.policy = schedule, policy
    _lived(s.up, at)
    page = showing.page(name="Acme status", slug="acme", about="How the shop and what is behind it are doing.")
    parts = [showing.component(page, "Shop", s.up), showing.component(page, "API", s.down)]
    showing.incident(page, "The API answers slowly or not at all", at=at - timedelta(minutes=20), components=parts[1:])
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    _quarter(s.up, day)
    _quarter(s.down, day)
    showing.build(page, at)
    s.playbook = acting.playbook("bell", name="Restart the shop's web server")
    s.playbook.steps.update(kind="wait", config={"seconds": 30})
    s.playbook.approvers.add(cast.approver())
    an_app.give_app(cast.approver())
    seen = acting.scene()
    Monitor.objects.filter(pk=seen.monitor.pk).update(name="shop-eu")
    seen.down()
    seen.explained()
    s.run = acting.only_run()
    rows.probe("new-york", name="New York")
    Probe.objects.update(public_key="k", enrolled_at=at, last_seen_at=at, version=VERSION, clock_offset_ms=3)
    return s


def _quarter(monitor: Monitor, day: Any) -> None:
    """Ninety days behind it, as the pages read them: whole days, hours for readers, results of the last week."""
    probe = Probe.objects.get(slug="local")
    for ago in range(1, 90):
        count = {"up": 1430, "failing": 40 if ago == 9 else 0}
        showing.rolled(monitor, day - timedelta(days=ago, hours=-12), **count)
        Rollup.objects.create(monitor=monitor, probe=probe, period="d", start=day - timedelta(days=ago), **count)
    partitions.ensure((day - timedelta(days=8)).date(), day.date())
    Result.objects.bulk_create(
        Result(monitor_id=monitor.pk, probe_id=probe.pk, ts=day - timedelta(hours=n), status=1, total_ms=120.0)
        for n in range(26, 190)
    )


def _lived(monitor: Monitor, at: Any) -> None:
    """Hours of results that rise and fall, and a quarter of an hour in which it was down."""
    begin, end = at - timedelta(minutes=150), at - timedelta(minutes=135)
    Result.objects.bulk_create(
        Result(
            monitor_id=monitor.pk, probe_id=Probe.objects.get(slug="local").pk, ts=at - timedelta(minutes=n), http_status=200,
            status=3 if begin <= at - timedelta(minutes=n) < end else 1, dns_ms=2.0, connect_ms=9.0, tls_ms=21.0, first_byte_ms=40.0,
            total_ms=95.0 + 35 * math.sin(n / 40) + (n * 37 % 23) + (n % 11 == 0) * 60,
        )
        for n in range(12, 1440, 3)
    )  # fmt: skip
    scene.state(monitor, "down", begin, "The connection timed out")
    scene.state(monitor, "up", end)


# --- What a page says of itself -------------------------------------------------------------------------------------------
CHANGING = re.compile(
    r"\d[\d.,:]*( ?(ms|s|min|h|d|%)\b)?|\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b"
)


class _Signs(HTMLParser):
    """Headings, labels and buttons of the page's own part, in their order."""

    KINDS = {
        "h1": "#",
        "h2": "##",
        "h3": "###",
        "label": "label",
        "button": "button",
        "legend": "label",
        "th": "column",
    }

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._open: list[tuple[str, str, list[str]]] = []
        self._within = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._within += tag == "main"
        kind = "button" if tag == "a" and "btn" in (given.get("class") or "").split() else self.KINDS.get(tag, "")
        if self._within and kind and given.get("scope") != "row":
            self._open.append((tag, kind, []))

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1][2].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._within -= tag == "main"
        if self._open and self._open[-1][0] == tag:
            _, kind, words = self._open.pop()
            # Numbers, times and what is shown on a second look are not what a page is made of.
            text = " ".join(CHANGING.sub("…", " ".join(words)).split())
            if text:
                self.lines.append(f"{kind} {text}")


def signs(html: str) -> str:
    """One a line, as it is kept beside the picture."""
    found = _Signs()
    found.feed(html)
    return "".join(f"{line}\n" for line in dict.fromkeys(found.lines))
