"""An update said something wrong: its words are corrected or taken back, the step it took stays, nobody is written to again."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from alerts.models import Notice
from incidents import services, updates
from incidents.models import Incident, Update
from incidents.timeline import timeline
from portal.errors import Refused
from portal.models import AuditEntry
from statuspages import projection, publishing
from statuspages import services as pages
from tests import cast
from tests.alerts.stage import later
from tests.incidents.test_services import ANA, opened, status, words

pytestmark = pytest.mark.django_db


def told(message: str = "It is the disk of db7") -> tuple[Incident, Update]:
    """An incident with one update."""
    incident, _ = opened()
    return incident, services.update(incident, status="identified", message=message, by=ANA, at=later(1))


def test_the_words_are_other_words_and_the_step_stays():
    incident, row = told()
    updates.correct(row, message="A disk has failed.", by=ANA, at=later(5))
    row.refresh_from_db()
    assert (row.message, row.status, row.edited_by, row.edited_at) == (
        "A disk has failed.",
        "identified",
        "Ana",
        later(5),
    )
    assert row.created_at == later(1) and status(incident) == ("identified", "triggered")
    assert words(incident) == ["opened", "update", "update_edited"]
    assert incident.timeline.get(kind="update").text == "A disk has failed.", "nobody reads the old words"
    assert "db7" not in str(timeline(incident, cast.make_staff()))
    entry = AuditEntry.objects.get(action="incident.update_edit")
    assert entry.before["message"] == "It is the disk of db7", "who must know finds them"


def test_the_same_words_again_are_no_news():
    incident, row = told()
    updates.correct(row, message="It is the disk of db7", by=ANA, at=later(5))
    assert words(incident) == ["opened", "update"]


def test_what_is_taken_back_nobody_reads():
    incident, row = told("Globex has the same trouble")
    updates.take_back(row, by=ANA, at=later(5))
    assert not Update.objects.exists() and status(incident) == ("identified", "triggered")
    assert words(incident) == ["opened", "update", "update_removed"]
    assert "Globex" not in str(timeline(incident, cast.make_staff()))
    for act in (
        lambda: updates.take_back(row, by=ANA, at=later(6)),
        lambda: updates.correct(row, message="x", by=ANA, at=later(6)),
    ):
        with pytest.raises(Refused, match="taken back meanwhile"):
            act()


@pytest.mark.parametrize("message", ["", "  \n ", "x" * 20_001])
def test_words_that_cannot_stand_there_are_refused(message):
    _, row = told()
    with pytest.raises(ValidationError) as refused:
        updates.correct(row, message=message, by=ANA, at=later(5))
    assert list(refused.value.message_dict) == ["message"]


def test_readers_of_the_page_see_it_and_get_no_second_letter():
    incident, row = told("Our supplier Initech is at fault")
    page = pages.save_page(None, by=ANA, at=later(1), name="Acme", slug="acme-status", client=cast.acme())
    publishing.publish(incident, page, by=ANA, at=later(2))
    letters = Notice.objects.count()
    updates.correct(row, message="A supplier is at fault", by=ANA, at=later(5))
    body = str(projection.body_of(page, later(6)))
    assert "A supplier is at fault" in body and "Initech" not in body
    assert Notice.objects.count() == letters


# --- Over the API --------------------------------------------------------------------------------------------------------------
def test_the_api_corrects_and_takes_back():
    incident, row = told()
    where, alice = f"/api/v1/incidents/{incident.pk}/updates/{row.pk}", cast.api(cast.alice())
    assert alice.get(where).json()["message"] == "It is the disk of db7"
    changed = alice.patch(where, {"message": "A disk has failed."})
    assert changed.status_code == 200 and changed.json()["edited_at"] and changed.json()["status"] == "identified"
    assert alice.put(where, changed.json()).status_code == 200, "what was read is taken back"
    step = alice.patch(where, {"status": "monitoring"})
    assert step.status_code == 400 and "post another update" in step.json()["error"]["fields"]["status"][0]
    assert "message" in alice.patch(where, {"message": " "}).json()["error"]["fields"]
    for who, code in ((cast.viewer(), 403), (cast.mallory(), 404)):
        assert cast.api(who).patch(where, {"message": "x"}).status_code == code
    other, _ = opened(8)
    assert alice.delete(f"/api/v1/incidents/{other.pk}/updates/{row.pk}").status_code == 404
    assert alice.delete(where).status_code == 204 and alice.get(where).status_code == 404
