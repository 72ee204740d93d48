"""Who may open a report? Whoever has its link, until it expires, is revoked or renewed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitors.diagnosis import links
from monitors.models import Diagnosis
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry
from tests import cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def d() -> Diagnosis:
    at = database_now()
    return Diagnosis.objects.create(monitor=cast.monitor(), cause="failure", started_at=at, deadline_at=at, link_expires_at=at + links.GOOD_FOR)  # fmt: skip


def test_the_link_finds_its_diagnosis_and_holds_nothing_that_is_stored(d):
    at = database_now()
    assert links.find(links.token_of(d), at) == d
    assert links.url_of(d) == f"http://localhost:8000/r/{links.token_of(d)}/"
    assert d.link_mark not in links.url_of(d)


@pytest.mark.parametrize("place", [0, 7, 10, 11, 20, 31])
def test_one_letter_changed_finds_nothing(d, place):
    token = links.token_of(d)
    other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    assert links.find(other, database_now()) is None


@pytest.mark.parametrize("token", ["", "x", "-" * 32, "é" * 32, "\x00" * 32, "A" * 32, "_" * 32, "A" * 5000, "=" * 32])
def test_nonsense_finds_nothing(d, token):
    assert links.find(token, database_now()) is None


def test_another_key_ends_every_link(d, settings):
    token = links.token_of(d)
    settings.SECRET_KEY = "another"
    assert links.find(token, database_now()) is None


def test_after_ninety_days_it_says_so(d):
    token, end = links.token_of(d), d.link_expires_at
    assert links.find(token, end - timedelta(seconds=1)) == d
    with pytest.raises(links.Ended, match="expired") as ended:
        links.find(token, end)
    assert (ended.value.why, ended.value.diagnosis) == ("expired", d)


def test_renewed_the_old_one_is_not_known_and_the_new_one_holds_anew(d):
    at, old = database_now() + timedelta(days=80), links.token_of(d)
    d = links.renew(d, by=cast.TESTS, at=at)
    assert links.find(old, at) is None
    assert links.find(links.token_of(d), at + timedelta(days=89)) == d


def test_revoked_it_says_so_and_can_be_renewed(d):
    at = database_now()
    d = links.revoke(d, by=cast.TESTS, at=at)
    assert links.open_until(d) is None
    with pytest.raises(links.Ended, match="revoked"):
        links.find(links.token_of(d), at)
    with pytest.raises(Refused, match="revoked already"):
        links.revoke(d, by=cast.TESTS, at=at)
    d = links.renew(d, by=cast.TESTS, at=at)
    assert links.find(links.token_of(d), at) == d


def test_who_renewed_and_revoked_is_on_record(d):
    links.renew(d, by=cast.TESTS, at=database_now())
    links.revoke(d, by=cast.TESTS, at=database_now())
    found = AuditEntry.objects.filter(action__startswith="diagnosis.").order_by("pk")
    assert [(e.action, e.client_id) for e in found] == [
        ("diagnosis.link_renew", cast.acme().pk),
        ("diagnosis.link_revoke", cast.acme().pk),
    ]
