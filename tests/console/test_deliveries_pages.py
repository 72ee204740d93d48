"""The notification log as a person reads it: every occasion in words, filtered, with what the vendor said."""

from __future__ import annotations

import html

import pytest

from alerts.models import Attempt, Delivery, Notice
from console.pages.deliveries import KINDS
from portal.clock import database_now
from tests import cast
from tests.alerts import stage
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


def told(kind: str, **values) -> Delivery:
    """One message of that kind to our own webhook."""
    at = database_now()
    notice = Notice.objects.create(kind=kind, event="down", type="monitor.down", created_at=at, snapshot={"title": f"about {kind}"})  # fmt: skip
    channel = values.pop("channel", None) or stage.webhook(f"hook {kind}")
    known = {"destination_key": channel.destination_key, "next_attempt_at": at, "created_at": at, "state": "delivered"}
    return Delivery.objects.create(notice=notice, kind=kind, channel=channel, **{**known, **values})


def read(answer) -> str:
    return html.unescape(text(answer))


def test_every_occasion_has_words_and_can_be_filtered_by():
    for kind in Notice.Kind.values:
        told(kind)
    caller = browser(cast.make_staff())
    page = read(caller.get("/deliveries/"))
    assert set(KINDS) == set(Notice.Kind.values)
    for word in KINDS.values():
        assert page.count(word) >= 2, f"{word}: in the filter and in its row"
    page = caller.get("/deliveries/?kind=reminder")
    assert [r["delivery"].kind for r in page.context["rows"]] == ["reminder"]


def test_filters_narrow_and_nonsense_finds_nothing():
    one, two = told("opened", state="failed"), told("escalated")
    caller = browser(cast.make_staff())

    def found(query: str) -> list[int]:
        return [r["delivery"].pk for r in caller.get(f"/deliveries/?{query}").context["rows"]]

    assert found("state=failed") == [one.pk] and found(f"channel={two.channel_id}") == [two.pk]
    assert found(f"delivery={one.pk}") == [one.pk] and found(f"channel={two.channel_id}&state=failed") == []
    assert found("channel=x") == found("kind=x") == found("delivery=99999999999999999999") == []


def test_an_attempt_shows_its_time_code_words_and_what_the_vendor_said():
    row, at = told("opened"), database_now()
    Attempt.objects.create(
        delivery=row, n=1, at=at, outcome="retry", response_code=503, error="HTTP 503: busy", duration_ms=80
    )
    Attempt.objects.create(delivery=row, n=2, at=at, outcome="delivered", response_code=200, answer="ok, queued", duration_ms=90)  # fmt: skip
    page = read(browser(cast.make_staff()).get("/deliveries/"))
    assert "failed, to be tried again HTTP 503: busy (80 ms)" in page and "delivered 200 ok, queued (90 ms)" in page


def test_what_went_inside_another_message_links_to_it():
    carrier = told("digest")
    told("opened", state="gathered", carried_by=carrier)
    assert f"?delivery={carrier.pk}" in browser(cast.make_staff()).get("/deliveries/").content.decode()


def test_the_channel_is_a_link_for_those_who_may_open_it():
    row = told("opened", channel=stage.webhook("theirs", cast.acme()))
    link = f'href="/channels/{row.channel_id}/"'
    assert link in browser(cast.alice()).get("/deliveries/").content.decode()
    page = browser(cast.viewer()).get("/deliveries/").content.decode()
    assert "theirs" in page and link not in page
