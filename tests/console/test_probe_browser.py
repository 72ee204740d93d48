"""Probes in a real browser: the token counts down and turns to "Connected", the choice of places follows the clicks, a phone is wide enough."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from monitors import blindness
from monitors.models import Monitor, Probe
from monitors.probe.identity import Identity
from portal.clock import database_now
from portal.models import Tag
from tests import cast
from tests.console.test_browser import DESK, PHONE, Visitor, chromium  # noqa: F401 - a fixture
from tests.monitors import rows
from tests.monitors.afar import Speaker, new_probe

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("PROBE_SHOTS", "")  # a directory that keeps what the pages looked like


def shoot(visitor: Visitor, name: str) -> None:
    """Keep a picture when somebody wants them."""
    if SHOTS:
        visitor.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def stage() -> dict[str, Probe]:
    """Our own, three regions (one dark, one new) and a private one that is silent."""
    at = database_now()
    local = rows.probe()
    Probe.objects.filter(pk=local.pk).update(last_seen_at=at, name="Portal")
    found = {"local": local}
    for slug, of, more in (
        ("frankfurt", None, {"network": "AS3320", "version": "1", "clock_offset_ms": 12, "health": {"late_ms": 4, "checks_per_s": 42.5, "spool": 0, "memory_mb": 61.2}}),
        ("sao-paulo", None, {"network": "AS26599", "version": "0.9", "clock_offset_ms": -48, "health": {"late_ms": 31, "checks_per_s": 12.1, "spool": 118}}),
        ("acme-hq", cast.acme(), {"network": "A line with a rather long name that has no room", "version": "1", "anchors": ["192.0.2.1:443", "https://a-rather-long-name.for-an-anchor.example.com"]}),
        ("tokyo", None, {}),
    ):  # fmt: skip
        probe = found[slug] = new_probe(slug, of, public_key="" if slug == "tokyo" else f"k{slug}", **more)
        probe.tags.set(Tag.named(["eu", "fast"] if slug == "frankfurt" else ["america"]))
        ago = timedelta(minutes=8) if of else timedelta(seconds=1)
        Probe.objects.filter(pk=probe.pk).update(last_seen_at=None if slug == "tokyo" else at - ago, anchors_ok_at=at - timedelta(hours=2))  # fmt: skip
    found["sao-paulo"].refresh_from_db()
    blindness.set_blind(found["sao-paulo"], "3 of its 3 anchors are silent.", at - timedelta(minutes=3))
    for n, name in enumerate(("shop", "api", "mail")):
        m = rows.monitor(name=name, probes=[local, found["frankfurt"], found["acme-hq"]])
        m.views.update(
            status=1 + n % 3, last_at=at, last_ms=41.5, message="" if n < 2 else "The connection was refused"
        )
    return found


def test_the_page_turns_to_connected_by_itself(chromium, live_server):  # noqa: F811
    rows.probe()
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open("/probes/add/")
    page.get_by_label("Name").fill("Berlin")
    page.get_by_role("button", name="Add it").click()
    page.get_by_text("The token ends in 9:").wait_for()
    token = page.locator("#token").inner_text()
    shoot(sam, "enrol-desk")
    probe = Probe.objects.get(slug="berlin")
    speaker = Speaker(Identity.new("https://portal.example"))
    said = speaker.enroll(token).json()
    page.get_by_text("Enrolled, not running yet").wait_for()
    assert page.locator("#token").inner_text() == token, "what stands there to be copied is left alone"
    speaker.who = speaker.who.enrolled(said["id"], said["slug"], said["portal_key"])
    speaker.hello()
    page.get_by_text("Connected", exact=True).wait_for()
    page.get_by_role("link", name="Open the probe").click()
    page.wait_for_url(f"**/probes/{probe.pk}/")
    assert sam.complaints == []


def test_from_where_follows_what_is_chosen(chromium, live_server):  # noqa: F811
    cast.globex()
    stage()
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open("/monitors/add/")
    page.get_by_label("URL", exact=True).fill("https://shop.example.com")
    page.get_by_text("Watched from").first.click()
    page.get_by_label(re.compile(r"Frankfurt \(AS3320")).check()
    page.locator("#seen-from").get_by_text("Frankfurt, Portal").wait_for()
    page.get_by_text("looks from the portal itself only").wait_for()
    page.get_by_label("Places that must agree").fill("3")
    page.locator("#seen-from").get_by_text("3 must agree, and only 2 would look").wait_for()
    with sam.heard():
        page.get_by_label("Places that must agree").fill("1")
    page.get_by_label("Client", exact=True).select_option(label="Acme")
    page.get_by_label("Acme-Hq").wait_for()
    with sam.heard():
        page.get_by_label("Any places that carry a tag").check()
    page.get_by_label("Tags that each of them carries").fill("eu")
    page.locator("#seen-from strong").get_by_text("Frankfurt", exact=True).wait_for()
    assert page.locator("#seen-short").inner_text() == "Frankfurt"
    shoot(sam, "choose-desk")
    page.get_by_role("button", name="Watch it").click()
    page.wait_for_url("**/monitors/*/")
    m = Monitor.objects.get(name="shop.example.com")
    assert m.probe_rule == {"tags": ["eu"], "any": 1} and m.views.get().probe.slug == "frankfurt"
    assert sam.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"] if SHOTS else ["light"])  # widths are the same in the dark
def test_a_phone_is_wide_enough(chromium, live_server, scheme):  # noqa: F811
    found = stage()
    sam = Visitor(chromium, live_server, cast.make_staff(), PHONE, color_scheme=scheme, has_touch=True)
    for name, path in (
        ("list", "/probes/"), ("add", "/probes/add/"), ("enrol", f"/probes/{found['tokyo'].pk}/enrol/"), ("silent", f"/probes/{found['acme-hq'].pk}/"),
        ("blind", f"/probes/{found['sao-paulo'].pk}/"), ("revoke", f"/probes/{found['frankfurt'].pk}/revoke/"), ("delete", f"/probes/{found['acme-hq'].pk}/delete/"),
        ("choose", f"/monitors/{Monitor.objects.get(name='shop').pk}/edit/"), ("overview", "/"),
    ):  # fmt: skip
        page = sam.open(path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
        shoot(sam, f"{name}-phone-{scheme}")
    if SHOTS:
        sam = Visitor(chromium, live_server, cast.make_staff(), DESK, color_scheme=scheme)
        for name, path in (("list", "/probes/"), ("silent", f"/probes/{found['acme-hq'].pk}/"), ("overview", "/")):
            sam.open(path)
            shoot(sam, f"{name}-desk-{scheme}")
        ana = Visitor(chromium, live_server, cast.alice(), PHONE, color_scheme=scheme)
        ana.open("/probes/")
        shoot(ana, f"client-phone-{scheme}")
    assert sam.complaints == []
