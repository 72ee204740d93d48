"""A person opens an incident, also straight onto a status page, and corrects an update: by plain forms, without JavaScript."""

from __future__ import annotations

import pytest

from alerts.models import Alert
from incidents import services
from incidents.models import Incident, Update
from portal.clock import database_now
from statuspages import services as pages
from statuspages.models import Page, Publication
from tests import cast
from tests.console.visiting import browser, form_of, text
from tests.monitors.rows import monitor

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ADD = "/incidents/add/"


def page(of=None, slug: str = "acme-status") -> Page:
    return pages.save_page(None, by=cast.TESTS, at=database_now(), name=slug.title(), slug=slug, client=of)


def said(**more: object) -> dict[str, object]:
    return {
        "title": "Payments fail",
        "severity": "major",
        "status": "investigating",
        "message": "We are looking.",
        **more,
    }


def test_standalone_it_is_on_no_page():
    page(cast.acme())
    browser(cast.alice()).post(ADD, said(client=cast.acme().pk))
    incident = Incident.objects.get()
    assert (incident.status, incident.client, incident.status_page_id) == ("investigating", cast.acme(), None)
    assert not Alert.objects.exists() and not Publication.objects.exists()


def test_straight_to_a_page_with_the_status_it_has():
    mine, m = page(cast.acme()), monitor()
    alice = browser(cast.alice())
    assert "Acme · Acme-Status" in text(alice.get(ADD))
    alice.post(ADD, said(client=cast.acme().pk, status="identified", status_page=mine.pk, affected_monitor_ids=[m.pk]))
    incident = Incident.objects.get()
    assert (incident.status, incident.status_page_id) == ("identified", mine.pk)
    assert Publication.objects.get().page == mine
    assert [e.kind for e in incident.timeline.all()] == ["opened", "published"]


def test_another_clients_page_is_no_choice_and_does_not_fit():
    theirs, m = page(cast.globex(), "globex"), monitor()
    answer = browser(cast.make_staff()).post(ADD, said(affected_monitor_ids=[m.pk], status_page=theirs.pk))
    assert answer.status_code == 400 and "speaks of another client" in text(answer)
    assert not Incident.objects.filter(affected_monitor_ids=[m.pk]).exists(), "both or neither"


def test_it_does_not_begin_resolved():
    assert browser(cast.alice()).post(ADD, said(client=cast.acme().pk, status="resolved")).status_code == 400


def told() -> tuple[Incident, str]:
    """An incident with an update, and the page on which that is corrected."""
    by, at = cast.TESTS, database_now()
    i = services.create(title="Odd", severity="minor", by=by, at=at, client_id=cast.acme().pk, notify=False)
    row = services.update(i, status="identified", message="The disc of db7", by=by, at=at)
    return i, f"/incidents/{i.pk}/updates/{row.pk}/"


def test_an_update_is_corrected_from_the_timeline():
    i, where = told()
    alice = browser(cast.alice())
    assert where in alice.get(f"/incidents/{i.pk}/").content.decode()
    answer = alice.post(where, form_of(alice.get(where)) | {"message": "A disk has failed."}, follow=True)
    assert "The update reads so now" in text(answer) and "A disk has failed." in text(answer)
    assert "db7" not in text(answer)
    empty = alice.post(where, {"message": " "})
    assert empty.status_code == 400 and Update.objects.get(status="identified").message == "A disk has failed."


def test_an_update_is_taken_back():
    i, where = told()
    alice = browser(cast.alice())
    answer = alice.post(where, {"message": "", "take_back": "1"}, follow=True)
    assert "The update is taken back" in text(answer) and "db7" not in text(answer)
    assert alice.get(where).status_code == 404 and where not in answer.content.decode()


def test_who_may_not_write_sees_no_link_and_no_page():
    i, where = told()
    viewer = browser(cast.viewer())
    assert where not in viewer.get(f"/incidents/{i.pk}/").content.decode()
    assert viewer.get(where).status_code == 403 and browser(cast.mallory()).get(where).status_code == 404


def test_what_is_open_is_listed_gravest_first_and_the_rest_newest_first():
    for severity in ("major", "critical", "minor", "critical"):
        services.create(title=severity, severity=severity, by=cast.TESTS, at=database_now(), client_id=cast.acme().pk, notify=False)  # fmt: skip
    alice, pks = browser(cast.alice()), list(Incident.objects.order_by("pk").values_list("pk", flat=True))

    def rows(query: str) -> list[int]:
        return [i.pk for i in alice.get(f"/incidents/?{query}").context["rows"]]

    assert rows("status=open") == [pks[3], pks[1], pks[0], pks[2]]
    assert rows("") == pks[::-1]
