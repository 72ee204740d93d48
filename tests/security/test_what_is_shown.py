"""Secrets are planted in every field that takes one, attacks in every text. Then everything is read: pages, desk, API, MCP, files,
logs, rows. No secret is found, and no attack is more than text.

A backup is left out: it is a copy of the database, for the owner of the machine, with its secrets sealed as there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from django.db import connection, transaction
from django.test import override_settings

from alerts import acts, channel_settings, sender
from alerts.models import Attempt
from portal.clock import database_now
from portal.outbound.resolver import Resolver
from tests import cast
from tests.checks.lab import NO_NAME_SERVER
from tests.portal import every_page
from tests.security import planting, spoiling, walking

pytestmark = pytest.mark.once
# It goes out with the alert's messages, so it stands in what they are made of. It opens a question, and answers none: to
# agree takes the session and the second step of somebody who may (tests/playbooks/test_scanner.py).
IN_ITS_MESSAGE = ("alerts_alert", "alerts_notice")


@pytest.fixture(scope="module")
def walk(django_db_setup: None, django_db_blocker: object) -> Iterator[SimpleNamespace]:
    """The stage, the planted secrets and all that was read, made once; the database forgets it."""
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), transaction.atomic():  # type: ignore[attr-defined]
        patch.setattr(Resolver.__init__, "__defaults__", ([NO_NAME_SERVER],))
        environment = planting.Planted()
        with override_settings(**planting.of_the_environment(environment)):
            patch.setitem(connection.settings_dict, "PASSWORD", environment.keep("database password", planting.word()))
            s = every_page.fill()
            found = planting.plant(s)
            found.marks |= environment.marks
            log = walking.Log()
            root = logging.getLogger()
            before = root.level
            root.addHandler(log)
            root.setLevel(logging.DEBUG)
            try:
                sent = _failing(found)
                spoilt = spoiling.spoil()
                yield SimpleNamespace(s=s, found=found, log=log, sent=sent, spoilt=spoilt, texts=_read(s, found))
            finally:
                root.removeHandler(log)
                root.setLevel(before)
        transaction.set_rollback(True)


def _failing(found: planting.Planted) -> list[Attempt]:
    """A message by every channel; no name can be looked up, so none arrives."""
    for row in found.channels:
        sender.send_now(acts.test_delivery(row, by=cast.TESTS, at=database_now()))
    return list(Attempt.objects.filter(delivery__channel__in=found.channels))


def _read(s: SimpleNamespace, found: planting.Planted) -> list[tuple[str, str]]:
    owner = cast.make_owner()
    first = {"alert": s.alert.pk, "monitor": found.monitors[0].pk, "channel": found.channels[0].pk, "incident": s.incident.pk, "run": s.run.pk, "diagnosis": s.diagnosis.pk}  # fmt: skip
    pages = walking.seen_by(owner, walking.of_the_console(s, found.pages))
    return [
        *pages,
        *walking.seen_by(owner, walking.details(pages)),
        *walking.seen_by(cast.alice(), [p for p in found.pages if p.startswith("/api/")]),
        *walking.seen_by(owner, ["/tables/contacts.csv", f"/tables/monitors.csv?client={cast.acme().pk}", "/metrics", "/readyz", "/healthz", *every_page.of_readers(s), *(f"/status/{slug}/feed.atom" for slug in every_page.STATES)]),
        *walking.told_to_an_assistant(owner, first),
        walking.printed("export_config"), walking.printed("check"), walking.printed("check", "--deploy"),
    ]  # fmt: skip


def leaks(walk: SimpleNamespace, texts: list[tuple[str, str]]) -> list[str]:
    return sorted(
        {f"{name} in {where}" for where, text in texts for name, mark in walk.found.marks.items() if mark in text and mark not in where}
    )  # fmt: skip


def test_enough_was_planted_and_enough_was_read(walk: SimpleNamespace) -> None:
    assert len(walk.found.marks) >= 60 and len(set(walk.found.marks.values())) == len(walk.found.marks)
    broken = [where for where, _ in walk.texts if where.startswith("5") and where != "503 /readyz"]  # nobody works here
    assert not broken, broken
    shown = [where for where, _ in walk.texts if where.startswith("200 ")]
    assert len(shown) > 250 and sum("/admin/" in w for w in shown) > 40 and sum("/api/" in w for w in shown) > 60
    assert len({row.delivery.channel_id for row in walk.sent}) == len(walk.found.channels), (
        "each channel tried and failed"
    )


def test_no_page_no_answer_and_no_export_shows_one(walk: SimpleNamespace) -> None:
    assert leaks(walk, walk.texts) == []


def test_no_page_runs_what_somebody_wrote(walk: SimpleNamespace) -> None:
    """S8: all names, notes and messages of all rows are one attack on HTML; whoever shows one shows it as text."""
    assert len(walk.spoilt) > 60 and {"Monitor.name", "Client.name", "Attempt.error", "Incident.title"} <= walk.spoilt
    pages = [(where, text) for where, text in walk.texts if "'Content-Type': 'text/html" in text.partition("\n")[0]]
    looked = {where: spoiling.alive(text.partition("\n")[2]) for where, text in pages}
    assert {where: found for where, (found, _) in looked.items() if found} == {}
    assert sum(1 for _, read in looked.values() if read) > 100, "it was there to be read"


def test_no_feed_carries_an_element_that_somebody_wrote(walk: SimpleNamespace) -> None:
    feeds = [
        text.partition("\n")[2]
        for where, text in walk.texts
        if where.startswith("200 ") and where.endswith("feed.atom")
    ]
    assert len(feeds) == len(every_page.STATES) and any(spoiling.MARK in feed for feed in feeds)
    for feed in feeds:
        for element in ElementTree.fromstring(feed).iter():
            assert spoiling.MARK not in element.tag and "zz" not in element.attrib
            if element.get("type") == "html":
                assert spoiling.alive(element.text or "")[0] == []


def test_no_row_of_the_database_holds_one_as_it_is(walk: SimpleNamespace) -> None:
    rows = walking.at_rest()
    assert len(rows) > 500
    assert set(leaks(walk, rows)) == {f"approval link in table {table}" for table in IN_ITS_MESSAGE}


def test_no_line_of_the_log_holds_one(walk: SimpleNamespace) -> None:
    assert len(walk.log.lines) > 500
    assert leaks(walk, [("log", line) for line in walk.log.lines]) == []


def test_a_page_that_breaks_with_a_secret_in_hand_shows_none(walk: SimpleNamespace, django_db_blocker) -> None:
    def breaks(row: object) -> None:
        opened = channel_settings.opened(row)
        raise RuntimeError(f"it broke with {len(opened)} secrets in hand")

    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel_settings, "shown", breaks)
        before = len(walk.log.lines)
        texts = walking.seen_by(cast.make_owner(), [f"/api/v1/channels/{c.pk}" for c in walk.found.channels[:3]])
    assert all(where.startswith("500 ") for where, _ in texts), texts
    assert leaks(walk, texts) == [] and not any("it broke" in text for _, text in texts)
    assert any("it broke" in line for line in walk.log.lines[before:]), "the log says what it was"
    assert leaks(walk, [("log", line) for line in walk.log.lines[before:]]) == []
